"""How much a split by slice flatters: the same networks on the same slices, split by patient and by slice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.errors import DataError
from mcf_bundle.generation.report_table import Table
from mcf_bundle.metrics.bootstrap import bootstrap_over_patients
from mcf_bundle.metrics.case_table import CLASSIFICATION_COLUMNS, SEGMENTATION_COLUMNS, Column, Row
from mcf_bundle.metrics.classification import roc_auc
from mcf_bundle.study.config import StudyConfig
from mcf_bundle.study.measures import MEASURES
from mcf_bundle.study.run_cases import read_runs
from mcf_bundle.study.splits import BY_SLICE, CROSS_VALIDATION
from mcf_bundle.study.tables import StudyTable, with_interval

QUESTIONS = (CROSS_VALIDATION, BY_SLICE)

SHOWN: Mapping[str, Sequence[str]] = {
    "segmentation": ("dice", "slice_dice", "volume_dice", "false_positive_share"),
    "classification": ("accuracy", "auc"),
}
"""What is compared, by task; 'auc' is over all slices, the others stand in `MEASURES`."""

NOTE = (
    "In both, each slice is tested once, and training and validation have the same shares. By slice, other "
    "slices of a tested patient train too: the difference is what this leak adds, and no gain. In brackets: "
    "95 % interval by bootstrap over patients, paired; it does not hold the luck of a training."
)

Cases = Mapping[str, Row]
"""The cases of all folds of an arm with one seed, by name."""


@dataclass(frozen=True)
class SplitComparison:
    """One figure of an arm by patient and by slice; each with the ends of its 95 % interval over patients.

    Attributes:
        model: which network.
        arm: what it was trained on.
        measure: member of `SHOWN`.
        over: what the mean is taken over.
        by_patient: mean over the seeds; ``_low`` and ``_high`` are nan below two patients.
        by_slice: likewise.
        difference: by slice minus by patient.
        patients: patients.
        tumor_slices: slices with tumor.
        slices: all slices.
        seeds: seeds that both have.
    """

    model: str
    arm: str
    measure: str
    over: str
    by_patient: float
    by_patient_low: float
    by_patient_high: float
    by_slice: float
    by_slice_low: float
    by_slice_high: float
    difference: float
    difference_low: float
    difference_high: float
    patients: int
    tumor_slices: int
    slices: int
    seeds: int


def split_table(
    segmentation_csv: Path | None,
    classification_csv: Path | None,
    config: StudyConfig,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> StudyTable | None:
    """Put a study's figures by slice beside those by patient; None if nothing was split by slice.

    Args:
        segmentation_csv: gathered per-case table of the segmenters; None without any.
        classification_csv: likewise of the classifiers.
        config: the study.
        resamples: draws of each bootstrap over patients; a tenth of it for the AUC.
        seed: seed of the draws.

    Raises:
        DataError: a table cannot be read, or the two were not judged on the same slices.
    """
    if config.slice_split is None:
        return None
    tables = (
        ("segmentation", segmentation_csv, SEGMENTATION_COLUMNS),
        ("classification", classification_csv, CLASSIFICATION_COLUMNS),
    )
    found = [
        row
        for task, path, columns in tables
        if path is not None
        for row in compare_splits(path, columns, SHOWN[task], resamples=resamples, seed=seed)
    ]
    columns = ("model", "arm", "figure", "over", "by patient", "by slice", "difference, points", "n")
    shown = Table("Split by slice beside split by patient", columns, tuple(map(_shown, found)), NOTE)
    return StudyTable("split_by_slice", tuple(vars(row) for row in found), (shown,))


def compare_splits(
    path: Path, columns: Mapping[str, Column], measures: Sequence[str], *, resamples: int, seed: int
) -> list[SplitComparison]:
    """Compare each arm that a gathered table has by patient and by slice, on the seeds that both have.

    Args:
        path: the gathered table.
        columns: of the case table.
        measures: members of `MEASURES`, or 'auc'.
        resamples: draws of each bootstrap over patients; a tenth of it for the AUC.
        seed: seed of the draws.

    Raises:
        DataError: see `read_runs`, or the two were not judged on the same slices.
    """
    found = []
    for (model, arm), of_splits in _read(path, columns).items():
        seeds = sorted(set.intersection(*(set(of_splits[question]) for question in QUESTIONS)))
        if not seeds:
            continue
        pairs = [tuple(of_splits[question][one] for question in QUESTIONS) for one in seeds]
        cases = sorted(pairs[0][0])
        if any(sorted(table) != cases for pair in pairs for table in pair):
            problem = f"{model}, {arm}: by slice and by patient were not judged on the same slices"
            raise DataError(path, problem, "run the study to its end")
        found += [
            _compare(model, arm, measure, pairs, cases, resamples=resamples, seed=seed)
            for measure in measures
        ]
    return found


def _compare(
    model: str,
    arm: str,
    measure: str,
    pairs: Sequence[Sequence[Cases]],
    cases: Sequence[str],
    *,
    resamples: int,
    seed: int,
) -> SplitComparison:
    """Compare an arm in one measure; a pair is (by patient, by slice) of one seed."""
    statistic, patients = _statistic(measure, pairs, cases)
    once = statistic(np.arange(len(patients)))
    draws = max(1, resamples // 10) if measure == "auc" else resamples
    interval = bootstrap_over_patients(statistic, patients, resamples=draws, seed=seed)
    low, high = interval.low, interval.high
    rows = pairs[0][0].values()
    return SplitComparison(
        model=model,
        arm=arm,
        measure=measure,
        over=MEASURES[measure].over if measure in MEASURES else "all slices",
        by_patient=float(once[0]),
        by_patient_low=float(low[0]),
        by_patient_high=float(high[0]),
        by_slice=float(once[1]),
        by_slice_low=float(low[1]),
        by_slice_high=float(high[1]),
        difference=float(once[2]),
        difference_low=float(low[2]),
        difference_high=float(high[2]),
        patients=len({row["patient"] for row in rows}),
        tumor_slices=sum(bool(row.get("reference_pixels", row.get("label"))) for row in rows),
        slices=len(rows),
        seeds=len(pairs),
    )


def _read(
    path: Path, columns: Mapping[str, Column]
) -> dict[tuple[str, str], dict[str, dict[int, dict[str, Row]]]]:
    """Return the cases on all training patients by model and arm, question, seed and name, folds together."""
    found: dict[tuple[str, str], dict[str, dict[int, dict[str, Row]]]] = {}
    for run, rows in read_runs(path, columns):
        if run.question not in QUESTIONS or run.fraction != 1:
            continue
        of_splits = found.setdefault(
            (run.model, run.arm), {question: defaultdict(dict) for question in QUESTIONS}
        )
        cases = of_splits[run.question][run.seed]
        for row in rows:
            if row["case"] in cases:
                problem = f"{row['case']} was tested in two folds of {run.question}, {run.model}, {run.arm}"
                raise DataError(path, problem, "gather the runs of the study again")
            cases[row["case"]] = row
    return found


Statistic = Callable[[NDArray[np.intp]], NDArray[np.float64]]


def _statistic(
    measure: str, pairs: Sequence[Sequence[Cases]], cases: Sequence[str]
) -> tuple[Statistic, list[str]]:
    """Return what gives (by patient, by slice, difference) of some rows, and the patient of each row."""
    if measure == "auc":
        rows = [pairs[0][0][case] for case in cases]
        labels = np.array([row["label"] for row in rows], np.int64)
        scores = np.array([[[table[c]["probability"] for c in cases] for table in pair] for pair in pairs])

        def aucs(chosen: NDArray[np.intp]) -> NDArray[np.float64]:
            each = [[roc_auc(labels[chosen], one[chosen]) for one in pair] for pair in scores]
            return _with_difference(np.mean(each, axis=0))

        return aucs, [row["patient"] for row in rows]
    patients = sorted({row["patient"] for row in pairs[0][0].values()})
    parts = np.array([[list(_scores(measure, table, patients)) for table in pair] for pair in pairs])

    def means(chosen: NDArray[np.intp]) -> NDArray[np.float64]:
        sums, weights = parts[:, :, chosen].sum(axis=2).transpose(2, 0, 1)
        ratio = np.divide(sums, weights, out=np.full(sums.shape, np.nan), where=weights > 0)
        return _with_difference(ratio.mean(axis=0))

    return means, patients


def _scores(measure: str, table: Cases, patients: Sequence[str]) -> Iterator[tuple[float, float]]:
    """Yield sum and weight of each patient, of the cases of all folds together."""
    of_patients: dict[str, list[Row]] = defaultdict(list)
    for row in table.values():
        of_patients[row["patient"]].append(row)
    return (MEASURES[measure].score(of_patients[patient]) for patient in patients)


def _with_difference(values: NDArray[np.float64]) -> NDArray[np.float64]:
    by_patient, by_slice = values
    return np.array([by_patient, by_slice, by_slice - by_patient])


def _shown(row: SplitComparison) -> tuple[str, ...]:
    difference = f"{100 * row.difference:+.1f}"
    if row.difference_low == row.difference_low:
        difference += f" [{100 * row.difference_low:+.1f}, {100 * row.difference_high:+.1f}]"
    return (
        row.model,
        row.arm,
        MEASURES[row.measure].title if row.measure in MEASURES else "AUC",
        row.over,
        with_interval(row.by_patient, row.by_patient_low, row.by_patient_high),
        with_interval(row.by_slice, row.by_slice_low, row.by_slice_high),
        difference,
        f"{row.patients} patients, {row.slices:,} slices, {row.tumor_slices:,} with tumor; {row.seeds} seeds",
    )
