"""KID against its definition, torchmetrics and what 'unbiased' means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.image.kid import KernelInceptionDistance

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.kernel_distance import PatientKid, cubic_kernel, kid, kid_over_subsets
from tests.metrics.feature_sets import PassFeatures, correlated_set, gaussian_set


def test_kid_of_four_numbers_by_hand() -> None:
    # D = 1, k = (x y + 1)^3; set {0, 1}: k(0, 1) = 1; reference {1, 2}: k(1, 2) = 27; across: 1, 1, 8, 27.
    found = kid(np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]]))
    assert found == pytest.approx(1 + 27 - 2 * (1 + 1 + 8 + 27) / 4, rel=1e-12)


def test_kid_equals_torchmetrics() -> None:
    features, reference = correlated_set(60, 32, 0, mean=0.5), correlated_set(60, 32, 1)
    metric = KernelInceptionDistance(PassFeatures(32), subsets=1, subset_size=60, normalize=False)
    metric.update(torch.from_numpy(reference), real=True)
    metric.update(torch.from_numpy(features), real=False)
    expected = float(metric.compute()[0])
    assert kid(features, reference) == pytest.approx(expected, rel=1e-4)
    assert kid_over_subsets(features, reference, subsets=3).mean == pytest.approx(expected, rel=1e-4)


def test_subsets_agree_with_torchmetrics_up_to_the_draw() -> None:
    features, reference = correlated_set(80, 16, 0, mean=0.5), correlated_set(90, 16, 1)
    metric = KernelInceptionDistance(PassFeatures(16), subsets=400, subset_size=30, normalize=False)
    metric.update(torch.from_numpy(reference), real=True)
    metric.update(torch.from_numpy(features), real=False)
    mean, sd = map(float, metric.compute())
    found = kid_over_subsets(features, reference, subsets=400, subset_size=30)
    assert found.mean == pytest.approx(mean, abs=4 * sd * np.sqrt(2 / 400))
    assert found.sd == pytest.approx(sd, rel=0.2)


@pytest.mark.parametrize("sizes", [(5, 5), (4, 40)])
def test_kid_is_0_on_average_for_one_distribution_whatever_the_sizes(sizes: tuple[int, int]) -> None:
    draws = [kid(gaussian_set(sizes[0], 6, n), gaussian_set(sizes[1], 6, 10_000 + n)) for n in range(2000)]
    error = np.std(draws) / np.sqrt(len(draws))
    assert abs(np.mean(draws)) < 3.5 * error
    assert min(draws) < 0 < max(draws)


def test_order_changes_nothing_and_a_shift_of_one_set_is_seen() -> None:
    features, reference = gaussian_set(30, 4, 0), gaussian_set(30, 4, 1)
    order = np.random.default_rng(0).permutation(30)
    assert kid(features[order], reference) == pytest.approx(kid(features, reference), rel=1e-9)
    assert kid(features + 1, reference) > kid(features, reference) + 0.1


def test_by_patients_equals_kid_where_each_counts_once() -> None:
    features, reference = gaussian_set(12, 4, 0, mean=0.4), gaussian_set(15, 4, 1)
    by_patient = PatientKid(features, reference, list("aabbbbcccdde"), list("xyzzyxxxxyzwwxx"))
    assert by_patient(np.ones(12, int), np.ones(15, int)) == pytest.approx(kid(features, reference), rel=1e-9)


def test_resamples_of_patients_are_not_biased_against_their_set() -> None:
    features, reference = gaussian_set(24, 4, 0), gaussian_set(24, 4, 1)
    owner, names = np.repeat(np.arange(12), 2), [str(n) for n in np.repeat(np.arange(12), 2)]
    by_patient = PatientKid(features, reference, names, names)
    generator = np.random.default_rng(0)

    def counts() -> Any:
        return np.bincount(generator.integers(0, 12, 12), minlength=12)[owner]

    draws = np.array([by_patient(counts(), counts()) for _ in range(3000)])
    naive = [kid(np.repeat(features, counts(), axis=0), reference) for _ in range(300)]
    value = kid(features, reference)
    assert abs(draws.mean() - value) < 0.1 * draws.std()
    assert np.mean(naive) - value > 0.5 * draws.std()


def test_a_patient_drawn_twice_adds_no_pairs_with_himself() -> None:
    # Patient a has case 0, b has cases 1 and 2 and is drawn twice: each case of b meets a twice, and the
    # other case of b twice, once a copy, not four times.
    features, reference = gaussian_set(3, 2, 0), gaussian_set(4, 2, 1)
    kernel, across = cubic_kernel(features, features), cubic_kernel(features, reference)
    own, other = cubic_kernel(reference, reference), 4 * 3
    within = (2 * kernel[0, 1] + 2 * kernel[0, 2] + 2 * kernel[1, 2]) / 6
    expected = within + (own.sum() - np.trace(own)) / other - 2 * np.array([1, 2, 2]) @ across.mean(1) / 5
    by_patient = PatientKid(features, reference, ["a", "b", "b"], list("wxyz"))
    assert by_patient(np.array([1, 2, 2]), np.ones(4, int)) == pytest.approx(expected, rel=1e-9)


def test_a_resample_without_pairs_has_no_value() -> None:
    by_patient = PatientKid(gaussian_set(3, 2, 0), gaussian_set(3, 2, 1), list("abc"), list("abc"))
    assert np.isnan(by_patient(np.array([0, 3, 0]), np.ones(3, int)))
    assert np.isnan(by_patient(np.zeros(3, int), np.ones(3, int)))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"subset_size": 11}, "subset_size: expected 2 to 10"),
        ({"subset_size": 1}, "subset_size: expected 2 to 10"),
        ({"subsets": 0}, "subsets: expected"),
        ({"seed": 1.5}, "seed: expected"),
    ],
)
def test_bad_subsets_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        kid_over_subsets(gaussian_set(10, 2, 0), gaussian_set(12, 2, 1), **options)
