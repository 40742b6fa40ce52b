"""Inception Score against closed forms and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.image.inception import InceptionScore

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.inception_score import inception_score, score_of_one_part
from tests.metrics.feature_sets import PassFeatures, correlated_set, gaussian_set


def test_sure_and_even_answers_score_the_number_of_classes() -> None:
    # exp(log C) for C classes; logits of 200 leave e^-200 to the others.
    found = inception_score(200 * np.eye(4)[np.arange(20) % 4], splits=1)
    assert found.mean == pytest.approx(4, rel=1e-9)
    assert np.isnan(found.sd)


def test_one_answer_for_all_images_scores_1() -> None:
    assert inception_score(np.tile(gaussian_set(1, 5, 0), (20, 1)), splits=2).mean == pytest.approx(1)


def test_a_class_that_nobody_answers_adds_nothing() -> None:
    logits = np.array([[0.0, 3.0, -1e30], [2.0, 0.0, -1e30]])
    assert inception_score(logits, splits=1).mean == pytest.approx(
        inception_score(logits[:, :2], splits=1).mean
    )


def test_score_equals_torchmetrics() -> None:
    logits = 3 * correlated_set(100, 12, 0)
    metric = InceptionScore(PassFeatures(12), normalize=False, splits=1)
    metric.update(torch.from_numpy(logits))
    assert inception_score(logits, splits=1).mean == pytest.approx(float(metric.compute()[0]), rel=1e-4)


def test_parts_are_those_of_the_shuffled_set() -> None:
    logits = gaussian_set(21, 3, 0)
    parts = np.array_split(np.random.default_rng(5).permutation(logits), 4)
    expected = [score_of_one_part(part) for part in parts]
    found = inception_score(logits, splits=4, seed=5)
    assert (found.mean, found.sd) == pytest.approx((np.mean(expected), np.std(expected, ddof=1)))


def test_counts_are_repeated_images() -> None:
    logits, counts = gaussian_set(4, 3, 0), np.array([0, 2, 1, 3])
    expected = score_of_one_part(np.repeat(logits, counts, axis=0))
    assert score_of_one_part(logits, counts) == pytest.approx(expected)
    assert np.isnan(score_of_one_part(logits, np.zeros(4, int)))


def test_more_parts_than_images_are_refused() -> None:
    with pytest.raises(ArgumentError, match="splits: expected at most 3"):
        inception_score(gaussian_set(3, 2, 0), splits=4)
