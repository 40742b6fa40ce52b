"""Accuracy, AUC and the rest on all slices and on level-matched ones, beside what the level alone gives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.errors import DataError
from mcf_bundle.metrics.bootstrap import bootstrap_over_patients
from mcf_bundle.metrics.case_table import LEVEL_COLUMNS, Row
from mcf_bundle.metrics.classification import CLASSIFICATION_METRICS, classification_scores
from mcf_bundle.study.comparisons import Arms, Cell, Group, missing_cells
from mcf_bundle.study.figures import ArmFigure, mean_over_seeds, spread_over_seeds
from mcf_bundle.study.measures import THRESHOLD
from mcf_bundle.study.run_cases import RunKey, read_runs
from mcf_bundle.study.run_scores import RunScores
from mcf_bundle.training.classification_report import ALL, LEVEL_ALONE, LEVELED, MATCHED

Levels = Mapping[RunKey, Mapping[str, Row]]
"""Rows of `LEVEL_COLUMNS` by run and case."""


def read_levels(path: Path) -> Levels:
    """Read the gathered table of levels.

    Raises:
        DataError: see `read_runs`.
    """
    return {run: {row["case"]: row for row in rows} for run, rows in read_runs(path, LEVEL_COLUMNS)}


def classify_arms(
    group: Group,
    arms: Arms,
    levels: Levels,
    *,
    seeds: Sequence[int],
    resamples: int = 500,
    seed: int = 0,
) -> list[ArmFigure]:
    """Return `CLASSIFICATION_METRICS` of every arm of a group, and of a classifier by level alone.

    Args:
        group: which.
        arms: its runs.
        levels: of each run's slices; empty leaves the level-matched slices and the level-only classifier out.
        seeds: that every fold should have.
        resamples: draws of the bootstrap over patients.
        seed: seed of the draws.

    Raises:
        DataError: the levels are not those of the slices.
    """
    if levels:
        _check_levels(arms, levels)
    figures = []
    subsets: dict[str, Callable[[RunScores, str], bool]] = {ALL: lambda run, case: True}
    if levels:
        subsets[LEVELED] = lambda run, case: bool(levels[run.run][case]["leveled"])
        subsets[MATCHED] = lambda run, case: bool(levels[run.run][case]["matched"])
    for name, chooses in subsets.items():
        tables = {arm: _Table(runs, chooses, _predicted) for arm, runs in arms.items()}
        if levels:
            tables[LEVEL_ALONE] = _level_table(arms, levels, chooses)
        for arm, table in tables.items():
            missing = () if arm == LEVEL_ALONE else missing_cells(arms, [arm], seeds)
            figures += table.figures(group, arm, name, missing, resamples, seed)
    return figures


def _check_levels(arms: Arms, levels: Levels) -> None:
    for run in (run for runs in arms.values() for run in runs.values()):
        if set(levels.get(run.run, ())) != set(run.cases):
            problem = f"the run '{run.run}' lacks levels of its slices"
            raise DataError("the table of levels", problem, "evaluate the run again")


def _predicted(run: RunScores, place: int) -> float:
    return float(run.probabilities[place])


def _level_table(arms: Arms, levels: Levels, chooses: Callable[[RunScores, str], bool]) -> _Table:
    """A run of each fold stands for all: what the level gives does not depend on arm and seed."""
    first: dict[str, tuple[Cell, RunScores]] = {}
    for cell, run in ((cell, run) for runs in arms.values() for cell, run in runs.items()):
        first.setdefault(cell.fold, (cell, run))
    runs = {Cell(cell.fold, 0): run for cell, run in first.values()}
    return _Table(runs, chooses, lambda run, place: levels[run.run][run.cases[place]]["probability"])


class _Table:
    """Labels and probabilities of chosen slices, seed by seed."""

    def __init__(
        self,
        runs: Mapping[Cell, RunScores],
        chooses: Callable[[RunScores, str], bool],
        probability: Callable[[RunScores, int], float],
    ) -> None:
        self.runs, self.seeds = runs, sorted({cell.seed for cell in runs})
        found: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
        labels: dict[tuple[str, str], int] = {}
        owners: dict[tuple[str, str], str] = {}
        for cell, run in runs.items():
            for place, case in enumerate(run.cases):
                if chooses(run, case):
                    key = (cell.fold, case)
                    found[key][cell.seed] = probability(run, place)
                    labels[key], owners[key] = int(run.labels[place]), run.owners[place]
        self.labels = np.array(list(labels.values()), np.int64)
        self.patients = list(owners.values())
        self.probabilities = np.array(
            [[by_seed.get(seed, np.nan) for seed in self.seeds] for by_seed in found.values()], np.float64
        ).reshape(len(found), len(self.seeds))

    def by_seed(self, cases: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return `CLASSIFICATION_METRICS` of some slices, (S, K)."""
        rows = []
        for column in self.probabilities[cases].T:
            known = ~np.isnan(column)
            scores = classification_scores(self.labels[cases][known], column[known], threshold=THRESHOLD)
            rows.append([scores[name] for name in CLASSIFICATION_METRICS])
        return np.array(rows, np.float64)

    def figures(
        self,
        group: Group,
        arm: str,
        slices_of: str,
        missing: tuple[str, ...],
        resamples: int,
        seed: int,
    ) -> list[ArmFigure]:
        """Return a figure for each metric; none without slices."""
        if not len(self.labels):
            return []
        values = self.by_seed(np.arange(len(self.labels)))
        means = mean_over_seeds(values)
        interval = bootstrap_over_patients(
            lambda cases: mean_over_seeds(self.by_seed(cases)), self.patients, resamples=resamples, seed=seed
        )
        tumor = int(self.labels.sum())
        return [
            ArmFigure(
                group=group,
                arm=arm,
                slices_of=slices_of,
                measure=name,
                over=slices_of,
                unit="",
                best="low" if name == "calibration_error" else "high",
                value=float(means[k]),
                low=float(interval.low[k]),
                high=float(interval.high[k]),
                seed_sd=spread_over_seeds(values[:, k]),
                patients=len(set(self.patients)),
                tumor_slices=tumor,
                tumor_free_slices=len(self.labels) - tumor,
                folds=len({cell.fold for cell in self.runs}),
                seeds=len(self.seeds),
                runs=len(self.runs),
                missing=missing,
            )
            for k, name in enumerate(CLASSIFICATION_METRICS)
        ]
