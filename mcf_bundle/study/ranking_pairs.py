"""What a setting changes, image by image: its images beside those of the first setting, on the same pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.data.generated_case import read_manifest
from mcf_bundle.generation.audit import TABLE_FILE
from mcf_bundle.generation.image_evaluation import LABEL_CASES_FILE, TEXTURE_CASES_FILE
from mcf_bundle.generation.image_evaluation_sets import SYNTHETIC
from mcf_bundle.generation.report_table import Cell, Table
from mcf_bundle.metrics.bootstrap import bootstrap_over_patients
from mcf_bundle.study.ranking_config import Setting
from mcf_bundle.study.ranking_measures import IMAGES_FOLDER, LABEL_DICE, MEASURES_FOLDER, read_rows
from mcf_bundle.study.tables import StudyTable, with_interval

METRICS = {
    LABEL_DICE: (LABEL_CASES_FILE, "dice", "label consistency, Dice"),
    "flair_rim": (TEXTURE_CASES_FILE, "flair_rim", "rim in FLAIR"),
    "flair_texture": (TEXTURE_CASES_FILE, "flair_texture", "texture inside, FLAIR"),
    "tumor_correlation": (TABLE_FILE, "tumor_correlation", "correlation with the nearest training tumor"),
}
"""What is compared, by name: table of the cases, its column, and a title."""

_MASK_PIXELS = {LABEL_CASES_FILE: "reference_pixels", TEXTURE_CASES_FILE: "mask_pixels"}
"""Columns of the tables that do not name the image: the host's slice and the mask's size tell which it is."""

_NOTE = (
    "Mean difference to {first}, over images of the same host and donor. In brackets: 95 % interval by "
    "bootstrap over the hosts' patients."
)


class PairedLine(NamedTuple):
    """A figure of a setting's images less that of the first setting's.

    Attributes:
        setting: name of the setting.
        against: name of the first setting.
        metric: a key of `METRICS`.
        difference: mean over the images that both settings have.
        low: end of the 95 % interval over patients; nan where there is none.
        high: likewise.
        n: images.
        patients: whose heads they show.
    """

    setting: str
    against: str
    metric: str
    difference: float
    low: float
    high: float
    n: int
    patients: int


class _Image(NamedTuple):
    host: tuple[str, int]
    donor: tuple[str, int]
    figures: dict[str, float]


def compare_images(settings: Sequence[Setting], places: Sequence[Path]) -> list[PairedLine]:
    """Compare the images of each setting with the first setting's that show the same host and donor.

    Args:
        settings: the one that the others are compared with first.
        places: their folders; one that was not measured has no figures.

    Returns:
        A line a figure that both settings have.

    Raises:
        DataError: a table or a manifest cannot be read.
    """
    if not settings:
        return []
    base, first = _read(places[0]), settings[0].name
    lines = []
    for setting, place in zip(settings[1:], places[1:], strict=True):
        found = _read(place)
        same = [name for name, image in found.items() if name in base and base[name][:2] == image[:2]]
        for metric in METRICS:
            both = [name for name in same if metric in found[name].figures and metric in base[name].figures]
            if both:
                differences = np.array([found[n].figures[metric] - base[n].figures[metric] for n in both])
                figures = _with_interval(differences, [found[name].host[0] for name in both])
                lines.append(PairedLine(setting.name, first, metric, *figures))
    return lines


def _with_interval(
    differences: NDArray[np.float64], patients: Sequence[str]
) -> tuple[float, float, float, int, int]:
    ends = bootstrap_over_patients(lambda i: np.array([differences[i].mean()]), patients)
    mean, low, high = (float(value) for value in (differences.mean(), ends.low[0], ends.high[0]))
    return mean, low, high, len(differences), len(set(patients))


def _read(place: Path) -> dict[str, _Image]:
    manifest = read_manifest(place / IMAGES_FOLDER, "remove the setting's folder")
    images = {}
    names: dict[tuple[str, str, str], list[str]] = {}
    for name, record in manifest.items():
        host, donor = record["host"], record["donor"]
        images[name] = _Image((host["patient"], host["slice"]), (donor["patient"], donor["slice"]), {})
        key = (host["patient"], str(host["slice"]), str(record["mask_pixels"]))
        names.setdefault(key, []).append(name)
    for metric, (file, column, _) in METRICS.items():
        path = place / MEASURES_FOLDER / file
        for row in read_rows(path) if path.is_file() else ():
            if row["set"] == SYNTHETIC and row[column]:
                found = [row["case"]]
                if file in _MASK_PIXELS:
                    found = names.get((row["patient"], row["slice"], row[_MASK_PIXELS[file]]), [])
                if len(found) == 1:  # two masks of one size on one slice cannot be told apart
                    images[found[0]].figures[metric] = float(row[column])
    return images


def paired_table(lines: Sequence[PairedLine]) -> StudyTable:
    """Return the differences as a table, for reading a setting a row."""
    found = {(line.setting, line.metric): line for line in lines}
    metrics = [metric for metric in METRICS if any(line.metric == metric for line in lines)]
    rows: list[tuple[Cell, ...]] = []
    for setting in dict.fromkeys(line.setting for line in lines):
        cells = [found.get((setting, metric)) for metric in metrics]
        shown = ("-" if c is None else with_interval(c.difference, c.low, c.high, 3) for c in cells)
        counts = [cell.n for cell in cells if cell is not None]
        least, most = min(counts), max(counts)
        rows.append((setting, *shown, f"{least}" if least == most else f"{least} to {most}"))
    columns = ("setting", *(METRICS[metric][2] for metric in metrics), "images")
    note = _NOTE.format(first=lines[0].against) if lines else ""
    title = "What a setting changes"
    return StudyTable(
        "paired", tuple(line._asdict() for line in lines), (Table(title, columns, tuple(rows), note),)
    )
