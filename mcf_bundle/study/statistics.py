"""The difference of two arms on the same patients: interval, p, verdict, and what the design could find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mcf_bundle.arguments import check_count, check_number, check_seed, check_whole
from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.bootstrap import bootstrap_over_patients

ALPHA = 0.05
"""Level of every test; intervals hold 1 - ALPHA."""

POWER = 0.8
"""Probability with which the smallest difference that a design can find is found."""

FLIPS = 9999
"""Sign flips drawn where there are more than that many; with fewer all are taken."""


class Verdict(StrEnum):
    """What a comparison says."""

    BETTER = "better"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, eq=False)
class PairedScores:
    """One arm minus another, patient by patient and seed by seed.

    Attributes:
        patients: names, (P,), each once.
        folds: test fold of each patient, (P,).
        differences: (P, S), float64; nan where the patient's fold lacks the seed in one of the arms.

    Raises:
        ArgumentError: sizes differ, there is no difference, a patient is there twice, or a fold has a seed
            for some of its patients only.
    """

    patients: tuple[str, ...]
    folds: tuple[str, ...]
    differences: NDArray[np.float64]

    def __post_init__(self) -> None:
        count = len(self.patients)
        if self.differences.ndim != 2 or {len(self.folds), len(self.differences)} != {count} or not count:
            problem = f"{count} patients, {len(self.folds)} folds, differences {self.differences.shape}"
            raise ArgumentError("differences", problem, "give one row a patient")
        twice = sorted({name for name in self.patients if self.patients.count(name) > 1})
        if twice:
            problem = f"{twice[0]} was tested in two folds"
            raise ArgumentError("patients", problem, "test each patient once, so that it counts once")
        known = ~np.isnan(self.differences)
        for fold, rows in self.rows_of_folds().items():
            if not known[rows].any() or (known[rows] != known[rows][:1]).any():
                problem = f"fold {fold} has a seed for some of its patients only, or none"
                raise ArgumentError("differences", problem, "pair whole runs")

    def rows_of_folds(self) -> dict[str, NDArray[np.intp]]:
        """Return the rows of each fold's patients."""
        folds = np.array(self.folds)
        return {fold: np.flatnonzero(folds == fold) for fold in dict.fromkeys(self.folds)}

    def patient_means(self) -> NDArray[np.float64]:
        """Return the mean over the seeds of each patient's difference, (P,)."""
        return np.asarray(np.nanmean(self.differences, axis=1))


@dataclass(frozen=True)
class PairedResult:
    """What the paired differences come to.

    Attributes:
        difference: mean over seeds, then over patients.
        low: lower end of the 95 % interval; nan below two patients.
        high: upper end.
        p: two-sided, by sign flips over patients.
        patient_sd: standard deviation over patients of their mean differences; nan below two.
        seed_sd: standard deviation over the seeds of a fold's mean difference; nan where no fold has two.
        smallest_difference: see `smallest_difference`; without two seeds it leaves their spread out.
        patients: number of patients.
        folds: number of folds.
        seeds: number of seeds.
        runs: pairs of runs, one for each fold and seed.
    """

    difference: float
    low: float
    high: float
    p: float
    patient_sd: float
    seed_sd: float
    smallest_difference: float
    patients: int
    folds: int
    seeds: int
    runs: int


def compare(scores: PairedScores, *, resamples: int = 2000, seed: int = 0) -> PairedResult:
    """Summarize paired differences.

    Args:
        scores: one arm minus another.
        resamples: draws of the bootstrap.
        seed: seed of the bootstrap and of the sign flips.
    """
    means = scores.patient_means()
    low, high = bootstrap_interval(scores, resamples=resamples, seed=seed)
    patient_sd = float(means.std(ddof=1)) if len(means) > 1 else float("nan")
    of_seeds = seed_sd(scores)
    seeds_of_folds = {
        fold: int((~np.isnan(scores.differences[rows[0]])).sum())
        for fold, rows in scores.rows_of_folds().items()
    }
    sizes = [len(rows) for rows in scores.rows_of_folds().values()]
    return PairedResult(
        difference=float(means.mean()),
        low=low,
        high=high,
        p=sign_flip_p(means, seed=seed),
        patient_sd=patient_sd,
        seed_sd=of_seeds,
        smallest_difference=smallest_difference(
            patient_sd, 0.0 if np.isnan(of_seeds) else of_seeds, sizes, [*seeds_of_folds.values()]
        ),
        patients=len(means),
        folds=len(sizes),
        seeds=int((~np.isnan(scores.differences)).any(axis=0).sum()),
        runs=sum(seeds_of_folds.values()),
    )


def bootstrap_interval(
    scores: PairedScores, *, resamples: int = 2000, seed: int = 0, level: float = 1 - ALPHA
) -> tuple[float, float]:
    """Return the percentile interval of the mean difference by bootstrap over patients and seeds.

    Each draw takes patients with replacement, each with both arms, and within each fold as many seeds as it
    has, with replacement. The luck of a training is common to all test patients of its fold; drawing
    patients alone would leave it out and make the interval too narrow. Two crossed draws err on the wide
    side (Owen, The pigeonhole bootstrap, Annals of Applied Statistics 2007). With one seed a fold the luck
    cannot be seen and the interval is that over patients.

    Returns:
        Lower and upper end; nan below two patients.

    Raises:
        ArgumentError: see `bootstrap_over_patients`.
    """
    check_seed("seed", seed)
    generator = np.random.default_rng([seed, 1])
    numbers = {fold: number for number, fold in enumerate(scores.rows_of_folds())}
    fold_of_row = np.array([numbers[fold] for fold in scores.folds])
    first_rows = [rows[0] for rows in scores.rows_of_folds().values()]
    present = ~np.isnan(scores.differences[first_rows])
    counts = present.sum(1)
    shares = present / counts[:, None]
    known = np.nan_to_num(scores.differences)

    def mean_with_drawn_seeds(rows: NDArray[np.intp]) -> NDArray[np.float64]:
        weights = generator.multinomial(counts, shares) / counts[:, None]
        return np.array([(known * weights[fold_of_row]).sum(axis=1)[rows].mean()])

    interval = bootstrap_over_patients(
        mean_with_drawn_seeds, scores.patients, resamples=resamples, level=level, seed=seed
    )
    return float(interval.low[0]), float(interval.high[0])


def sign_flip_p(means: NDArray[np.float64], *, flips: int = FLIPS, seed: int = 0) -> float:
    """Return the two-sided p of a paired permutation test over patients.

    If the arms do not differ, each patient's difference could as well have had the other sign. All signs are
    tried if there are at most `flips` of them, else as many are drawn (scipy's `permutation_test`, type
    'samples'). The trained networks are taken as they are: the luck of the seeds is in the interval.

    Args:
        means: difference of each patient, (P,).
        flips: most sign flips.
        seed: seed of the flips.

    Returns:
        From 0 to 1; 1 below two patients.
    """
    if len(means) < 2:
        return 1.0
    found = stats.permutation_test(
        (means, np.zeros_like(means)),
        lambda one, other, axis: (one - other).mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=flips,
        random_state=seed,
    )
    return min(float(found.pvalue), 1.0)


def seed_sd(scores: PairedScores) -> float:
    """Return the standard deviation over seeds of a fold's mean difference, pooled over the folds.

    Folds count by their degrees of freedom, seeds less one; nan if no fold has two seeds.
    """
    squares, freedom = 0.0, 0
    for rows in scores.rows_of_folds().values():
        found = scores.differences[rows].mean(axis=0)
        found = found[~np.isnan(found)]
        squares += float(((found - found.mean()) ** 2).sum())
        freedom += len(found) - 1
    return float(np.sqrt(squares / freedom)) if freedom else float("nan")


def smallest_difference(
    patient_sd: float,
    seed_sd: float,
    patients_of_folds: Sequence[int],
    seeds_of_folds: Sequence[int],
    *,
    alpha: float = ALPHA,
    power: float = POWER,
) -> float:
    """Return the true difference that a paired design finds with the given power.

    delta = (t[1 - alpha/2] + t[power]) * SE, both quantiles of Student's t with n - 1 degrees of freedom, and
    SE^2 = patient_sd^2 / n + sum over folds of (n_f / n)^2 * seed_sd^2 / S_f
    for n patients, n_f of them in fold f with its S_f seeds. The first factor is the sample size formula of
    the paired t test solved for the difference (Chow, Shao, Wang and Lokhnygina, Sample Size Calculations in
    Clinical Research, 3rd edition, chapter 3); the second term adds the luck of each fold's trainings.

    Args:
        patient_sd: standard deviation over patients of the difference, averaged over seeds.
        seed_sd: standard deviation over seeds of a fold's mean difference; the SD of one arm times the
            square root of 2 where the arms are trained independently.
        patients_of_folds: test patients of each fold.
        seeds_of_folds: seeds of each fold.
        alpha: level of the two-sided test.
        power: probability of finding it.

    Returns:
        The difference, in the unit of the standard deviations; nan below two patients.

    Raises:
        ArgumentError: an argument is out of range.
    """
    check_number("seed_sd", seed_sd, least=0)
    check_number("alpha", alpha, above=0, below=1)
    check_number("power", power, above=0, below=1)
    if len(patients_of_folds) != len(seeds_of_folds):
        problem = f"{len(patients_of_folds)} folds have patients, {len(seeds_of_folds)} have seeds"
        raise ArgumentError("seeds_of_folds", problem, "give one number a fold")
    for size, seeds in zip(patients_of_folds, seeds_of_folds, strict=True):
        check_whole("patients_of_folds", size)
        check_count("seeds_of_folds", seeds)
    n = sum(patients_of_folds)
    if n < 2:
        return float("nan")
    check_number("patient_sd", patient_sd, least=0)
    luck = sum(
        (size / n * seed_sd) ** 2 / seeds
        for size, seeds in zip(patients_of_folds, seeds_of_folds, strict=True)
    )
    quantiles = stats.t.ppf(1 - alpha / 2, n - 1) + stats.t.ppf(power, n - 1)
    return float(quantiles * np.sqrt(patient_sd**2 / n + luck))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number, after Holm (Scandinavian Journal of Statistics 1979).

    The smallest is multiplied by their number m, the next by m - 1 and so on; none falls below the one
    before it, none exceeds 1. An adjusted p at or below alpha keeps the chance of any false finding in the
    family at alpha.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]

    Raises:
        ArgumentError: a value is no probability.
    """
    for p in p_values:
        check_number("p_values", p, least=0, most=1)
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted


def judge(low: float, high: float, p: float, *, best: str) -> Verdict:
    """Return the verdict on a difference: interval and p have to agree.

    Args:
        low: lower end of the interval of the difference, nan if unknown.
        high: upper end.
        p: of the test, adjusted where there are several.
        best: which side is better, 'high' or 'low'.
    """
    if not (low > 0 or high < 0) or not p <= ALPHA:
        return Verdict.INCONCLUSIVE
    return Verdict.BETTER if (low > 0) == (best == "high") else Verdict.WORSE
