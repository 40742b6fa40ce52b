"""Rank settings of a generation by their images, on validation patients alone."""

from __future__ import annotations

import csv
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata

from mcf_bundle.arguments import as_path
from mcf_bundle.atomic_file import write_text
from mcf_bundle.data.datalist import read_datalist
from mcf_bundle.data.generated_case import read_origins
from mcf_bundle.data.splits import TEST, VALIDATION
from mcf_bundle.errors import DataError
from mcf_bundle.folder_lock import claimed
from mcf_bundle.generation.image_evaluation import (
    LABELS_FILE,
    QUALITY_FILE,
    TEXTURE_FILE,
    ImageEvaluation,
)
from mcf_bundle.generation.image_evaluation_measures import CROPS
from mcf_bundle.generation.image_evaluation_sets import SYNTHETIC, gather_sets
from mcf_bundle.generation.output_folder import DATALIST_FILE
from mcf_bundle.generation.report_table import Cell, Table
from mcf_bundle.resources import bundle_root
from mcf_bundle.study.execution import generate
from mcf_bundle.study.folder import StudyFolder
from mcf_bundle.study.ranking_config import RankingConfig, Setting
from mcf_bundle.study.ranking_plot import draw_ranking
from mcf_bundle.study.splits import patients_of
from mcf_bundle.study.tables import StudyTable, with_interval, write_tables

logger = logging.getLogger(__name__)

IMAGES_FOLDER, MEASURES_FOLDER = "images", "measures"
"""Folders of a setting: a generation's output, and its evaluation."""

FINALISTS_FILE, PLOT_FILE = "finalists.json", "plots/ranking.svg"

NOTE = (
    "Validation patients alone; no test patient was measured. Label consistency: mean Dice of a frozen "
    "segmenter's masks with the written ones, high is good. KID of crops around the mask to real tumors, low "
    "is good. Texture: AUC of a forest that tells the images from real tumors, 0.5 is best. In brackets: "
    "95 % interval by bootstrap over patients. The three ranks count alike, ties share their mean. Intervals "
    "that overlap are no ranking: this chooses who goes on and shows nothing."
)


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


def rank_settings(
    config: RankingConfig, dataset_dir: Path, output_dir: Path, *, line: Sequence[str] = ()
) -> list[Ranked]:
    """Generate and measure what is left of the settings, rank them, and write tables, plot and finalists.

    Several processes that are started on one folder share the settings.

    Args:
        config: the ranking.
        dataset_dir: the real patients, in the LGG layout.
        output_dir: the ranking's folder; new, empty, or the same ranking's.
        line: the command line, for the records.

    Returns:
        All settings, best first.

    Raises:
        StudyError: a setting failed (the message names it), or the folder holds another configuration's
            results.
        DataError: `output_dir` cannot be used, or no setting made enough images.
    """
    dataset_dir = as_path(dataset_dir, "dataset_dir")
    folder = StudyFolder(as_path(output_dir, "output_dir"))
    folder.check(config)

    def do(setting: Setting) -> str:
        number = config.settings.index(setting) + 1
        logger.info("%d of %d: %s", number, len(config.settings), setting.name)
        return _work(setting, config, dataset_dir, folder.of(setting.id), line)

    folder.open_for(config)
    folder.carry_out(config.settings, config, do, piece="setting", whole="ranking")
    with claimed(folder.path, wait=True):
        measured = [read_measures(setting, folder.of(setting.id)) for setting in config.settings]
        ranked = rank(measured, config.finalists)
        write_tables(folder.path / "tables", [ranking_table(ranked)])
        write_text(folder.path / PLOT_FILE, draw_ranking(ranked))
        chosen = [item for item in ranked if item.finalist]
        if not chosen:
            problem = "no setting has enough images that pass the gate"
            raise DataError(folder.path, problem, "choose other settings, or train the generator longer")
        images = folder.of(chosen[0].measured.setting.id) / IMAGES_FOLDER
        shut = patients_of(read_datalist(images / DATALIST_FILE), TEST)
        write_text(folder.path / FINALISTS_FILE, json.dumps(as_study(chosen, shut), indent=1) + "\n")
    for item in chosen:
        logger.info("finalist: %s, mean rank %.2f", item.measured.setting.name, item.mean_rank)
    return ranked


def _work(
    setting: Setting, config: RankingConfig, dataset_dir: Path, place: Path, line: Sequence[str]
) -> str:
    """Generate and measure a setting, or the rest of it; returns what a reader has to know of it."""
    ids = {
        **config.inference,
        **setting.ids,
        "dataset_dir": str(dataset_dir),
        "num_images": config.images,
    }
    remark = generate(place / IMAGES_FOLDER, ids, line)
    if not read_origins(place / IMAGES_FOLDER):
        return f"not measured: {remark}"
    problem = _measure(place, config, dataset_dir)
    return f"not measured: {problem}" if problem else remark


def _measure(place: Path, config: RankingConfig, dataset_dir: Path) -> str:
    """Measure the images of a setting; returns why there were too few for it, empty if there were not."""
    shipped = bundle_root("tumor_segmentation") / "models" / "model.pt"
    # A gate of its own was trained on the same training patients; the shipped one may know others.
    gate = config.inference.get("gate_ckpt") if config.measures.get("extractor", "gate") == "gate" else None
    evaluation = ImageEvaluation(
        str(dataset_dir),
        str(place / IMAGES_FOLDER),
        str(place / MEASURES_FOLDER),
        segmenter_ckpt=config.segmenter_ckpt or str(shipped),
        reference=(VALIDATION,),
        memorization=False,
        device="cuda" if torch.cuda.is_available() else "cpu",
        **{"extractor_weights": gate, **config.measures},
    )
    data = evaluation.data  # what cannot be read is an error, too few matches are a result
    try:
        evaluation.gathered = gather_sets(data)
    except DataError as error:
        return error.problem
    evaluation.run()
    return ""


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


def _row(path: Path, **wanted: str) -> Mapping[str, str]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        remedy = "remove the setting's folder, so that it is measured again"
        raise DataError(path, f"cannot be read ({type(error).__name__})", remedy) from error
    for row in rows:
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


def ranking_table(ranked: Sequence[Ranked]) -> StudyTable:
    """Return the ranking as a table; its records have every figure with its interval and rank."""
    figures = ("consistency", "kid", "texture")
    records = []
    for item in ranked:
        found = item.measured
        record: dict[str, Any] = {"setting": found.setting.name, **found.setting.ids}
        record |= {name: getattr(found, name) for name in ("images", "judged", "reference_patients")}
        for name in figures:
            record |= {
                (name if end == "value" else f"{name}_{end}"): value
                for end, value in vars(getattr(found, name)).items()
            }
            record[f"{name}_rank"] = getattr(item, f"{name}_rank")
        records.append({**record, "mean_rank": item.mean_rank, "finalist": item.finalist})
    return StudyTable("ranking", tuple(records), (_shown(ranked),))


def _shown(ranked: Sequence[Ranked]) -> Table:
    columns = (
        *("setting", "label consistency, Dice", "rank", "KID of crops", "rank", "texture AUC", "rank"),
        *("mean rank", "finalist", "images judged", "reference patients"),
    )
    rows: list[tuple[Cell, ...]] = []
    for item in ranked:
        found = item.measured
        cells: list[Cell] = []
        for name, digits in (("consistency", 3), ("kid", 4), ("texture", 3)):
            figure = getattr(found, name)
            cells += [with_interval(figure.value, figure.low, figure.high, digits)]
            cells += [f"{getattr(item, f'{name}_rank'):g}"]
        ends = (
            "yes" if item.finalist else "no",
            f"{found.judged} of {found.images}",
            found.reference_patients,
        )
        rows.append((found.setting.name, *cells, f"{item.mean_rank:.2f}", *ends))
    return Table("Settings by mean rank", columns, tuple(rows), NOTE)


def as_study(finalists: Sequence[Ranked], shut: Sequence[str]) -> dict[str, Any]:
    """Return finalists as `sets` and `arms` of a study's config, with the patients who have to stay shut.

    Args:
        finalists: the settings that go on.
        shut: names of the test patients.
    """
    chosen = [item.measured.setting for item in finalists]
    arm = {"augmentation": "strong", "tumor_share": 0.5, "synthetic_share": 0.5}
    return {
        "sets": {item.name: {"kind": "generated", "overrides": dict(item.ids)} for item in chosen},
        "arms": {f"strong_{item.name}": {**arm, "synthetic": item.name} for item in chosen},
        "test_patients": list(shut),
    }
