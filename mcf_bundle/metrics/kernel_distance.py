"""Kernel distance of two feature sets (KID): the unbiased squared maximum mean discrepancy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.arguments import check_count, check_seed
from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.feature_arrays import Features, as_feature_pair


def cubic_kernel(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (x . y / D + 1)^3 of every pair, (N, D) and (M, D) -> (N, M)."""
    return (first @ second.T / first.shape[1] + 1) ** 3


def kid(features: Features, reference: Features) -> float:
    """Return the unbiased squared maximum mean discrepancy with the cubic kernel (Binkowski et al. 2018).

    It is 0 on average for two sets of one distribution, whatever their sizes, and can be below 0.

    Args:
        features: (N, D), N of 2 or more.
        reference: (M, D), of the same extractor; M need not be N.

    Raises:
        ArgumentError: see `as_feature_pair`.
    """
    return _unbiased(*as_feature_pair(features, reference))


@dataclass(frozen=True)
class SubsetKid:
    """Kernel distance over random subsets, as it is mostly reported.

    Attributes:
        mean: over the subsets.
        sd: standard deviation over the subsets (divided by their number). Subsets overlap: this is no
            standard error, and no interval either.
        subsets: how many.
        subset_size: cases of each set in one.
    """

    mean: float
    sd: float
    subsets: int
    subset_size: int


def kid_over_subsets(
    features: Features,
    reference: Features,
    *,
    subsets: int = 100,
    subset_size: int | None = None,
    seed: int = 0,
) -> SubsetKid:
    """Average the kernel distance over random subsets.

    Args:
        features: (N, D).
        reference: (M, D), of the same extractor.
        subsets: how many are drawn.
        subset_size: cases of each set, drawn without replacement; None takes 1000, or all of the smaller set.
        seed: seed of the draws.

    Raises:
        ArgumentError: see `as_feature_pair`, or a subset is larger than a set or smaller than 2.
    """
    pair = as_feature_pair(features, reference)
    fewest = min(map(len, pair))
    size = min(1000, fewest) if subset_size is None else subset_size
    check_count("subsets", subsets)
    check_count("subset_size", size)
    check_seed("seed", seed)
    if not 2 <= size <= fewest:
        problem = f"expected 2 to {fewest}, the smaller set's cases, got {size}"
        raise ArgumentError("subset_size", problem, "use smaller subsets or more images")
    generator = np.random.default_rng(seed)
    found = [
        _unbiased(*(array[generator.choice(len(array), size, replace=False)] for array in pair))
        for _ in range(subsets)
    ]
    return SubsetKid(float(np.mean(found)), float(np.std(found)), subsets, size)


class PatientKid:
    """The kernel distance as a function of how often each patient counts, for resamples.

    A patient drawn twice is two patients who look alike by chance. Pairs between a case and its own copy, and
    between the copies of one patient, would look like closeness in the set: those between copies are left
    out, and pairs within a patient count once a draw. So a resample is not biased against its set, and costs
    patients squared instead of cases squared.

    Args:
        features: (N, D).
        reference: (M, D), of the same extractor.
        patients: patient of each case, (N,).
        reference_patients: patient of each case of the reference, (M,).
    """

    def __init__(
        self,
        features: Features,
        reference: Features,
        patients: Sequence[str],
        reference_patients: Sequence[str],
    ) -> None:
        arrays = as_feature_pair(features, reference)
        owners = [_Owners(names) for names in (patients, reference_patients)]
        self._owners = owners
        self._within = [
            owner.sum_pairs(cubic_kernel(array, array), owner, own=False)
            for owner, array in zip(owners, arrays, strict=True)
        ]
        self._pairs = [
            owner.sum_pairs(np.ones((len(owner.of_case),) * 2), owner, own=False) for owner in owners
        ]
        self._across = owners[0].sum_pairs(cubic_kernel(*arrays), owners[1])

    def __call__(self, counts: NDArray[np.int64], reference_counts: NDArray[np.int64]) -> float:
        """Return the distance, each case counted so often, a patient's cases alike; nan without pairs."""
        draws = [
            owner.draws(given) for owner, given in zip(self._owners, (counts, reference_counts), strict=True)
        ]
        means = []
        for drawn, sums, pairs in zip(draws, self._within, self._pairs, strict=True):
            weights = np.outer(drawn, drawn)
            np.fill_diagonal(weights, drawn)
            total = (weights * pairs).sum()
            means.append((weights * sums).sum() / total if total else np.nan)
        sizes = [drawn @ owner.cases for drawn, owner in zip(draws, self._owners, strict=True)]
        if not all(sizes):
            return float("nan")
        across = draws[0] @ self._across @ draws[1] / np.prod(sizes)
        return float(sum(means) - 2 * across)


class _Owners:
    """Who owns which case."""

    def __init__(self, patients: Sequence[str]) -> None:
        self.names, self.first, self.of_case, self.cases = np.unique(
            np.asarray(patients, str), return_index=True, return_inverse=True, return_counts=True
        )

    def draws(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """How often each patient was drawn."""
        return counts[self.first].astype(np.float64)

    def sum_pairs(
        self, values: NDArray[np.float64], other: _Owners, *, own: bool = True
    ) -> NDArray[np.float64]:
        """Sum (N, M) over the cases of each pair of patients; without `own`, no case meets itself."""
        if not own:
            values = values - np.diag(np.diag(values))
        sums = np.zeros((len(self.names), len(other.names)))
        np.add.at(sums, (self.of_case[:, None], other.of_case[None]), values)
        return sums


def _unbiased(features: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    within = 0.0
    for array in (features, reference):
        kernel, n = cubic_kernel(array, array), len(array)
        within += float(kernel.sum() - np.trace(kernel)) / (n * (n - 1))
    return within - 2 * float(cubic_kernel(features, reference).mean())
