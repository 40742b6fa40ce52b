"""Predictions from the checkpoints in a study's folder; what cannot be used is left out and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mcf_bundle.data.lgg import read_cohort, read_volume
from mcf_bundle.data.splits import TEST
from mcf_bundle.errors import LeakageError
from mcf_bundle.generation.image_evaluation_labels import load_segmenter
from mcf_bundle.networks.checkpoint import save_checkpoint
from mcf_bundle.networks.segmentation_networks import make_segmentation_network
from mcf_bundle.study.execution import BEST, TRAINING_FOLDER, Workplace
from mcf_bundle.study.folder import StudyFolder
from mcf_bundle.study.prediction_pictures import draw_prediction_pictures, predict
from mcf_bundle.study.predictions import choose_slices
from mcf_bundle.study.runs import ModelRun, list_runs
from mcf_bundle.study.splits import make_datalists, patients_of
from tests.study.studies import make_config

CONFIG = make_config(seeds=[0, 1])
RUNS = [run for run in list_runs(CONFIG) if isinstance(run, ModelRun)]


def save_segmenter(path: Path, *, patients: list[str], seed: int = 0, input_slices: int = 1) -> Path:
    torch.manual_seed(seed)
    network = make_segmentation_network("unet", preset="smoke", in_channels=3 * input_slices)
    info = {"input_slices": input_slices, "precision": "float32"}
    save_checkpoint(
        path,
        network.state_dict(),
        preset=network.architecture,
        kind="segmenter",
        patients=patients,
        info=info,
    )
    return path


@pytest.fixture
def place(phantom_cohort: Path, tmp_path: Path) -> Workplace:
    """A study's folder with a checkpoint of each segmenter, of random weights."""
    datalists = make_datalists(read_cohort(phantom_cohort), CONFIG)
    folder = StudyFolder(tmp_path)
    for number, run in enumerate(RUNS):
        if run.task == "segmentation":
            save_segmenter(checkpoint_of(folder, run), patients=["nobody"], seed=number)
    return Workplace(CONFIG, phantom_cohort, folder, datalists, {})


def checkpoint_of(folder: StudyFolder, run: ModelRun) -> Path:
    return folder.of(run.id) / TRAINING_FOLDER / BEST


def segmenters_shown() -> list[ModelRun]:
    return [r for r in RUNS if (r.task, r.split, r.seed) == ("segmentation", RUNS[0].split, 0)]


def test_a_mask_is_that_of_the_network_on_the_normalized_slice(place: Workplace) -> None:
    run = segmenters_shown()[0]
    path, test = checkpoint_of(place.folder, run), patients_of(place.datalists[run.split], TEST)
    slices = choose_slices([read_volume(place.dataset_dir / name) for name in test], 0)
    segmenter = load_segmenter(path, {TEST: test}, device=torch.device("cpu"))
    images = np.stack([item.scale.normalize(item.volume.image[item.index]) for item in slices])
    found = predict(path, slices, test)
    assert np.array_equal(np.stack(found), segmenter(images))
    assert 0 < np.mean(found) < 1, "a mask that says something"


def test_a_network_with_neighbors_is_shown_them(place: Workplace) -> None:
    test = patients_of(place.datalists[RUNS[0].split], TEST)
    slices = choose_slices([read_volume(place.dataset_dir / name) for name in test], 0)
    path = save_segmenter(place.folder.path / "nine.pt", patients=["nobody"], input_slices=3)
    assert [mask.shape for mask in predict(path, slices, test)] == [(64, 64)] * len(slices)


def test_there_is_a_picture_a_model_with_a_column_an_arm(place: Workplace) -> None:
    drawn = draw_prediction_pictures(RUNS, place)
    assert drawn.warnings == ()
    assert list(drawn.files) == ["unet, f0-p100, seed 0"]
    (path,) = drawn.files.values()
    before = path.read_bytes()
    assert draw_prediction_pictures(RUNS, place).files == drawn.files
    assert path.read_bytes() == before


def test_a_run_without_a_usable_checkpoint_is_left_out_and_named(place: Workplace) -> None:
    first, second = segmenters_shown()
    (whole,) = draw_prediction_pictures(RUNS, place).files.values()
    width = Image.open(whole).width
    checkpoint_of(place.folder, first).unlink()
    drawn = draw_prediction_pictures(RUNS, place)
    assert len(drawn.warnings) == 1
    assert drawn.warnings[0].startswith(f"No predictions of {first.arm}, unet, are shown: ")
    assert "no such checkpoint" in drawn.warnings[0]
    (part,) = drawn.files.values()
    assert Image.open(part).width < width
    checkpoint_of(place.folder, second).write_bytes(b"half of a file")
    drawn = draw_prediction_pictures(RUNS, place)
    assert drawn.files == {}
    assert "cannot be read" in drawn.warnings[1]


def test_a_checkpoint_that_knows_a_test_patient_is_not_shown(place: Workplace) -> None:
    run = segmenters_shown()[0]
    test = patients_of(place.datalists[run.split], TEST)
    path = save_segmenter(checkpoint_of(place.folder, run), patients=test[:1])
    with pytest.raises(LeakageError, match=f"was trained on patient {test[0]}"):
        predict(path, [], test)
    assert test[0] in draw_prediction_pictures(RUNS, place).warnings[0]


def test_classifiers_alone_have_no_pictures(place: Workplace) -> None:
    runs = [run for run in RUNS if run.task == "classification"]
    drawn = draw_prediction_pictures(runs, place)
    assert (drawn.files, drawn.warnings) == ({}, ())
