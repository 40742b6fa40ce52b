"""Each run of a study as sums and weights of its patients, read from the gathered per-case table."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.errors import DataError
from mcf_bundle.metrics.case_table import CLASSIFICATION_COLUMNS, SEGMENTATION_COLUMNS, Row
from mcf_bundle.metrics.denominator import is_volume
from mcf_bundle.metrics.empty_masks import EmptyPolicy
from mcf_bundle.study.measures import (
    CLASSIFICATION_MEASURES,
    SEGMENTATION_MEASURES,
    VOLUME_MEASURES,
    Measure,
)
from mcf_bundle.study.run_cases import RunKey, read_runs
from mcf_bundle.study.splits import BY_SLICE


@dataclass(frozen=True, eq=False)
class RunScores:
    """What one run scored on its test patients.

    Attributes:
        run: which one.
        patients: the P test patients, sorted.
        sums: measure -> (P,), float64.
        weights: measure -> (P,), float64; 0 where a patient does not count.
        slices: (P,), number of slices of each patient.
        tumor_slices: (P,), number of those with tumor.
        units: measure -> mm, pixel or voxel; nothing for shares.
        cases_sha256: of cases and references; equal where two runs were judged on the same.
        labels: (N,), class of each slice; empty for a segmenter.
        probabilities: (N,), predicted probability of tumor; empty for a segmenter.
        cases: (N,), names of the slices; empty for a segmenter.
        owners: (N,), patient of each slice; empty for a segmenter.
    """

    run: RunKey
    patients: tuple[str, ...]
    sums: Mapping[str, NDArray[np.float64]]
    weights: Mapping[str, NDArray[np.float64]]
    slices: NDArray[np.int64]
    tumor_slices: NDArray[np.int64]
    units: Mapping[str, str]
    cases_sha256: str
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    cases: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()


def segmentation_runs(path: Path, volumes: Path | None = None) -> list[RunScores]:
    """Score every run of a gathered table of segmentation.

    Args:
        path: table of slices.
        volumes: table of the same runs' volumes, one row a patient; None leaves distances of volumes out.

    Raises:
        DataError: see `read_runs`, or empty masks were left out, whole volumes stand among the slices, the
            units of two runs differ, or a volume is not that of the slices.
    """
    runs = [
        _score(run, rows, SEGMENTATION_MEASURES, "reference_pixels")
        for run, rows in _segmentation_rows(path, volumes=False)
    ]
    if volumes is None:
        return runs
    whole = {
        run: _score(run, rows, VOLUME_MEASURES, "reference_pixels")
        for run, rows in _segmentation_rows(volumes, volumes=True)
    }
    return [_with_volumes(volumes, item, whole.get(item.run)) for item in runs]


def classification_runs(path: Path) -> list[RunScores]:
    """Score every run of a gathered table of classification.

    Raises:
        DataError: see `read_runs`, or a label or probability is none.
    """
    runs: list[RunScores] = []
    for run, rows in read_runs(path, CLASSIFICATION_COLUMNS):
        for row in rows:
            if row["label"] not in (0, 1) or not 0 <= row["probability"] <= 1:
                problem = f"case {row['case']} of the run '{run}' lacks a label 0 or 1, or a probability"
                raise DataError(path, problem, "evaluate the run again")
        runs.append(_score(run, rows, CLASSIFICATION_MEASURES, "label"))
    return runs


def _segmentation_rows(path: Path, *, volumes: bool) -> Iterator[tuple[RunKey, list[Row]]]:
    """Read a table of segmentation run by run, of slices or of volumes, all in one unit."""
    unit = None
    for run, rows in read_runs(path, SEGMENTATION_COLUMNS):
        unit = unit or str(rows[0]["unit"])
        for row in rows:
            _check_segmentation(path, f"case {row['case']} of the run '{run}'", row, unit, volumes=volumes)
        yield run, rows


def _check_segmentation(path: Path, where: str, row: Row, unit: str, *, volumes: bool) -> None:
    if row["empty_policy"] != EmptyPolicy.PENALIZE:
        problem = f"{where} was scored with {row['empty_policy']!r}: a miss would favor its arm"
        raise DataError(path, problem, "evaluate with empty='penalize'")
    if is_volume(row) != volumes:
        found, wanted = ("a slice", "volumes") if volumes else ("a whole volume", "slices")
        raise DataError(path, f"{where} is {found}", f"gather the tables of {wanted}")
    if row["unit"] != unit:
        problem = f"{where} has distances in {row['unit']}, others have {unit}"
        raise DataError(path, problem, "evaluate all runs alike")


def _with_volumes(path: Path, run: RunScores, volumes: RunScores | None) -> RunScores:
    """Return a run with what its volumes scored too; on a split by slice it has none."""
    if run.run.question == BY_SLICE:
        return run
    if volumes is None or volumes.patients != run.patients:
        problem = f"the run '{run.run}' lacks volumes of its patients"
        raise DataError(path, problem, "evaluate the run again")
    return replace(
        run,
        sums={**run.sums, **volumes.sums},
        weights={**run.weights, **volumes.weights},
        units={**run.units, **volumes.units},
    )


def _score(run: RunKey, rows: Sequence[Row], measures: Mapping[str, Measure], reference: str) -> RunScores:
    by_patient: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_patient[row["patient"]].append(row)
    patients = tuple(sorted(by_patient))
    pairs = {
        name: np.array([measure.score(by_patient[patient]) for patient in patients], np.float64)
        for name, measure in measures.items()
    }
    cases = sorted((row["case"], row["patient"], row[reference]) for row in rows)
    classifies = reference == "label"
    return RunScores(
        run=run,
        patients=patients,
        sums={name: pair[:, 0] for name, pair in pairs.items()},
        weights={name: pair[:, 1] for name, pair in pairs.items()},
        slices=np.array([len(by_patient[patient]) for patient in patients]),
        tumor_slices=np.array([sum(row[reference] > 0 for row in by_patient[p]) for p in patients]),
        units={
            name: str(rows[0]["unit"]) if measure.unit == "distance" else measure.unit
            for name, measure in measures.items()
        },
        cases_sha256=hashlib.sha256(repr(cases).encode()).hexdigest(),
        labels=np.array([row["label"] for row in rows] if classifies else [], np.int64),
        probabilities=np.array([row["probability"] for row in rows] if classifies else [], np.float64),
        cases=tuple(row["case"] for row in rows) if classifies else (),
        owners=tuple(row["patient"] for row in rows) if classifies else (),
    )
