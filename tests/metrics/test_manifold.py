"""Precision, recall, density and coverage against sets whose balls can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.manifold import density_coverage, manifold_scores, precision_recall
from tests.metrics.feature_sets import gaussian_set

LINE = np.array([[0.0], [1.0], [2.0], [3.0], [10.0]])
"""With one neighbor: balls of radius 1, 1, 1, 1 and 7."""


def test_balls_on_a_line_by_hand() -> None:
    features = np.array([[3.5], [-1.5], [10.0]])
    found = manifold_scores(features, LINE, precision_neighbors=1, density_neighbors=1)
    # Balls of the reference: [-1, 1], [0, 2], [1, 3], [2, 4], [3, 17].
    assert found.precision.tolist() == [1, 0, 1]
    assert found.density.tolist() == [2, 0, 1]
    assert found.coverage.tolist() == [0, 0, 0, 1, 1]
    # Balls of the set have radius 5, 5 and 6.5: [-1.5, 8.5], [-6.5, 3.5], [3.5, 16.5].
    assert found.recall.tolist() == [1, 1, 1, 1, 1]


def test_the_surface_of_a_ball_counts_for_precision_and_not_for_density() -> None:
    found = manifold_scores(np.array([[-1.0], [-50.0]]), LINE, precision_neighbors=1, density_neighbors=1)
    assert (found.precision[0], found.density[0], found.coverage.sum()) == (1, 0, 0)


def test_a_set_covers_itself() -> None:
    features = gaussian_set(60, 8, 0)
    assert precision_recall(features, features) == (1, 1)
    density, coverage = density_coverage(features, features)
    assert coverage == 1
    # A ball holds its own case and the neighbors before the k-th: k of k.
    assert density == pytest.approx(1)


def test_sets_far_apart_share_nothing() -> None:
    features, reference = gaussian_set(30, 8, 0), gaussian_set(40, 8, 1, mean=100)
    assert precision_recall(features, reference) == (0, 0)
    assert density_coverage(features, reference) == (0, 0)


def test_a_collapsed_set_is_precise_and_recalls_little() -> None:
    reference = gaussian_set(200, 4, 0)
    collapsed = 0.05 * gaussian_set(200, 4, 1)
    precision, recall = precision_recall(collapsed, reference)
    density, coverage = density_coverage(collapsed, reference)
    assert precision > 0.95
    assert density > 1.2  # one distribution gives 1, give or take 0.08, see below
    assert max(recall, coverage) < 0.3


def test_precision_of_one_is_recall_of_the_other() -> None:
    features, reference = gaussian_set(50, 5, 0, mean=0.7), gaussian_set(70, 5, 1)
    assert precision_recall(features, reference) == precision_recall(reference, features)[::-1]


def test_order_and_shift_change_nothing() -> None:
    features, reference = gaussian_set(50, 5, 0, mean=0.7), gaussian_set(70, 5, 1)
    order = np.random.default_rng(0).permutation(50)
    expected = (*precision_recall(features, reference), *density_coverage(features, reference))
    moved = features[order] + 3, reference + 3
    assert (*precision_recall(*moved), *density_coverage(*moved)) == pytest.approx(expected, rel=1e-12)
    assert 0 < min(expected) < max(expected) < 1


def test_one_distribution_has_density_and_coverage_as_published() -> None:
    # Naeem et al. 2020: density 1 on average; coverage 1 - (n - 1) ... (n - k) / ((2n - 1) ... (2n - k)).
    n, k = 400, 5
    expected = 1 - np.prod([(n - j) / (2 * n - j) for j in range(1, k + 1)])
    found = [density_coverage(gaussian_set(n, 6, s), gaussian_set(n, 6, s + 50)) for s in range(4)]
    density, coverage = np.mean(found, axis=0)
    assert density == pytest.approx(1, abs=0.08)
    assert coverage == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("metric", "over_reference"),
    [("precision", False), ("density", False), ("recall", True), ("coverage", True)],
)
def test_counts_weigh_what_is_averaged_over(metric: str, over_reference: bool) -> None:
    features, reference = gaussian_set(20, 5, 0, mean=0.9), gaussian_set(25, 5, 1)
    found = manifold_scores(features, reference)
    counts = np.arange(25 if over_reference else 20) % 3
    given = {"reference_counts" if over_reference else "counts": counts}
    assert found.mean(metric, **given) == pytest.approx(np.repeat(getattr(found, metric), counts).mean())
    assert np.isnan(found.mean(metric, **{name: 0 * value for name, value in given.items()}))


def test_as_many_neighbors_as_cases_are_refused() -> None:
    with pytest.raises(ArgumentError, match="reference: expected 4 cases or more, got 3"):
        precision_recall(gaussian_set(4, 2, 0), gaussian_set(3, 2, 1))
