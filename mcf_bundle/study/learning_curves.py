"""How the validation went in the trainings of a study, from their TensorBoard files."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mcf_bundle.study.config import StudyConfig
from mcf_bundle.study.curves import Curve
from mcf_bundle.study.execution import TRAINING_FOLDER
from mcf_bundle.study.folder import StudyFolder
from mcf_bundle.study.runs import ModelRun, Run

TAGS = {"segmentation": "val_dice", "classification": "val_auc"}
"""Validation metric by task, as the bundles' train.json call it."""

TITLES = {"val_dice": "validation Dice", "val_auc": "validation AUC"}


def learning_curves(
    runs: Iterable[Run], folder: StudyFolder, config: StudyConfig
) -> dict[str, dict[str, Curve]]:
    """Return the validation metric by optimizer step, of the first split and seed: a panel a model.

    Args:
        runs: all runs of the study.
        folder: the study's.
        config: the study's.

    Returns:
        Title of a panel -> arm -> points; without those that have no finite point.
    """
    models = [run for run in runs if isinstance(run, ModelRun)]
    panels: dict[str, dict[str, Curve]] = {}
    for run in models:
        if (run.split, run.seed) != (models[0].split, models[0].seed):
            continue
        tag = TAGS[run.task]
        length = config.models[run.model].overrides["epoch_length"]
        points = read_scalar(folder.of(run.id) / TRAINING_FOLDER, tag)
        curve = [(epoch * length, value) for epoch, value in points if isfinite(value)]
        if curve:
            panels.setdefault(f"{run.model}, {TITLES[tag]}", {})[run.arm] = curve
    return panels


def read_scalar(folder: Path, tag: str) -> list[tuple[int, float]]:
    """Read a scalar from TensorBoard's files in a folder, one for each start of a training.

    Returns:
        Pairs of step and value, ordered; of a step that was done again the last. Empty without any.
    """
    if not folder.is_dir():
        return []
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    if tag not in events.Tags()["scalars"]:
        return []
    return sorted({event.step: event.value for event in events.Scalars(tag)}.items())
