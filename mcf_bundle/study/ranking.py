"""Rank settings of a generation by their images, on validation patients alone."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mcf_bundle.arguments import as_path
from mcf_bundle.atomic_file import write_text
from mcf_bundle.commandline import find_cause
from mcf_bundle.data.datalist import read_datalist
from mcf_bundle.data.generated_case import read_origins
from mcf_bundle.data.splits import TEST
from mcf_bundle.errors import DataError, GateError
from mcf_bundle.folder_lock import claimed
from mcf_bundle.generation.image_evaluation import ImageEvaluation
from mcf_bundle.generation.image_evaluation_sets import gather_sets
from mcf_bundle.generation.output_folder import DATALIST_FILE
from mcf_bundle.resources import bundle_root
from mcf_bundle.study.execution import generate
from mcf_bundle.study.folder import StudyFolder
from mcf_bundle.study.ranking_checks import check_checkpoints
from mcf_bundle.study.ranking_config import RankingConfig, Setting
from mcf_bundle.study.ranking_measures import (
    IMAGES_FOLDER,
    MEASURES_FOLDER,
    Ranked,
    rank,
    read_measures,
    read_quality,
)
from mcf_bundle.study.ranking_pairs import compare_images, paired_table
from mcf_bundle.study.ranking_plot import draw_pairs, draw_ranking
from mcf_bundle.study.ranking_tables import quality_table, ranking_table
from mcf_bundle.study.splits import patients_of
from mcf_bundle.study.tables import write_tables

logger = logging.getLogger(__name__)

FINALISTS_FILE, PLOT_FILE, PAIRS_FILE = "finalists.json", "plots/ranking.svg", "plots/paired.svg"


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
        ArgumentError: `measures` are refused, or the settings' checkpoints know different patients.
        CheckpointError: a checkpoint cannot be read.
        DataError: `output_dir` cannot be used, or no setting made enough images.
    """
    dataset_dir = as_path(dataset_dir, "dataset_dir")
    folder = StudyFolder(as_path(output_dir, "output_dir"))
    folder.check(config)
    if any(folder.done(setting, config) is None for setting in config.settings):
        check_checkpoints(config)
        _evaluation(folder.of(config.settings[0].id), config, dataset_dir)  # refuses bad `measures`

    def do(setting: Setting) -> str:
        number = config.settings.index(setting) + 1
        logger.info("%d of %d: %s", number, len(config.settings), setting.name)
        return _work(setting, config, dataset_dir, folder.of(setting.id), line)

    folder.open_for(config)
    folder.carry_out(config.settings, config, do, piece="setting", whole="ranking")
    with claimed(folder.path, wait=True):
        measured = [read_measures(setting, folder.of(setting.id)) for setting in config.settings]
        ranked = rank(measured, config.finalists)
        quality = [line for s in config.settings for line in read_quality(s, folder.of(s.id))]
        pairs = compare_images(config.settings, [folder.of(setting.id) for setting in config.settings])
        tables = [
            ranking_table(ranked, config.reference),
            quality_table(quality, config.reference),
            paired_table(pairs),
        ]
        write_tables(folder.path / "tables", tables)
        write_text(folder.path / PLOT_FILE, draw_ranking(ranked))
        if pairs:
            write_text(folder.path / PAIRS_FILE, draw_pairs(pairs))
        chosen = [item for item in ranked if item.finalist]
        if not any(item.complete for item in ranked):
            problem = "no setting has enough images that pass the gate"
            raise DataError(folder.path, problem, "choose other settings, or train the generator longer")
        (folder.path / FINALISTS_FILE).unlink(missing_ok=True)  # of an earlier choice
        if chosen:
            images = folder.of(chosen[0].measured.setting.id) / IMAGES_FOLDER
            shut = patients_of(read_datalist(images / DATALIST_FILE), TEST)
            finalists = as_study(chosen, config.base, shut)
            write_text(folder.path / FINALISTS_FILE, json.dumps(finalists, indent=1) + "\n")
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
    try:
        remark = generate(place / IMAGES_FOLDER, ids, line)
    except Exception as error:
        # A setting whose images the gate does not let pass is a result, and the others go on.
        rejected = find_cause(error, GateError)
        if rejected is None:
            raise
        return f"not measured: {rejected.problem}"
    if not read_origins(place / IMAGES_FOLDER):
        return f"not measured: {remark}"
    problem = _measure(place, config, dataset_dir)
    return f"not measured: {problem}" if problem else remark


def _measure(place: Path, config: RankingConfig, dataset_dir: Path) -> str:
    """Measure the images of a setting; returns why there were too few for it, empty if there were not."""
    evaluation = _evaluation(place, config, dataset_dir)
    data = evaluation.data  # what cannot be read is an error, too few matches are a result
    try:
        evaluation.gathered = gather_sets(data)
    except DataError as error:
        return error.problem
    evaluation.run()
    return ""


def _evaluation(place: Path, config: RankingConfig, dataset_dir: Path) -> ImageEvaluation:
    shipped = bundle_root("tumor_segmentation") / "models" / "model.pt"
    # A gate of its own was trained on the same training patients; the shipped one may know others.
    gate = config.inference.get("gate_ckpt") if config.measures.get("extractor", "gate") == "gate" else None
    return ImageEvaluation(
        str(dataset_dir),
        str(place / IMAGES_FOLDER),
        str(place / MEASURES_FOLDER),
        segmenter_ckpt=config.segmenter_ckpt or str(shipped),
        reference=tuple(config.reference),
        device="cuda" if torch.cuda.is_available() else "cpu",
        **{"extractor_weights": gate, "memorization": False, **config.measures},
    )


def as_study(finalists: Sequence[Ranked], base: Mapping[str, Any], shut: Sequence[str]) -> dict[str, Any]:
    """Return finalists as `sets` and `arms` of a study's config, with the patients who have to stay shut.

    Args:
        finalists: the settings that go on.
        base: ids that all of them share, without those of a place or a file.
        shut: names of the test patients.
    """
    chosen = [item.measured.setting for item in finalists]
    arm = {"augmentation": "strong", "tumor_share": 0.5, "synthetic_share": 0.5}
    return {
        "sets": {item.name: {"kind": "generated", "overrides": {**base, **item.ids}} for item in chosen},
        "arms": {f"strong_{item.name}": {**arm, "synthetic": item.name} for item in chosen},
        "test_patients": list(shut),
    }
