from __future__ import annotations

from pathlib import Path

import pytest
from torch.utils.tensorboard import SummaryWriter

from mcf_bundle.study.execution import TRAINING_FOLDER
from mcf_bundle.study.folder import StudyFolder
from mcf_bundle.study.learning_curves import learning_curves, read_scalar
from mcf_bundle.study.runs import ModelRun, list_runs
from tests.study.studies import make_config


def write(folder: Path, tag: str, values: dict[int, float], suffix: str = "") -> None:
    writer = SummaryWriter(str(folder), filename_suffix=suffix)
    for step, value in values.items():
        writer.add_scalar(tag, value, step)
    writer.close()


def test_a_training_that_went_on_gives_one_curve(tmp_path: Path) -> None:
    write(tmp_path, "val_dice", {1: 0.25, 2: 0.5}, ".a")
    write(tmp_path, "val_dice", {2: 0.5, 3: 0.75}, ".b")
    assert read_scalar(tmp_path, "val_dice") == [(1, 0.25), (2, 0.5), (3, 0.75)]


def test_without_files_or_the_metric_there_is_no_curve(tmp_path: Path) -> None:
    assert read_scalar(tmp_path / "nowhere", "val_dice") == []
    assert read_scalar(tmp_path, "val_dice") == []
    write(tmp_path, "loss", {1: 0.5})
    assert read_scalar(tmp_path, "val_dice") == []


def test_each_model_has_a_panel_with_its_arms_of_the_first_split_and_seed(tmp_path: Path) -> None:
    config, folder = make_config(seeds=[0, 1]), StudyFolder(tmp_path)
    runs = list_runs(config)
    tags = {"segmentation": "val_dice", "classification": "val_auc"}
    for run in runs:
        if isinstance(run, ModelRun):
            value = 0.5 if run.seed == 0 and run.split.fold == "0" else 0.125
            values = {1: value, 2: float("nan")}
            write(folder.of(run.id) / TRAINING_FOLDER, tags[run.task], values)
    found = learning_curves(runs, folder, config)
    steps = {"unet": 2, "resnet18": 1}
    assert {title.split(",")[0]: curves for title, curves in found.items()} == {
        model: {arm: [(pytest.approx(step), 0.5)] for arm in config.arms} for model, step in steps.items()
    }
    assert list(found) == ["unet, validation Dice", "resnet18, validation AUC"]
