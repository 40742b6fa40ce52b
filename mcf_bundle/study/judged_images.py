"""What the judged sets of a study scored, from the tables of their evaluations."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcf_bundle.errors import DataError
from mcf_bundle.generation.audit import SUMMARY_FILE
from mcf_bundle.generation.image_evaluation import QUALITY_FILE, TEXTURE_FILE
from mcf_bundle.generation.image_evaluation_measures import CROPS, WHOLE
from mcf_bundle.generation.image_evaluation_sets import SYNTHETIC
from mcf_bundle.generation.report_table import Table
from mcf_bundle.metrics.memorization_summary import COPY
from mcf_bundle.study.config import StudyConfig
from mcf_bundle.study.folder import StudyFolder
from mcf_bundle.study.judging import PROFILES_FILE
from mcf_bundle.study.runs import JudgeRun, Run
from mcf_bundle.study.tables import Record, StudyTable

METRICS = ("kid", "fid")
"""Metrics of image quality that are shown; the set's own page has all of them."""

AUC, COPIES = "auc", "copies"

COLUMNS: Mapping[tuple[str, str], str] = {
    (CROPS, "kid"): "KID, crops",
    (CROPS, "fid"): "FID, crops",
    (WHOLE, "kid"): "KID, slices",
    (WHOLE, "fid"): "FID, slices",
    ("", AUC): "texture: AUC",
    ("", COPIES): "share of copies",
}
"""What is shown, by region and metric."""


@dataclass(frozen=True, eq=False)
class JudgedImages:
    """All judged sets.

    Attributes:
        table: their figures.
        profiles: drawing of the intensity profiles of each set, ``<svg>``.
        warnings: sets that could not be judged, with the reason.
    """

    table: StudyTable
    profiles: tuple[str, ...]
    warnings: tuple[str, ...]


def read_judged(runs: Iterable[Run], folder: StudyFolder, config: StudyConfig) -> JudgedImages | None:
    """Read the figures of all sets that a study judged; None if it judges none.

    Raises:
        DataError: a file of a finished run cannot be read.
    """
    records: list[Record] = []
    shown, profiles, warnings = [], [], []
    judged = [run for run in runs if isinstance(run, JudgeRun)]
    for run in judged:
        record = folder.done(run, config)
        if record is None or record.get("remark"):
            reason = "the run is missing" if record is None else record["remark"]
            warnings.append(f"Images of {run.set_name}: {reason}.")
            continue
        path = folder.of(run.id)
        found = read_figures(path)
        name = {"set": run.set_name, "split": run.split.name}
        records += [{**name, **figure} for figure in found]
        shown.append(_shown(f"{run.set_name}, {run.split.name}", found))
        profiles.append(_text(path / PROFILES_FILE))
    if not judged:
        return None
    return JudgedImages(StudyTable("images", tuple(records), tuple(shown)), tuple(profiles), tuple(warnings))


def read_figures(folder: Path) -> list[dict[str, Any]]:
    """Read the figures that a study shows from the folder of an image evaluation.

    Returns:
        One mapping a figure, all with the same keys; numbers in full precision, nan where undefined.

    Raises:
        DataError: a file is missing or is no such table.
    """
    try:
        quality = [row for row in _rows(folder / QUALITY_FILE) if row["metric"] in METRICS]
        texture = [row for row in _rows(folder / TEXTURE_FILE) if row["figure"] == AUC]
        return [
            *(_figure(row, row["metric"]) for row in quality),
            *(_figure(row, AUC) for row in texture),
            _copies(json.loads(_text(folder / SUMMARY_FILE))),
        ]
    except (KeyError, ValueError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        problem = f"is no folder of an image evaluation ({type(error).__name__}: {error})"
        raise DataError(folder, problem, "remove the run's folder, so that the run is made again") from error


def _figure(row: Mapping[str, str], metric: str) -> dict[str, Any]:
    """Return a line of an evaluation's table; that of texture has no region, extractor or warnings."""
    return {
        "of": row["name"],
        "region": row.get("region", ""),
        "metric": metric,
        **{name: float(row[name] or "nan") for name in ("value", "low", "high")},
        **{name: int(row[name]) for name in ("n", "patients", "reference_n", "reference_patients")},
        "extractor": row.get("extractor", ""),
        "warnings": row.get("warnings", ""),
    }


def _copies(audit: Mapping[str, Any]) -> dict[str, Any]:
    """Return the share of images that the audit lists as copies of a training tumor."""
    rows = audit["summary"][COPY]
    images = rows[0]["n"]
    return {
        "of": SYNTHETIC,
        "region": "",
        "metric": COPIES,
        "value": len(audit["copies"]) / images,
        "low": float("nan"),
        "high": float("nan"),
        "n": images,
        "patients": rows[0]["patients"],
        "reference_n": rows[0]["held_out_n"],
        "reference_patients": rows[0]["held_out_patients"],
        "extractor": audit["extractor"],
        "warnings": "; ".join(audit["warnings"]),
    }


def _shown(title: str, figures: Sequence[Mapping[str, Any]]) -> Table:
    cells = {(item["of"], item["region"], item["metric"]): item for item in figures}
    names = list(dict.fromkeys(item["of"] for item in figures))
    counts = {name: _counts(cells[name, WHOLE, METRICS[0]]) for name in names}
    rows = tuple(
        (name, *(_cell(cells.get((name, *key)), counts[name]) for key in COLUMNS), counts[name])
        for name in names
    )
    first, copies = figures[0], cells[SYNTHETIC, "", COPIES]
    note = (
        f"Reference: tumors of test patients ({first['reference_n']} of {first['reference_patients']}). "
        f"Copies: of all {copies['n']} images, limits from tumors of validation patients "
        f"({copies['reference_n']} of {copies['reference_patients']}). Features: {first['extractor']}. "
        "Counts in a cell are its own."
    )
    warnings = dict.fromkeys(text for item in figures for text in item["warnings"].split("; ") if text)
    if warnings:
        note += f" Mind: {'; '.join(text.rstrip('.') for text in warnings)}."
    return Table(title, ("images", *COLUMNS.values(), "n, patients"), rows, note)


def _cell(item: Mapping[str, Any] | None, counts: str) -> str:
    """Write a figure, with its own counts where they are not those of the row."""
    if item is None or item["value"] != item["value"]:
        return "-"
    interval = "" if item["low"] != item["low"] else f" [{item['low']:.3g}, {item['high']:.3g}]"
    own = "" if _counts(item) == counts else f" ({_counts(item)})"
    return f"{item['value']:.3g}{interval}{own}"


def _counts(item: Mapping[str, Any]) -> str:
    return f"{item['n']} of {item['patients']}"


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(_text(path).splitlines()))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        remedy = "remove the run's folder, so that the run is made again"
        raise DataError(path, f"cannot be read ({type(error).__name__})", remedy) from error
