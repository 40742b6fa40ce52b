from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_calibration_error

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.calibration import calibration_error


@pytest.mark.parametrize(
    ("labels", "probabilities", "expected"),
    [
        ([0, 1], [0.0, 1.0], 0.0),
        ([1, 0], [0.0, 1.0], 1.0),
        ([0, 1], [0.5, 0.5], 0.0),
        ([0, 0, 0, 1], [0.5] * 4, 0.25),
        ([0, 1, 1, 1], [0.2, 0.2, 0.9, 0.9], 0.5 * 0.3 + 0.5 * 0.1),
    ],
)
def test_the_error_is_the_mean_gap_between_probability_and_frequency(
    labels: list[int], probabilities: list[float], expected: float
) -> None:
    assert calibration_error(np.array(labels), np.array(probabilities)) == pytest.approx(expected)


def test_with_one_bin_only_the_means_count() -> None:
    labels, probabilities = np.array([0, 1, 1]), np.array([1.0, 0.0, 0.5])
    assert calibration_error(labels, probabilities, bins=1) == pytest.approx(abs(1.5 - 2) / 3)


def test_a_probability_on_an_edge_falls_into_the_bin_below_it() -> None:
    # In one bin with 0.45 the two gaps cancel; in the bin above with 0.55 they would not.
    labels, probabilities = np.array([0, 1, 1]), np.array([0.5, 0.45, 0.55])
    assert calibration_error(labels, probabilities, bins=2) == pytest.approx((0.05 + 0.45) / 3)


@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("seed", range(3))
def test_the_error_is_that_of_torchmetrics(bins: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.random(200)
    labels = (rng.random(200) < probabilities**2).astype(np.int64)
    oracle = binary_calibration_error(torch.from_numpy(probabilities), torch.from_numpy(labels), n_bins=bins)
    assert calibration_error(labels, probabilities, bins) == pytest.approx(oracle.item(), rel=1e-5)


def test_no_cases_have_no_error() -> None:
    assert math.isnan(calibration_error(np.zeros(0, np.int64), np.zeros(0)))


@pytest.mark.parametrize("bins", [0, -1, 2.5])
def test_bins_are_counted_from_one(bins: int) -> None:
    with pytest.raises(ArgumentError, match="bins: expected"):
        calibration_error(np.array([0]), np.array([0.5]), bins)
