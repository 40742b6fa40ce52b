"""How far two feature sets cover each other: precision and recall, density and coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mcf_bundle.arguments import check_count
from mcf_bundle.metrics.feature_arrays import Counts, Features, as_counts, as_feature_pair

PRECISION_NEIGHBORS = 3
"""Of Kynkaanniemi et al. 2019."""

DENSITY_NEIGHBORS = 5
"""Of Naeem et al. 2020."""


@dataclass(frozen=True, eq=False)
class ManifoldScores:
    """What each case adds to the four means.

    Attributes:
        precision: (N,), 1 where a case lies in the reference's manifold: a ball around each reference case
            out to its k-th neighbor.
        recall: (M,), 1 where a reference case lies in the manifold of the features.
        density: (N,), number of reference balls around a case, divided by k.
        coverage: (M,), 1 where a case lies in the ball of this reference case.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    density: NDArray[np.float64]
    coverage: NDArray[np.float64]

    def mean(
        self, metric: str, counts: Counts | None = None, reference_counts: Counts | None = None
    ) -> float:
        """Return one of the four, with each case counted so often; nan if none counts.

        The manifolds stay those of all cases: only what is averaged over is resampled. A case drawn twice
        would be its own neighbor at distance 0.
        """
        scores = getattr(self, metric)
        over = counts if metric in ("precision", "density") else reference_counts
        weights = as_counts(over, len(scores))
        return float(weights @ scores / weights.sum()) if weights.sum() else float("nan")


def manifold_scores(
    features: Features,
    reference: Features,
    *,
    precision_neighbors: int = PRECISION_NEIGHBORS,
    density_neighbors: int = DENSITY_NEIGHBORS,
) -> ManifoldScores:
    """Measure which cases lie in the other set's manifold.

    Precision and recall are those of Kynkaanniemi et al. 2019 (Eq. 1 to 3; a case on a ball's surface lies in
    it), density and coverage those of Naeem et al. 2020 (Eq. 5 and 7; it does not).

    Args:
        features: (N, D).
        reference: (M, D), of the same extractor.
        precision_neighbors: k of precision and recall.
        density_neighbors: k of density and coverage.

    Raises:
        ArgumentError: see `as_feature_pair`, or a set has no more cases than neighbors.
    """
    check_count("precision_neighbors", precision_neighbors)
    check_count("density_neighbors", density_neighbors)
    least = max(precision_neighbors, density_neighbors) + 1
    first, second = as_feature_pair(features, reference, least=least)
    across = _distances(first, second)
    own, others = _distances(first, first), _distances(second, second)
    near = across <= _radii(others, precision_neighbors)
    near_back = across <= _radii(own, precision_neighbors)[:, None]
    balls = across < _radii(others, density_neighbors)
    return ManifoldScores(
        precision=np.asarray(near.any(1), np.float64),
        recall=np.asarray(near_back.any(0), np.float64),
        density=balls.sum(1) / density_neighbors,
        coverage=np.asarray(balls.any(0), np.float64),
    )


def precision_recall(
    features: Features, reference: Features, *, neighbors: int = PRECISION_NEIGHBORS
) -> tuple[float, float]:
    """Return precision and recall, each in [0, 1]; see `manifold_scores`."""
    found = manifold_scores(features, reference, precision_neighbors=neighbors, density_neighbors=neighbors)
    return found.mean("precision"), found.mean("recall")


def density_coverage(
    features: Features, reference: Features, *, neighbors: int = DENSITY_NEIGHBORS
) -> tuple[float, float]:
    """Return density, 0 or more and about 1 for one distribution, and coverage, in [0, 1]."""
    found = manifold_scores(features, reference, precision_neighbors=neighbors, density_neighbors=neighbors)
    return found.mean("density"), found.mean("coverage")


def _distances(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    # By differences: |x|^2 + |y|^2 - 2 x.y would give two equal cases a distance.
    mode = "donot_use_mm_for_euclid_dist"
    return torch.cdist(torch.from_numpy(first), torch.from_numpy(second), compute_mode=mode).numpy()


def _radii(distances: NDArray[np.float64], neighbors: int) -> NDArray[np.float64]:
    """Distance of each case to its k-th neighbor, itself not counted, (N,)."""
    return np.partition(distances, neighbors, axis=1)[:, neighbors]
