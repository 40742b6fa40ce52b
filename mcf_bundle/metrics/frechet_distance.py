"""Frechet distance of two feature sets (FID), and its value extrapolated to infinitely many images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mcf_bundle.arguments import check_count, check_number, check_seed
from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.feature_arrays import Counts, Features, as_counts, as_feature_pair, as_features


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Mean and covariance of a feature set, the covariance as a factor.

    Attributes:
        mean: (D,), float64.
        factor: (R, D), float64; factor.T @ factor is the covariance. R is at most D.
    """

    mean: NDArray[np.float64]
    factor: NDArray[np.float64]

    @property
    def covariance(self) -> NDArray[np.float64]:
        """The covariance, (D, D)."""
        return self.factor.T @ self.factor


def gaussian_of(features: Features, counts: Counts | None = None) -> Gaussian:
    """Return mean and sample covariance (n - 1) of a feature set.

    Args:
        features: (N, D), N of 2 or more.
        counts: (N,), how often each case counts; None is once.

    Raises:
        ArgumentError: see `as_features`, or fewer than two cases count.
    """
    array = as_features("features", features)
    repeats = as_counts(counts, len(array))
    total = int(repeats.sum())
    if total < 2:
        raise ArgumentError("counts", f"expected two cases or more, got {total}", "use more images")
    array, repeats = array[repeats > 0], repeats[repeats > 0]
    mean = repeats @ array / total
    factor = np.sqrt(repeats / (total - 1))[:, None] * (array - mean)
    if len(factor) <= factor.shape[1]:
        return Gaussian(mean, factor)
    return Gaussian(mean, np.asarray(np.linalg.qr(factor, mode="r"), np.float64))


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """Return |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), 0 or more (Heusel et al. 2017, Eq. 6).

    With S1 = A^T A and S2 = B^T B the trace of the root is the sum of the singular values of A B^T. Nothing
    is squared or rooted on the way: two equal sets are 0 apart to 12 digits, also with fewer images than
    features, where the product S1 S2 is singular.
    """
    product = torch.from_numpy(first.factor) @ torch.from_numpy(second.factor).T
    root_trace = float(torch.linalg.svdvals(product).sum())
    traces = float((first.factor**2).sum() + (second.factor**2).sum())
    shift = float(((first.mean - second.mean) ** 2).sum())
    return max(shift + traces - 2 * root_trace, 0.0)


def fid(
    features: Features,
    reference: Features,
    *,
    counts: Counts | None = None,
    reference_counts: Counts | None = None,
) -> float:
    """Return the Frechet distance of two feature sets; with Inception features, FID.

    The figure is biased upwards, the more the fewer images there are: compare only sets of one size, or use
    `fid_infinity` or the kernel distance.

    Args:
        features: (N, D).
        reference: (M, D), of the same extractor.
        counts: (N,), see `gaussian_of`.
        reference_counts: (M,), likewise.

    Raises:
        ArgumentError: see `as_feature_pair`.
    """
    pair = as_feature_pair(features, reference)
    return frechet_distance(gaussian_of(pair[0], counts), gaussian_of(pair[1], reference_counts))


def fid_infinity(
    features: Features,
    reference: Features,
    *,
    counts: Counts | None = None,
    reference_counts: Counts | None = None,
    steps: int = 8,
    smallest: float = 0.5,
    seed: int = 0,
) -> float:
    """Return FID extrapolated to infinitely many images (Chong and Forsyth 2020).

    FID falls about linearly in 1/n. It is measured on random subsets whose shares of the cases have equally
    spaced reciprocals, and a straight line through these points is followed to 1/n = 0. Both sets are thinned
    by the same share, unlike in the source, where a reference of 50,000 images needs none: here the reference
    is small too. The line holds while there are more images than features; below that the figure is only
    nearer to the limit than FID itself. It can fall below 0, by chance.

    Args:
        features: (N, D).
        reference: (M, D), of the same extractor.
        counts: (N,), see `gaussian_of`.
        reference_counts: (M,), likewise.
        steps: number of shares, 2 or more.
        smallest: smallest share, in (0, 1).
        seed: seed of the subsets.

    Raises:
        ArgumentError: see `as_feature_pair`, an argument is out of range, or the smallest subset has fewer
            than two cases.
    """
    check_count("steps", steps)
    check_seed("seed", seed)
    check_number("smallest", smallest, above=0, below=1)
    if steps < 2:
        raise ArgumentError("steps", "a line needs two points", "use 2 or more")
    sets = [
        np.repeat(array, as_counts(repeats, len(array)), axis=0)
        for array, repeats in zip(
            as_feature_pair(features, reference), (counts, reference_counts), strict=True
        )
    ]
    if min(map(len, sets)) * smallest < 2:
        problem = f"leaves fewer than two of {min(map(len, sets))} cases"
        raise ArgumentError("smallest", problem, "use more images or a larger share")
    generator = np.random.default_rng(seed)
    reciprocals = np.linspace(1, 1 / smallest, steps)
    distances = [
        fid(*(generator.permutation(array)[: round(len(array) / reciprocal)] for array in sets))
        for reciprocal in reciprocals
    ]
    return float(np.polynomial.Polynomial.fit(reciprocals, distances, 1)(0.0))
