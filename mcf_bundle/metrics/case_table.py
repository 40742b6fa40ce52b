"""The per-case table: one row a case, written before any summary, and read back for it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mcf_bundle.atomic_file import write_text
from mcf_bundle.errors import ArgumentError, DataError
from mcf_bundle.metrics.masks import Mask
from mcf_bundle.metrics.overlap import count_pixels
from mcf_bundle.metrics.segmentation import segmentation_scores
from mcf_bundle.metrics.surface_distance import percent_of_head_length

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of a per-case table.

    Attributes:
        kind: type of its values; an empty field is None for text and whole numbers, nan for float.
        meaning: one line, with range and unit.
    """

    kind: type
    meaning: str


CASE_COLUMNS = {
    "case": Column(str, "name of the case, once in a table"),
    "patient": Column(str, "patient, the unit of every interval"),
    "slice": Column(int, "number of the slice; empty for a whole volume"),
}

SEGMENTATION_COLUMNS = {
    **CASE_COLUMNS,
    "prediction_pixels": Column(int, "pixels of the predicted FLAIR-abnormality mask, 0 = empty"),
    "reference_pixels": Column(int, "pixels of the reference mask, 0 = empty"),
    "common_pixels": Column(int, "pixels of both"),
    "empty_policy": Column(str, "what empty masks score: penalize or exclude"),
    "dice": Column(float, "Dice of this case, 0 to 1"),
    "jaccard": Column(float, "Jaccard of this case, 0 to 1"),
    "unit": Column(str, "unit of the distances: mm; pixel, of a volume voxel, where the spacing is unknown"),
    "hd95": Column(float, "95 % Hausdorff distance, in the unit"),
    "asd": Column(float, "average symmetric surface distance, in the unit"),
    "hd95_percent_of_head": Column(float, "hd95 in percent of the head's length, where mm are unknown"),
    "asd_percent_of_head": Column(float, "asd in percent of the head's length, where mm are unknown"),
    "tolerance": Column(float, "tolerance of surface_dice, in the unit"),
    "surface_dice": Column(float, "share of both surfaces within the tolerance, 0 to 1"),
}

CLASSIFICATION_COLUMNS = {
    **CASE_COLUMNS,
    "label": Column(int, "0 no mask in this slice, 1 tumor"),
    "probability": Column(float, "predicted probability of tumor, 0 to 1"),
}

LEVEL_COLUMNS = {
    **CASE_COLUMNS,
    "label": CLASSIFICATION_COLUMNS["label"],
    "probability": Column(float, "tumor frequency of the training patients at this axial level, 0 to 1"),
    "leveled": Column(int, "1 if the slice counts as one with a reliable level, 0 if not"),
    "matched": Column(int, "1 if the slice is one of the level-matched, 0 if not"),
}


def case_columns(patient: str, slice_number: int | None) -> dict[str, Any]:
    """Return the columns that name a case; the case is the patient and the slice's number."""
    name = patient if slice_number is None else f"{patient}_{slice_number}"
    return {"case": name, "patient": str(patient), "slice": slice_number}


def segmentation_row(
    prediction: Mask,
    reference: Mask,
    *,
    patient: str,
    slice_number: int | None = None,
    head_length_pixels: float | None = None,
    **scoring: Any,
) -> dict[str, Any]:
    """Score one case as a row of `SEGMENTATION_COLUMNS`.

    Args:
        prediction: see `segmentation_scores`, like the rest.
        reference: the same shape.
        patient: who it is.
        slice_number: number of the slice; None for a whole volume.
        head_length_pixels: length of this patient's head on this grid; adds percentages where there is no
            spacing.
        **scoring: `spacing_mm`, `empty` and `tolerance` of `segmentation_scores`.

    Raises:
        ArgumentError: see `segmentation_scores`, or both spacing and head length are given.
    """
    scores = segmentation_scores(prediction, reference, **scoring)
    counts = count_pixels(prediction, reference)
    percent = dict.fromkeys(("hd95", "asd"), float("nan"))
    if head_length_pixels is not None:
        if scoring.get("spacing_mm") is not None:
            problem = "percent of the head's length is for images without known spacing"
            raise ArgumentError("head_length_pixels", problem, "leave it or spacing_mm out")
        percent = {name: percent_of_head_length(scores[name], head_length_pixels) for name in percent}
    tolerance = scoring.get("tolerance")
    return {
        **case_columns(patient, slice_number),
        "prediction_pixels": counts.prediction,
        "reference_pixels": counts.reference,
        "common_pixels": counts.common,
        "empty_policy": str(scoring.get("empty", "penalize")),
        "dice": scores["dice"],
        "jaccard": scores["jaccard"],
        "unit": _unit(scoring.get("spacing_mm"), np.ndim(prediction)),
        "hd95": scores["hd95"],
        "asd": scores["asd"],
        "hd95_percent_of_head": percent["hd95"],
        "asd_percent_of_head": percent["asd"],
        "tolerance": float("nan") if tolerance is None else float(tolerance),
        "surface_dice": scores.get("surface_dice", float("nan")),
    }


def _unit(spacing_mm: object, axes: int) -> str:
    if spacing_mm is not None:
        return "mm"
    return "voxel" if axes > 2 else "pixel"


def classification_row(
    label: int, probability: float, *, patient: str, slice_number: int | None = None
) -> dict[str, Any]:
    """Return one case as a row of `CLASSIFICATION_COLUMNS`."""
    return {
        **case_columns(patient, slice_number),
        "label": int(label),
        "probability": float(probability),
    }


def check_cases(rows: Sequence[Row]) -> None:
    """Refuse a table without rows, or one that holds a case twice.

    Raises:
        ArgumentError: names the case.
    """
    if not rows:
        raise ArgumentError("rows", "the per-case table is empty", "score at least one case")
    seen: set[str] = set()
    for row in rows:
        if row["case"] in seen:
            problem = f"case {row['case']} stands in the table twice"
            raise ArgumentError("rows", problem, "count each case once")
        seen.add(row["case"])


def pair_rows(rows: Sequence[Row], baseline: Sequence[Row], same: Sequence[str]) -> list[tuple[Row, Row]]:
    """Return the rows of two tables of the same cases in pairs, in the order of the first.

    Args:
        rows: one table.
        baseline: the other.
        same: columns in which the two rows of a case must agree.

    Raises:
        ArgumentError: a table is empty or holds a case twice, a case stands in one of them only, or a column
            of `same` differs.
    """
    for table in (rows, baseline):
        check_cases(table)
    others = {row["case"]: row for row in baseline}
    odd = sorted(set(others) ^ {row["case"] for row in rows})
    if odd:
        problem = f"{len(odd)} cases stand in one of the tables only, for example {odd[0]}"
        raise ArgumentError("baseline", problem, "score both models on the same cases")
    pairs = [(row, others[row["case"]]) for row in rows]
    for name in same:
        differing = [row["case"] for row, other in pairs if not _is_same(row[name], other[name])]
        if differing:
            problem = f"{name} differs between the tables, for example in {differing[0]}"
            raise ArgumentError("baseline", problem, "score both models on the same cases, alike")
    return pairs


def write_case_table(path: Path, rows: Sequence[Row], columns: Mapping[str, Column]) -> None:
    """Write a per-case table as CSV, numbers in full precision, nan and None as empty fields.

    Raises:
        ArgumentError: there are no rows, a case stands there twice, or a row has other columns.
        DataError: the file cannot be written.
    """
    check_cases(rows)
    for row in rows:
        if set(row) != set(columns):
            problem = f"case {row['case']} has other columns: {sorted(set(row) ^ set(columns))}"
            raise ArgumentError("rows", problem, "make rows with segmentation_row or classification_row")
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if _is_missing(value) else value for name, value in row.items()})
    write_text(path, text.getvalue())


def read_case_table(path: Path, columns: Mapping[str, Column]) -> list[dict[str, Any]]:
    """Read what `write_case_table` wrote.

    Raises:
        DataError: the file cannot be read, has other columns, or a field is no number where one belongs.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames != list(columns):
                problem = f"expected the columns {', '.join(columns)}"
                raise DataError(path, problem, "pass a per-case table of this kind")
            return [
                {name: parse_field(row[name], column.kind) for name, column in columns.items()}
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, ValueError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(path, f"cannot be read as a per-case table ({error})", "write it again") from error


def _is_same(value: object, other: object) -> bool:
    return value == other or (_is_missing(value) and _is_missing(other))


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def parse_field(text: str, kind: type) -> Any:
    """Return the value of a field of a per-case table; an empty one is nan for float, else None."""
    if text == "":
        return float("nan") if kind is float else None
    return kind(text)
