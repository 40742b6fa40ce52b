"""The figures of each arm: means over seeds of what the measures give, each with interval, spread and n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.metrics.bootstrap import bootstrap_over_patients
from mcf_bundle.study.comparisons import Arms, Cell, Group, missing_cells
from mcf_bundle.study.measures import MEASURES
from mcf_bundle.study.run_scores import RunScores
from mcf_bundle.training.classification_report import ALL


@dataclass(frozen=True)
class ArmFigure:
    """One figure of an arm and everything needed to judge it.

    Attributes:
        group: question, model and fraction.
        arm: which one.
        slices_of: which slices count.
        measure: name of the figure.
        over: what the mean is taken over.
        unit: mm, pixel or voxel, or nothing for shares.
        best: which side is better, high or low.
        value: mean over the seeds, each pooled over its folds; nan where it is not defined.
        low: lower end of the 95 % interval by bootstrap over patients; nan below two patients.
        high: upper end.
        seed_sd: standard deviation over the seeds; nan below two.
        patients: patients.
        tumor_slices: slices with tumor.
        tumor_free_slices: slices without.
        folds: test folds.
        seeds: seeds.
        runs: trainings behind the figure.
        missing: trainings that are not there, in words.
    """

    group: Group
    arm: str
    slices_of: str
    measure: str
    over: str
    unit: str
    best: str
    value: float
    low: float
    high: float
    seed_sd: float
    patients: int
    tumor_slices: int
    tumor_free_slices: int
    folds: int
    seeds: int
    runs: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class RunCounts:
    """How many of everything stand behind the figures of an arm; see `ArmFigure`."""

    patients: int
    tumor_slices: int
    tumor_free_slices: int
    folds: int
    seeds: int
    runs: int


def measure_arms(
    group: Group, arms: Arms, *, seeds: Sequence[int], resamples: int = 2000, seed: int = 0
) -> list[ArmFigure]:
    """Return every measure of every arm of a group.

    Args:
        group: which.
        arms: its runs.
        seeds: that every fold should have.
        resamples: draws of the bootstrap over patients.
        seed: seed of the draws.
    """
    return [
        figure
        for arm, runs in arms.items()
        for figure in _measure_arm(
            group, arm, runs, missing_cells(arms, [arm], seeds), resamples=resamples, seed=seed
        )
    ]


def _measure_arm(
    group: Group,
    arm: str,
    runs: Mapping[Cell, RunScores],
    missing: tuple[str, ...],
    *,
    resamples: int,
    seed: int,
) -> list[ArmFigure]:
    patients = sorted({name for run in runs.values() for name in run.patients})
    sums, weights = _stack(runs, patients)

    def by_seed(rows: NDArray[np.intp]) -> NDArray[np.float64]:
        return _ratio(sums[rows].sum(axis=0), weights[rows].sum(axis=0))

    values = by_seed(np.arange(len(patients)))
    interval = bootstrap_over_patients(
        lambda rows: mean_over_seeds(by_seed(rows)), patients, resamples=resamples, seed=seed
    )
    counts, units = count_runs(runs), next(iter(runs.values())).units
    means, names = mean_over_seeds(values), list(next(iter(runs.values())).sums)
    return [
        ArmFigure(
            group=group,
            arm=arm,
            slices_of=ALL,
            measure=name,
            over=MEASURES[name].over,
            unit=units[name],
            best=MEASURES[name].best,
            value=float(means[k]),
            low=float(interval.low[k]),
            high=float(interval.high[k]),
            seed_sd=spread_over_seeds(values[:, k]),
            missing=missing,
            **vars(counts),
        )
        for k, name in enumerate(names)
    ]


def count_runs(runs: Mapping[Cell, RunScores]) -> RunCounts:
    """Count what stands behind some runs; the patients of a fold count once, whatever the seeds."""
    of_folds = {cell.fold: run for cell, run in runs.items()}
    tumor = sum(int(run.tumor_slices.sum()) for run in of_folds.values())
    return RunCounts(
        patients=len({name for run in of_folds.values() for name in run.patients}),
        tumor_slices=tumor,
        tumor_free_slices=sum(int(run.slices.sum()) for run in of_folds.values()) - tumor,
        folds=len(of_folds),
        seeds=len({cell.seed for cell in runs}),
        runs=len(runs),
    )


def mean_over_seeds(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average (S, K) over the seeds whose figure is defined; nan where none is. Returns (K,)."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0).astype(np.float64))


def spread_over_seeds(values: NDArray[np.float64]) -> float:
    """Return the standard deviation of (S,) over the seeds whose figure is defined; nan below two."""
    known = values[~np.isnan(values)]
    return float(known.std(ddof=1)) if len(known) > 1 else float("nan")


def _stack(
    runs: Mapping[Cell, RunScores], patients: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sums and weights, (P, S, K); 0 where a patient's fold lacks the seed."""
    seeds, names = sorted({cell.seed for cell in runs}), list(next(iter(runs.values())).sums)
    sums = np.zeros((len(patients), len(seeds), len(names)))
    weights = np.zeros_like(sums)
    places = {name: row for row, name in enumerate(patients)}
    for cell, run in runs.items():
        rows, column = [places[name] for name in run.patients], seeds.index(cell.seed)
        sums[rows, column] += np.stack([run.sums[name] for name in names], axis=1)
        weights[rows, column] += np.stack([run.weights[name] for name in names], axis=1)
    return sums, weights


def _ratio(sums: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(sums, weights, out=np.full(sums.shape, np.nan), where=weights > 0)
