"""The tables of an evaluation as CSV: one line a figure, with n and interval."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mcf_bundle.atomic_file import write_text
from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.image_evaluation_measures import FIGURE_MEANINGS, TextureRow
from mcf_bundle.metrics.quality_table import QualityRow
from mcf_bundle.metrics.texture_forest import ForestRow

AUC_MEANING = "AUC of a forest that tells the set from the reference by these figures"

_FOREST_ALONE = (
    *("reference_n", "reference_patients", "left_out"),
    *("difference", "difference_low", "difference_high"),
)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of equal columns as CSV, numbers in full precision, nan and None as empty fields.

    Raises:
        ArgumentError: there are none.
        DataError: the file cannot be written.
    """
    if not rows:
        raise ArgumentError("rows", "there are none to write", "measure something first")
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: "" if v is None or v != v else v for k, v in row.items()})
    write_text(path, text.getvalue())


def quality_lines(quality: Mapping[str, Sequence[QualityRow]]) -> list[dict[str, Any]]:
    """Return rows of image quality with their region, warnings in one field."""
    return [
        {"region": region, **asdict(row), "warnings": "; ".join(row.warnings)}
        for region, rows in quality.items()
        for row in rows
    ]


def texture_lines(means: Sequence[TextureRow], forest: Sequence[ForestRow]) -> list[dict[str, Any]]:
    """Return the AUC of each set and the means of the figures, in equal columns."""
    return [*_aucs(forest), *_means(means)]


def _aucs(forest: Sequence[ForestRow]) -> Iterator[dict[str, Any]]:
    for row in forest:
        yield {
            **_line(row.name, "auc", AUC_MEANING, row.auc, None, row),
            **{name: getattr(row, name) for name in _FOREST_ALONE},
        }


def _means(means: Sequence[TextureRow]) -> Iterator[dict[str, Any]]:
    for row in means:
        yield {
            **_line(row.name, row.figure, FIGURE_MEANINGS[row.figure], row.mean, row.sd, row),
            **dict.fromkeys(_FOREST_ALONE),
        }


def _line(
    name: str, figure: str, meaning: str, value: float, sd: float | None, row: TextureRow | ForestRow
) -> dict[str, Any]:
    return {
        "name": name,
        "figure": figure,
        "meaning": meaning,
        "value": value,
        "sd": sd,
        "low": row.low,
        "high": row.high,
        "n": row.n,
        "patients": row.patients,
    }
