"""The gathered per-case tables of a study: the run that a case was scored in, then the case's own columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from mcf_bundle.errors import DataError
from mcf_bundle.metrics.case_table import Column, Row, check_cases, parse_field


class RunKey(NamedTuple):
    """Which training run a case was scored in.

    Attributes:
        question: what the runs were made to answer.
        model: the network.
        arm: what it was trained on.
        fraction: share of the training patients, above 0 to 1.
        fold: name of the test fold.
        seed: seed of the training.
    """

    question: str
    model: str
    arm: str
    fraction: float
    fold: str
    seed: int

    def __str__(self) -> str:
        """Read 'balanced, unet, mcf, fraction 1, fold 0, seed 2'."""
        name = ", ".join((self.question, self.model, self.arm))
        return f"{name}, fraction {self.fraction:g}, fold {self.fold}, seed {self.seed}"


RUN_COLUMNS = {
    "question": Column(str, "what the run was made to answer"),
    "model": Column(str, "the network"),
    "arm": Column(str, "what it was trained on"),
    "fraction": Column(float, "share of the training patients, above 0 to 1"),
    "fold": Column(str, "name of the test fold"),
    "seed": Column(int, "seed of the training"),
}


def read_runs(path: Path, columns: Mapping[str, Column]) -> Iterator[tuple[RunKey, list[Row]]]:
    """Read a gathered table run by run; no more than one run's rows are held.

    Args:
        path: CSV with `RUN_COLUMNS`, then `columns`; the rows of a run stand together.
        columns: of the case table.

    Yields:
        A run and its cases, in the order of the file.

    Raises:
        DataError: the file cannot be read, has other columns, a field does not fit its column, a run has no
            name, stands in two places, or holds a case twice.
    """
    kinds = [column.kind for column in (*RUN_COLUMNS.values(), *columns.values())]
    names, width, seen = list(columns), len(RUN_COLUMNS), set()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            if next(reader, None) != [*RUN_COLUMNS, *columns]:
                problem = f"expected the columns {', '.join([*RUN_COLUMNS, *columns])}"
                raise DataError(path, problem, "gather the runs of the study again")
            for fields, lines in groupby(reader, key=lambda line: line[:width]):
                run = _as_run(path, fields)
                rows = [_as_row(path, run, line[width:], names, kinds[width:]) for line in lines]
                if run in seen:
                    remedy = "sort the table by run, each run once"
                    raise DataError(path, f"the run '{run}' stands in two places", remedy)
                seen.add(run)
                _check_rows(path, run, rows)
                yield run, rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problem = f"cannot be read as a gathered per-case table ({error})"
        raise DataError(path, problem, "gather the runs of the study again") from error


def _as_run(path: Path, fields: Sequence[str]) -> RunKey:
    try:
        values = [column.kind(text) for column, text in zip(RUN_COLUMNS.values(), fields, strict=True)]
        if not all(fields):
            raise ValueError("an empty field")
    except ValueError as error:
        problem = f"the row that starts with {','.join(fields)} names no run ({error})"
        raise DataError(path, problem, "gather the runs of the study again") from error
    return RunKey(*values)


def _as_row(path: Path, run: RunKey, line: Sequence[str], names: Sequence[str], kinds: Sequence[type]) -> Row:
    try:
        found: dict[str, Any] = {
            name: parse_field(text, kind) for name, text, kind in zip(names, line, kinds, strict=True)
        }
    except ValueError as error:
        problem = f"a row of the run '{run}' does not fit its columns ({error})"
        raise DataError(path, problem, "gather the runs of the study again") from error
    return found


def _check_rows(path: Path, run: RunKey, rows: Sequence[Row]) -> None:
    try:
        check_cases(rows)
    except ValueError as error:
        raise DataError(path, f"the run '{run}': {error}", "evaluate it again") from error
