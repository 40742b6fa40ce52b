"""Intervals by bootstrap over patients; slices of one patient are alike and would make them too narrow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.arguments import check_count, check_number, check_seed
from mcf_bundle.errors import ArgumentError

Statistic = Callable[[NDArray[np.intp]], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Interval:
    """Percentile interval of each of K figures.

    Attributes:
        low: (K,), lower ends; nan with fewer than two patients.
        high: (K,), upper ends; nan with fewer than two patients.
        undefined: (K,), resamples in which the figure was nan; they are left out.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    undefined: NDArray[np.int64]


def bootstrap_over_patients(
    statistic: Statistic,
    patients: Sequence[str],
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Draw patients with replacement, each with all its cases, and return the percentile interval.

    For the difference of two models on the same cases let `statistic` take one from the other on the same
    indices: the draw is then paired.

    Args:
        statistic: indices of cases, with repeats, (N',) -> figures, (K,); nan where one is undefined.
        patients: patient of each case, (N,).
        resamples: how many draws.
        level: probability inside the interval, in (0, 1).
        seed: seed of the draws; the patients are drawn in the order of their names, so that the order of
            the cases does not matter.

    Raises:
        ArgumentError: there are no cases, or an argument is out of range.
    """
    check_count("resamples", resamples)
    check_seed("seed", seed)
    check_number("level", level, above=0, below=1)
    if not len(patients):
        raise ArgumentError("patients", "there are no cases", "score at least one")
    names, owner = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    cases = [np.flatnonzero(owner == number) for number in range(len(names))]
    if len(names) < 2:
        nothing = np.full_like(statistic(cases[0]), np.nan, dtype=np.float64)
        return Interval(nothing, nothing, np.zeros(nothing.shape, np.int64))
    generator = np.random.default_rng(seed)
    draws = generator.integers(0, len(names), (resamples, len(names)))
    figures = np.stack([statistic(np.concatenate([cases[number] for number in draw])) for draw in draws])
    ends = [_percentile(column, level) for column in figures.T]
    low, high = np.array(ends, np.float64).T
    return Interval(low, high, np.isnan(figures).sum(0))


def _percentile(figures: NDArray[np.float64], level: float) -> tuple[float, float]:
    known = figures[~np.isnan(figures)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
