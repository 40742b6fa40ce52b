"""The per-case tables of all finished runs in two files, from which every table is made."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcf_bundle.atomic_file import write_text
from mcf_bundle.errors import DataError, StudyError
from mcf_bundle.metrics.case_table import CLASSIFICATION_COLUMNS, LEVEL_COLUMNS, SEGMENTATION_COLUMNS, Column
from mcf_bundle.study.config import StudyConfig
from mcf_bundle.study.folder import StudyFolder
from mcf_bundle.study.run_cases import RUN_COLUMNS
from mcf_bundle.study.runs import ModelRun, Run
from mcf_bundle.study.splits import BY_SLICE
from mcf_bundle.training.classification_report import LEVEL_CASES_FILE

CASES_FILE, VOLUMES_FILE = "cases.csv", "volumes.csv"
"""Names of a run's own per-case tables."""


@dataclass(frozen=True)
class Gathered:
    """A table of all runs of a task.

    Attributes:
        task: segmentation or classification.
        source: file in a run's folder.
        target: file in the study's folder.
        columns: of the source.
        by_slice: whether a split by slice has it.
    """

    task: str
    source: str
    target: str
    columns: Mapping[str, Column]
    by_slice: bool = True


GATHERED: Mapping[str, Gathered] = {
    "segmentation": Gathered("segmentation", CASES_FILE, "cases_segmentation.csv", SEGMENTATION_COLUMNS),
    # A split by slice tears the volumes apart.
    "volumes": Gathered(
        "segmentation", VOLUMES_FILE, "cases_volumes.csv", SEGMENTATION_COLUMNS, by_slice=False
    ),
    "classification": Gathered(
        "classification", CASES_FILE, "cases_classification.csv", CLASSIFICATION_COLUMNS
    ),
    "levels": Gathered("classification", LEVEL_CASES_FILE, "cases_levels.csv", LEVEL_COLUMNS),
}
"""What is gathered, by name."""


def gather(runs: Iterable[Run], folder: StudyFolder, config: StudyConfig) -> dict[str, Path]:
    """Write the cases of all models to a few tables, each case once.

    Args:
        runs: all runs of the study; each model's must be done.
        folder: the study's.
        config: the study's.

    Returns:
        The file by name in `GATHERED`, for what the study has.

    Raises:
        StudyError: a run is not done or of another configuration, or a case stands there twice.
        DataError: a run's table is missing, or no table of its kind.
    """
    models = [run for run in runs if isinstance(run, ModelRun)]
    for run in models:
        if folder.done(run, config) is None:
            raise StudyError(folder.of(run.id), "is not done", "start the study again to go on")
    paths = {}
    for name, table in GATHERED.items():
        rows = [
            [*_describe(run), *fields]
            for run in models
            if run.task == table.task and (table.by_slice or run.split.question != BY_SLICE)
            for fields in _read(folder.of(run.id) / table.source, table)
        ]
        if rows:
            paths[name] = folder.path / table.target
            header = [*RUN_COLUMNS, *table.columns]
            write_text(paths[name], _to_csv(header, _sorted(rows, header, paths[name])))
    return paths


def _describe(run: ModelRun) -> list[str]:
    values: dict[str, Any] = {
        "question": run.split.question,
        "model": run.model,
        "arm": run.arm,
        "fraction": run.split.fraction,
        "fold": run.split.fold,
        "seed": run.seed,
    }
    return [str(values[name]) for name in RUN_COLUMNS]


def _read(path: Path, table: Gathered) -> list[list[str]]:
    """Read a run's table as text, so that no digit changes."""
    columns = table.columns
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (OSError, UnicodeDecodeError) as error:
        remedy = "remove the run's folder, so that the run is made again"
        raise DataError(path, f"cannot be read ({type(error).__name__})", remedy) from error
    if header != list(columns) or any(len(row) != len(header) for row in rows):
        raise DataError(path, f"has other columns than {', '.join(columns)}", "remove the run's folder")
    return rows


def _sorted(rows: Sequence[list[str]], header: Sequence[str], path: Path) -> list[list[str]]:
    """Order rows by run, patient and slice; refuse a case that a run has twice."""
    case, patient, number = (header.index(name) for name in ("case", "patient", "slice"))
    seen = set()
    for row in rows:
        key = (*row[: len(RUN_COLUMNS)], row[case])
        if key in seen:
            problem = f"case {row[case]} stands twice in {'/'.join(row[: len(RUN_COLUMNS)])}"
            raise StudyError(path, problem, "remove that run's folder, so that the run is made again")
        seen.add(key)
    kinds = [column.kind for column in RUN_COLUMNS.values()]

    def order(row: list[str]) -> tuple[Any, ...]:
        run = (kind(text) for kind, text in zip(kinds, row, strict=False))
        return (*run, row[patient], int(row[number] or 0))

    return sorted(rows, key=order)


def _to_csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
