"""What the images of each setting came to, and how settings rank by it."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from mcf_bundle.data.generated_case import read_origins
from mcf_bundle.errors import DataError
from mcf_bundle.generation.audit import SUMMARY_TABLE_FILE
from mcf_bundle.generation.image_evaluation import LABELS_FILE, QUALITY_FILE, TEXTURE_FILE
from mcf_bundle.generation.image_evaluation_measures import CROPS, WHOLE
from mcf_bundle.generation.image_evaluation_sets import SYNTHETIC
from mcf_bundle.study.ranking_config import Setting

IMAGES_FOLDER, MEASURES_FOLDER = "images", "measures"
"""Folders of a setting: a generation's output, and its evaluation."""

TEXTURE_AUC, LABEL_DICE, COPIES, DONOR_DROP = "texture_auc", "label_dice", "copies", "donor_drop"
"""Metrics of `read_quality` beside those of image quality; the last two are the memorization audit's."""


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval over patients; all nan where there were too few images."""

    value: float
    low: float
    high: float


NOTHING = Figure(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Measured:
    """What the images of a setting came to.

    Attributes:
        setting: which.
        images: how many the gate let pass.
        judged: how many of them have a real tumor at their level.
        reference_patients: validation patients whose tumors these are.
        consistency: label consistency, Dice.
        kid: of the crops.
        texture: AUC of the forest.
    """

    setting: Setting
    images: int
    judged: int
    reference_patients: int
    consistency: Figure
    kid: Figure
    texture: Figure


@dataclass(frozen=True)
class Ranked:
    """A setting with its ranks, 1 is best.

    Attributes:
        measured: what it came to.
        consistency_rank: among all settings; ties share the mean of their places.
        kid_rank: likewise.
        texture_rank: likewise, by the distance from 0.5.
        mean_rank: mean of the three.
        finalist: whether it goes on.
    """

    measured: Measured
    consistency_rank: float
    kid_rank: float
    texture_rank: float
    mean_rank: float
    finalist: bool

    @property
    def complete(self) -> bool:
        """Whether all three figures could be measured."""
        found = self.measured
        return not any(math.isnan(figure.value) for figure in (found.consistency, found.kid, found.texture))


def read_measures(setting: Setting, place: Path) -> Measured:
    """Read what a finished setting came to from the tables of its evaluation.

    Args:
        setting: which.
        place: its folder.

    Raises:
        DataError: a table cannot be read.
    """
    images, tables = len(read_origins(place / IMAGES_FOLDER)), place / MEASURES_FOLDER
    if not tables.is_dir():
        return Measured(setting, images, 0, 0, NOTHING, NOTHING, NOTHING)
    labels = _row(tables / LABELS_FILE, name=SYNTHETIC)
    kid = _row(tables / QUALITY_FILE, name=SYNTHETIC, region=CROPS, metric="kid")
    texture = _row(tables / TEXTURE_FILE, name=SYNTHETIC, figure="auc")
    return Measured(
        setting=setting,
        images=images,
        judged=int(kid["n"]),
        reference_patients=int(kid["reference_patients"]),
        consistency=_figure(labels, "dice"),
        kid=_figure(kid, "value"),
        texture=_figure(texture, "value"),
    )


class QualityLine(NamedTuple):
    """A figure of a set of images.

    Attributes:
        setting: name of the setting that it stands in.
        set: the setting's own images, or what stood beside them.
        region: whole slices, or crops around the mask.
        metric: which figure.
        value: of the figure; None where it could not be measured.
        low: end of the 95 % interval over patients; None where there is none.
        high: likewise.
        n: images.
        patients: whose heads they show.
    """

    setting: str
    set: str
    region: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    patients: int


def read_quality(setting: Setting, place: Path) -> list[QualityLine]:
    """Read everything that a finished setting's images, and the sets beside them, were measured by.

    Args:
        setting: which.
        place: its folder.

    Returns:
        A line a figure; nothing for a setting that was not measured.

    Raises:
        DataError: a table cannot be read.
    """
    folder = place / MEASURES_FOLDER
    if not folder.is_dir():
        return []

    def line(row: Mapping[str, str], set_: str, region: str, metric: str, *ends: str) -> QualityLine:
        value, low, high = (float(row[end]) if row[end] else None for end in ends)
        counts = int(row["n"]), int(row["patients"])
        return QualityLine(setting.name, set_, region, metric, value, low, high, *counts)

    plain = ("value", "low", "high")
    lines = [
        line(row, row["name"], row["region"], row["metric"], *plain)
        for row in read_rows(folder / QUALITY_FILE)
    ]
    lines += [
        line(row, row["name"], CROPS, TEXTURE_AUC if row["figure"] == "auc" else row["figure"], *plain)
        for row in read_rows(folder / TEXTURE_FILE)
    ]
    lines += [
        line(row, row["name"], WHOLE, LABEL_DICE, "dice", "low", "high")
        for row in read_rows(folder / LABELS_FILE)
    ]
    audit = read_rows(folder / SUMMARY_TABLE_FILE) if (folder / SUMMARY_TABLE_FILE).is_file() else []
    for row in audit:
        if row["figure"] == "tumor_correlation":
            lines += [line(row, SYNTHETIC, CROPS, COPIES, "share", "share_low", "share_high")]
        if row["figure"] == DONOR_DROP:
            lines += [line(row, SYNTHETIC, CROPS, DONOR_DROP, "mean", "mean_low", "mean_high")]
    return lines


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a table of a setting's evaluation.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        remedy = "remove the setting's folder, so that it is measured again"
        raise DataError(path, f"cannot be read ({type(error).__name__})", remedy) from error


def _row(path: Path, **wanted: str) -> Mapping[str, str]:
    for row in read_rows(path):
        if all(row.get(key) == value for key, value in wanted.items()):
            return row
    problem = f"has no row of {', '.join(wanted.values())}"
    raise DataError(path, problem, "remove the setting's folder, so that it is measured again")


def _figure(row: Mapping[str, str], name: str) -> Figure:
    return Figure(*(float(row[key]) if row[key] else math.nan for key in (name, "low", "high")))


def rank(measured: Sequence[Measured], finalists: int) -> list[Ranked]:
    """Rank settings by label consistency, crops' KID and texture, and by the mean of the three ranks.

    A figure that is missing ranks last. Equal mean ranks are ordered by label consistency, then by place.

    Args:
        measured: the settings.
        finalists: how many go on; one with a missing figure never does.

    Returns:
        All of them, best first.
    """
    keys = [[-m.consistency.value, m.kid.value, abs(m.texture.value - 0.5)] for m in measured]
    costs = np.nan_to_num(np.array(keys, np.float64), nan=np.inf)
    ranks = rankdata(costs, axis=0)
    means = ranks.mean(axis=1)
    order = sorted(range(len(measured)), key=lambda i: (means[i], ranks[i, 0], i))
    chosen = [i for i in order if np.isfinite(costs[i]).all()][:finalists]
    return [
        Ranked(
            measured=measured[i],
            consistency_rank=float(ranks[i, 0]),
            kid_rank=float(ranks[i, 1]),
            texture_rank=float(ranks[i, 2]),
            mean_rank=float(means[i]),
            finalist=i in chosen,
        )
        for i in order
    ]
