"""FID against closed forms, torchmetrics and invariants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.image.fid import FrechetInceptionDistance

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.frechet_distance import (
    Gaussian,
    fid,
    fid_infinity,
    frechet_distance,
    gaussian_of,
)
from tests.metrics.feature_sets import PassFeatures, correlated_set, gaussian_set


def test_diagonal_gaussians_have_the_closed_form() -> None:
    # |m1 - m2|^2 + sum (s1 - s2)^2 for commuting covariances: 9 + 16 + (1 - 3)^2 + (2 - 5)^2.
    first = Gaussian(np.array([0.0, 0.0]), np.diag([1.0, 2.0]))
    second = Gaussian(np.array([3.0, 4.0]), np.diag([3.0, 5.0]))
    assert frechet_distance(first, second) == pytest.approx(38.0, rel=1e-12)


def test_covariances_that_do_not_commute_have_the_closed_form() -> None:
    # For 2 x 2: tr (S1 S2)^(1/2) = sqrt(tr(S1 S2) + 2 sqrt(det S1 det S2)).
    one, two = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[5.0, 0.0], [0.0, 1.0]])
    root_trace = np.sqrt(np.trace(one @ two) + 2 * np.sqrt(np.linalg.det(one) * np.linalg.det(two)))
    found = frechet_distance(*(Gaussian(np.zeros(2), np.linalg.cholesky(each).T) for each in (one, two)))
    assert found == pytest.approx(np.trace(one + two) - 2 * root_trace, rel=1e-12)


@pytest.mark.parametrize("n", [40, 200])  # fewer and more cases than features
@pytest.mark.parametrize("m", [50, 300])
def test_fid_equals_torchmetrics(n: int, m: int) -> None:
    features, reference = correlated_set(n, 64, 0, mean=0.3), correlated_set(m, 64, 1)
    metric = FrechetInceptionDistance(PassFeatures(64), normalize=False).set_dtype(torch.float64)
    metric.update(torch.from_numpy(reference), real=True)
    metric.update(torch.from_numpy(features), real=False)
    assert fid(features, reference) == pytest.approx(float(metric.compute()), rel=1e-4)


@pytest.mark.parametrize(("n", "dimension"), [(20, 50), (200, 50)])
def test_a_set_is_0_from_itself_even_with_fewer_cases_than_features(n: int, dimension: int) -> None:
    features = correlated_set(n, dimension, 0)
    assert fid(features, features) < 1e-10


def test_order_shift_and_rotation_of_the_feature_space_change_nothing() -> None:
    features, reference = gaussian_set(60, 8, 0, mean=1), correlated_set(50, 8, 1).astype(np.float64)
    rotation, _ = np.linalg.qr(gaussian_set(8, 8, 2))
    expected = fid(features, reference)
    order = np.random.default_rng(0).permutation(60)
    assert fid(features[order], reference) == pytest.approx(expected, rel=1e-9)
    assert fid(features + 7, reference + 7) == pytest.approx(expected, rel=1e-9)
    assert fid(features @ rotation, reference @ rotation) == pytest.approx(expected, rel=1e-9)
    assert fid(reference, features) == pytest.approx(expected, rel=1e-9)


def test_a_shift_of_one_set_alone_adds_its_square() -> None:
    features = gaussian_set(60, 5, 0)
    assert fid(features + 2, features) == pytest.approx(5 * 4, rel=1e-9)


@pytest.mark.parametrize("dimension", [3, 30])
def test_counts_are_repeated_cases(dimension: int) -> None:
    features, counts = gaussian_set(10, dimension, 0), np.array([0, 1, 2, 3, 0, 1, 1, 4, 1, 0])
    found, expected = gaussian_of(features, counts), np.repeat(features, counts, axis=0)
    np.testing.assert_allclose(found.mean, expected.mean(0), atol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(expected.T), atol=1e-12)


def test_extrapolation_depends_less_on_the_number_of_images_than_fid() -> None:
    # Both sets follow one law: the true distance is 0, and FID's bias falls with 1/n.
    few, many = [(gaussian_set(n, 16, 1), gaussian_set(n, 16, 2)) for n in (100, 1600)]
    plain = [fid(*few), fid(*many)]
    extrapolated = [fid_infinity(*few, seed=0), fid_infinity(*many, seed=0)]
    assert plain[0] > 10 * plain[1] > 0
    assert abs(extrapolated[0]) < plain[0] / 3
    assert abs(extrapolated[0] - extrapolated[1]) < (plain[0] - plain[1]) / 3


def test_extrapolation_finds_a_true_distance() -> None:
    # Shift of 0.5 in 16 features: 4; FID of 400 images lies above it.
    found = fid_infinity(gaussian_set(400, 16, 1, mean=0.5), gaussian_set(400, 16, 2))
    assert found == pytest.approx(4.0, abs=0.35)


def test_extrapolation_depends_on_its_seed_alone() -> None:
    pair = gaussian_set(50, 4, 0), gaussian_set(50, 4, 1)
    assert fid_infinity(*pair, seed=3) == fid_infinity(*pair, seed=3)
    assert fid_infinity(*pair, seed=3) != fid_infinity(*pair, seed=4)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"steps": 1}, "steps: a line needs two points"),
        ({"smallest": 1.0}, "smallest: expected a number"),
        ({"smallest": 0.1}, "smallest: leaves fewer than two of 10 cases"),
        ({"seed": -1}, "seed: expected"),
    ],
)
def test_extrapolation_refuses_bad_arguments(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        fid_infinity(gaussian_set(10, 2, 0), gaussian_set(10, 2, 1), **options)


def test_a_resample_of_one_case_is_refused() -> None:
    with pytest.raises(ArgumentError, match="counts: expected two cases or more, got 1"):
        gaussian_of(gaussian_set(3, 2, 0), np.array([0, 1, 0]))
