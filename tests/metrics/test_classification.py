"""Scores of a classifier against hand counts, torchmetrics and MONAI."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_roc_auc
from torchmetrics.functional import classification as oracle

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.classification import CLASSIFICATION_METRICS, classification_scores, roc_auc

TIED = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])
CASES = st.lists(st.tuples(st.integers(0, 1), TIED), min_size=1, max_size=12)


def test_scores_follow_from_the_four_counts() -> None:
    # 3 found, 1 missed, 4 rightly left, 2 false alarms.
    labels = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    probabilities = [0.9, 0.8, 0.7, 0.2, 0.1, 0.1, 0.3, 0.4, 0.6, 0.95]
    scores = classification_scores(labels, probabilities)
    assert list(scores) == list(CLASSIFICATION_METRICS)
    assert scores["accuracy"] == pytest.approx(7 / 10)
    assert scores["sensitivity"] == pytest.approx(3 / 4)
    assert scores["specificity"] == pytest.approx(4 / 6)
    assert scores["balanced_accuracy"] == pytest.approx((3 / 4 + 4 / 6) / 2)
    assert scores["f1"] == pytest.approx(6 / 9)
    assert scores["mcc"] == pytest.approx((3 * 4 - 2 * 1) / math.sqrt(5 * 4 * 6 * 5))
    assert scores["auc"] == pytest.approx((5 + 5 + 5 + 2) / 24)  # healthy cases below each tumor case


@settings(deadline=None)
@given(CASES, st.sampled_from([0.0, 0.25, 0.5, 0.6]))
def test_scores_are_those_of_torchmetrics(cases: list[tuple[int, float]], threshold: float) -> None:
    labels, probabilities = (np.array(column) for column in zip(*cases, strict=True))
    scores = classification_scores(labels, probabilities, threshold=threshold)
    if len(set(labels)) == 1:
        return
    truth, called = torch.from_numpy(labels), torch.from_numpy((probabilities > threshold).astype(int))
    expected = {
        "accuracy": oracle.binary_accuracy(called, truth),
        "balanced_accuracy": oracle.multiclass_accuracy(called, truth, num_classes=2, average="macro"),
        "f1": oracle.binary_f1_score(called, truth),
        "sensitivity": oracle.binary_recall(called, truth),
        "specificity": oracle.binary_specificity(called, truth),
        "auc": oracle.binary_auroc(torch.from_numpy(probabilities), truth),
    }
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value.item(), abs=1e-6), name
    if 0 < called.sum() < len(called):
        assert scores["mcc"] == pytest.approx(oracle.binary_matthews_corrcoef(called, truth).item(), abs=1e-6)


@settings(deadline=None)
@given(CASES)
@pytest.mark.filterwarnings("ignore:y values can not be all")
def test_auc_is_that_of_monai(cases: list[tuple[int, float]]) -> None:
    labels, probabilities = (np.array(column) for column in zip(*cases, strict=True))
    expected: Any = compute_roc_auc(torch.from_numpy(probabilities), torch.from_numpy(labels))
    assert roc_auc(labels, probabilities) == pytest.approx(float(expected), nan_ok=True)


@settings(deadline=None)
@given(CASES)
def test_calling_the_other_class_mirrors_the_scores(cases: list[tuple[int, float]]) -> None:
    labels, probabilities = (np.array(column) for column in zip(*cases, strict=True))
    labels, probabilities = labels[probabilities != 0.5], probabilities[probabilities != 0.5]
    scores = classification_scores(labels, probabilities)
    mirrored = classification_scores(1 - labels, 1 - probabilities)
    for name, other in {
        "sensitivity": "specificity",
        "accuracy": "accuracy",
        "mcc": "mcc",
        "auc": "auc",
    }.items():
        assert scores[name] == pytest.approx(mirrored[other], nan_ok=True)


@pytest.mark.parametrize(
    ("label", "known"), [(1, {"sensitivity": 2 / 3}), (0, {"specificity": 1 / 3}), (None, {})]
)
def test_one_class_alone_has_no_flattering_number(label: int | None, known: dict[str, float]) -> None:
    probabilities = [] if label is None else [0.9, 0.8, 0.1]
    scores = classification_scores([label] * len(probabilities), probabilities)
    expected = {**dict.fromkeys(CLASSIFICATION_METRICS, float("nan")), **known}
    assert scores == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("probability", [0.1, 0.9])
def test_one_answer_for_both_classes_is_worth_nothing(probability: float) -> None:
    scores = classification_scores([0, 0, 0, 1], [probability] * 4)
    assert (scores["mcc"], scores["balanced_accuracy"], scores["auc"]) == (0, 0.5, 0.5)


def test_a_tie_with_the_threshold_is_not_called_tumor() -> None:
    assert classification_scores([0, 1], [0.5, 0.5])["sensitivity"] == 0


@pytest.mark.parametrize(
    ("labels", "probabilities", "options", "problem"),
    [
        ([0, 1], [0.5], {}, "probabilities: 1 probabilities came for 2 labels"),
        ([0, 2], [0.5, 0.5], {}, "labels: expected 0 .* and 1"),
        ([0, 0.5], [0.5, 0.5], {}, "labels: expected 0"),
        ([[0, 1]], [0.5, 0.5], {}, r"labels: expected one axis, got shape \(1, 2\)"),
        ([0, 1], [[0.5, 0.5]], {}, "probabilities: expected one axis"),
        ([0, 1], [0.5, 1.5], {}, "probabilities: some lie outside .* apply softmax"),
        ([0, 1], [0.5, -3.0], {}, "probabilities: some lie outside"),
        ([0, 1], [0.5, float("nan")], {}, "probabilities: some lie outside"),
        ([0, 1], ["high", "low"], {}, "probabilities: expected numbers"),
        ([0, 1], [0.5, 0.5], {"threshold": 2}, "threshold: expected"),
        ([0, 1], [0.5, 0.5], {"bins": 0}, "bins: expected"),
    ],
)
def test_bad_input_is_refused(labels: Any, probabilities: Any, options: Any, problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        classification_scores(labels, probabilities, **options)
