"""The segmentation bundle as MONAI and MONAI Label run it: training, evaluation, masks of own images."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.utils import set_determinism
from PIL import Image
from torch import Tensor

from mcf_bundle.data.lgg import read_cohort
from mcf_bundle.data.splits import TEST, TRAIN, VALIDATION
from mcf_bundle.data.training_data import TrainingData
from mcf_bundle.data.triplet_dataset import TripletDataset
from mcf_bundle.errors import ArgumentError, CheckpointError, DataError, LeakageError
from mcf_bundle.generation.writer import case_name, write_case
from mcf_bundle.metrics.case_table import SEGMENTATION_COLUMNS, read_case_table
from mcf_bundle.networks.checkpoint import hash_patient, read_checkpoint, save_checkpoint
from mcf_bundle.networks.segmentation_networks import MAKERS, make_segmentation_network
from tests.bundles.training_runs import differences, error_of, state

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "bundles" / "tumor_segmentation" / "configs"
SMOKE = ROOT / "configs" / "presets" / "smoke.json"

Run = Callable[..., ConfigWorkflow]


@pytest.fixture(autouse=True)
def _random_numbers_are_left_alone() -> Iterator[None]:
    """Undo `set_determinism` of the bundle."""
    yield
    set_determinism(None)


def run(files: list[Path], workflow_type: str, **overrides: Any) -> ConfigWorkflow:
    workflow = ConfigWorkflow(
        [str(path) for path in files], workflow_type=workflow_type, logging_file=False, **overrides
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return workflow


@pytest.fixture
def train(phantom_cohort: Path, tmp_path: Path) -> Run:
    """Train for one step of two slices at 32 x 32, unless told otherwise."""

    def train(*overlays: str, **overrides: Any) -> ConfigWorkflow:
        files = [CONFIGS / "train.json", SMOKE, *(CONFIGS / name for name in overlays)]
        settings = {"epoch_length": 1, "size": 32, "device": torch.device("cpu")}
        folders = {"dataset_dir": str(phantom_cohort), "ckpt_dir": str(tmp_path / "run")}
        return run(files, "train", **(settings | folders | overrides))

    return train


@pytest.fixture
def infer(tmp_path: Path) -> Run:
    """Run inference.json with the smoke preset."""

    def infer(**overrides: Any) -> ConfigWorkflow:
        settings = {"preset": "smoke", "device": torch.device("cpu"), "output_dir": str(tmp_path / "masks")}
        return run([CONFIGS / "inference.json"], "inference", **(settings | overrides))

    return infer


def write_segmenter(path: Path, patients: list[str], **info: Any) -> Path:
    """Write a small U-Net with fresh weights; patients trained it."""
    torch.manual_seed(0)
    network = make_segmentation_network("unet", preset="smoke")
    names = {"preset": network.architecture, "kind": "segmenter"}
    save_checkpoint(path, network.state_dict(), **names, patients=patients, info=info)
    return path


# --- Training --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(MAKERS))
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_each_network_trains_a_step_and_is_validated(
    train: Run, tmp_path: Path, name: str, precision: str
) -> None:
    slices = 3 if precision == "bfloat16" else 1
    few = {"validate#dataset#data": "$@data.slices('validation')[7:12]"}
    workflow = train(network_name=name, precision=precision, input_slices=slices, **few)
    folder = tmp_path / "run"
    names = {path.name for path in folder.iterdir() if not path.name.startswith("events.")}
    assert names == {"model_last.pt", "model_best.pt", "training_state.pt", "run.json"}
    last = read_checkpoint(folder / "model_last.pt")
    assert (last.kind, last.preset, last.info["epoch"]) == ("segmenter", f"{name}-smoke-{3 * slices}-32", 1)
    assert 0 <= last.info["val_dice"] <= 1
    data = workflow.parser.get_parsed_content("data")
    assert last.patients == {hash_patient(patient) for patient in data.patients_behind(TRAIN)}
    before = make_segmentation_network(name, preset="smoke", in_channels=3 * slices, size=32).state_dict()
    assert any(value.isfinite().all() for value in last.weights.values())
    assert last.weights.keys() == before.keys()


def test_a_resumed_run_gives_the_bytes_of_an_undisturbed_one(train: Run, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    settings = {"epoch_length": 2, "augmentation": "strong", "patience": 5}
    train(max_epochs=3, ckpt_dir=str(whole), **settings)
    train(max_epochs=1, ckpt_dir=str(parts), **settings)
    train(max_epochs=3, ckpt_dir=str(parts), **settings, num_workers=1)
    assert not differences(state(whole), state(parts))
    assert state(whole)["early_stop"]["waited"] <= 2
    assert [item["resumed_after_epoch"] for item in json.loads((parts / "run.json").read_text())["runs"]] == [
        *(0, 1)
    ]


def test_a_training_that_learns_nothing_stops_early(train: Run, tmp_path: Path) -> None:
    settings = {"max_epochs": 9, "patience": 2, "learning_rate": 1e-30, "weight_decay": 0}
    assert train(**settings).trainer.state.epoch == 3
    assert state(tmp_path / "run")["early_stop"]["waited"] == 2


def test_a_fold_validates_other_patients(train: Run, tmp_path: Path) -> None:
    train(fold=1, folds=3)
    stored = read_checkpoint(tmp_path / "run" / "model_last.pt")
    assert stored.info["fold"] == 1
    error = error_of(train, fold=2, folds=3)
    assert isinstance(error, CheckpointError)
    assert "belongs to a run with fold: 1" in error.problem


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"network_name": "vnet"},
            "network_name: 'vnet' does not exist; choose one of unet, segnet, mask_rcnn",
        ),
        ({"preset": "huge"}, "preset: 'huge' does not exist; choose one of smoke, fast, paper"),
        ({"augmentation": "weak"}, "augmentation: 'weak' does not exist; choose one of none, flip, strong"),
        ({"input_slices": 2}, "input_slices: expected one of 1, 3, got 2"),
        ({"precision": "float16"}, "precision: float16 underflows in training"),
        ({"patience": 0}, "patience: expected a whole number of 1 or more, got 0"),
        ({"fold": 7}, "fold: there are 5 folds"),
        ({"synthetic_share": 0.5}, "synthetic_share: 0.5 of the tumor slices should be synthetic"),
        ({"tumor_share": 2}, "tumor_share: expected a number >= 0 and <= 1, got 2"),
    ],
)
def test_a_bad_setting_is_one_clear_line(train: Run, overrides: dict[str, Any], message: str) -> None:
    error = error_of(train, **overrides)
    assert isinstance(error, ArgumentError)
    assert str(error).startswith(message)


# --- Synthetic slices ------------------------------------------------------------------------------


def write_generated(folder: Path, cohort: Path, shown: list[str]) -> Path:
    """Write generated cases that show these patients, one each."""
    folder.mkdir()
    records = []
    for row, volume in enumerate(item for item in read_cohort(cohort).volumes if item.patient in shown):
        middle = 1 + int(volume.mask[1:-1].sum((1, 2)).argmax())
        triplet = slice(middle - 1, middle + 2)
        name = case_name(volume.institution, row)
        write_case(folder, name, volume.image[triplet], volume.mask[triplet])
        who = {"patient": volume.patient}
        records.append(json.dumps({"name": name, "host": who, "donor": who}))
    (folder / "manifest.jsonl").write_text("\n".join(records))
    return folder


def test_the_share_of_synthetic_slices_is_a_parameter(
    train: Run, phantom_cohort: Path, tmp_path: Path
) -> None:
    shown = TrainingData(phantom_cohort).patients_behind(TRAIN)[:3]
    folder = write_generated(tmp_path / "made", phantom_cohort, shown)
    workflow = train(synthetic_dir=str(folder), synthetic_share=0.5, epoch_length=20)
    groups = workflow.parser.get_parsed_content("train#groups")
    drawn = [groups[position] for position in workflow.parser.get_parsed_content("train#sampler")]
    assert [drawn.count(group) for group in range(3)] == [20, 10, 10]


@pytest.mark.parametrize("split", [VALIDATION, TEST])
def test_a_synthetic_set_made_from_evaluation_patients_is_refused(
    train: Run, phantom_cohort: Path, tmp_path: Path, split: str
) -> None:
    patient = TrainingData(phantom_cohort).patients_behind(split)[0]
    folder = write_generated(tmp_path / "made", phantom_cohort, [patient])
    error = error_of(train, synthetic_dir=str(folder))
    assert isinstance(error, LeakageError)
    assert f"shows {patient}, who belongs to the {split} set" in error.problem
    assert not (tmp_path / "run" / "model_last.pt").exists()


# --- Evaluation ------------------------------------------------------------------------------------


def test_an_evaluation_writes_every_slice_before_any_mean(
    train: Run, phantom_cohort: Path, tmp_path: Path
) -> None:
    data = TrainingData(phantom_cohort)
    ckpt = write_segmenter(tmp_path / "model.pt", data.patients_behind(TRAIN))
    settings = {"ckpt": str(ckpt), "output_dir": str(tmp_path / "out"), "split": TEST, "size": None}
    train("evaluate.json", **settings)
    with (tmp_path / "out" / "cases.csv").open() as file:
        rows = list(csv.DictReader(file))
    slices = [(v.patient, str(n)) for v in data.volumes(TEST) for n in v.slice_numbers]
    assert sorted((row["patient"], row["slice"]) for row in rows) == sorted(slices)
    with (tmp_path / "out" / "cases_summary.csv").open() as file:
        summary = {(row["metric"], row["denominator"]): row for row in csv.DictReader(file)}
    tumor = [float(row["dice"]) for row in rows if int(row["reference_pixels"])]
    assert float(summary["dice", "tumor slices"]["mean"]) == pytest.approx(np.mean(tumor))
    assert {name for _, name in summary} == {"tumor slices", "all slices", "pooled per patient"}
    volumes = read_case_table(tmp_path / "out" / "volumes.csv", SEGMENTATION_COLUMNS)
    assert [(row["patient"], row["unit"]) for row in volumes] == [
        (v.patient, "voxel") for v in data.volumes(TEST)
    ]
    pooled = float(summary["dice", "pooled per patient"]["mean"])
    assert np.mean([row["dice"] for row in volumes]) == pytest.approx(pooled)
    assert not (tmp_path / "run").exists(), "an evaluation writes no checkpoint"


def test_an_evaluation_on_patients_of_the_training_is_refused(
    train: Run, phantom_cohort: Path, tmp_path: Path
) -> None:
    patient = TrainingData(phantom_cohort).volumes(VALIDATION)[0].patient
    ckpt = write_segmenter(tmp_path / "model.pt", [patient])
    error = error_of(train, "evaluate.json", ckpt=str(ckpt), size=None, output_dir=str(tmp_path / "out"))
    assert isinstance(error, LeakageError)
    assert not (tmp_path / "out" / "cases.csv").exists()


# --- Masks of own images ---------------------------------------------------------------------------


AFFINE = np.array([[0, 0.9, 0, -10], [-1.1, 0, 0, 20], [0, 0, 3, 5], [0, 0, 0, 1]])


@pytest.fixture
def images(tmp_path: Path, phantom_cohort: Path) -> Path:
    """Slices of one patient, and volumes of one and of three sequences."""
    folder = tmp_path / "images"
    folder.mkdir()
    patient = sorted(path for path in phantom_cohort.iterdir() if path.is_dir())[0]
    for path in sorted(patient.glob("*_1*.tif"))[:4]:
        shutil.copy(path, folder)
    generator = np.random.default_rng(0)
    for name, channels in (("one.nii.gz", ()), ("three.nii", (3,))):
        volume = generator.random((20, 25, 4, *channels)).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(volume, AFFINE), folder / name)
    return folder


@pytest.mark.parametrize("slices", [1, 3])
def test_slices_and_volumes_get_masks_on_their_own_grid(
    infer: Run, images: Path, tmp_path: Path, slices: int
) -> None:
    network = make_segmentation_network("unet", preset="smoke", in_channels=3 * slices)
    names = {"preset": network.architecture, "kind": "segmenter"}
    save_checkpoint(tmp_path / "a.pt", network.state_dict(), **names, patients=[], info={})
    infer(dataset_dir=str(images), ckpt=str(tmp_path / "a.pt"), input_slices=slices, size=None)
    pictures = [path for path in images.glob("*.tif") if "_mask" not in path.name]
    assert len(list((tmp_path / "masks").iterdir())) == len(pictures) + 2
    for path in pictures:
        mask = np.asarray(Image.open(tmp_path / "masks" / f"{path.stem}_mask.png"))
        assert mask.shape == tifffile.imread(path).shape[:2]
        assert set(np.unique(mask)) <= {0, 255}
    for name in ("one", "three"):
        mask = nibabel.load(tmp_path / "masks" / f"{name}_mask.nii.gz")
        assert mask.shape == (20, 25, 4)
        assert np.allclose(mask.affine, AFFINE, atol=1e-6)
        assert set(np.unique(mask.get_fdata())) <= {0, 1}


class BrightFlair(torch.nn.Module):
    """Call bright FLAIR a tumor."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([torch.full_like(x[:, 1], 0.3), x[:, 1]], dim=1)


def served(image: Path, **overrides: Any) -> Any:
    """Return `pred` as MONAI Label makes it: it reads these parts of inference.json and no other."""
    config = ConfigParser(json.loads((CONFIGS / "inference.json").read_text()))
    overrides = {"device": "cpu", "precision": "float32", **overrides}
    config.update(overrides)
    config.parse()
    data = config.get_parsed_content("preprocessing")({"image": str(image)})
    scores = config.get_parsed_content("inferer")(data["image"][None], BrightFlair())
    for transform in config.get_parsed_content("postprocessing").transforms[:-1]:
        data = transform({**data, "pred": scores[0]} if "pred" not in data else data)
    return data["pred"]


@pytest.mark.parametrize("codes", ["RAS", "PLS", "LIA", "SPR"])
def test_a_mask_lies_where_the_bright_spot_is_whatever_the_axes(tmp_path: Path, codes: str) -> None:
    body = np.full((20, 24, 8), 10, np.float32)
    body[2:-2, 3:-3, 1:-1] = 100
    body[5:8, 10:15, 3:5] = 200
    body[:3, :3] = 0
    standing = nibabel.Nifti1Image(body, np.diag([1.0, 1.5, 4.0, 1.0]))
    stored = standing.as_reoriented(nibabel.orientations.axcodes2ornt(tuple(codes)))
    nibabel.save(stored, tmp_path / "a.nii.gz")
    mask = served(tmp_path / "a.nii.gz")
    assert np.array_equal(mask[0].numpy() > 0, stored.get_fdata() == 200)
    assert np.allclose(mask.affine, stored.affine)


def test_a_picture_is_normalized_and_turned_as_in_training(phantom_cohort: Path, tmp_path: Path) -> None:
    item = TrainingData(phantom_cohort).slices(TRAIN)[10]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.moveaxis(item.volume.image[item.index], 0, -1))
    config = ConfigParser(json.loads((CONFIGS / "inference.json").read_text()))
    seen = config.get_parsed_content("preprocessing")({"image": str(path)})["image"]
    trained = TripletDataset([item])[0]["image"]
    flattened = torch.stack([seen.as_tensor().flatten(), trained.flatten()])
    assert torch.corrcoef(flattened)[0, 1] > 0.98, "the same picture; its scale is of one slice"


def test_the_weights_are_found_as_monai_label_loads_them(tmp_path: Path) -> None:
    ckpt = write_segmenter(tmp_path / "model.pt", ["p"])
    config = ConfigParser({**json.loads((CONFIGS / "inference.json").read_text()), "preset": "smoke"})
    network = config.get_parsed_content("network_def")
    network.load_state_dict(torch.load(ckpt, weights_only=True)["model"], strict=True)
    assert config.get_parsed_content("displayable_configs").keys() <= config.get().keys()


def test_weights_of_another_architecture_are_refused(infer: Run, images: Path, tmp_path: Path) -> None:
    ckpt = write_segmenter(tmp_path / "model.pt", ["p"])
    error = error_of(infer, dataset_dir=str(images), ckpt=str(ckpt), network_name="segnet")
    assert isinstance(error, CheckpointError)
    assert "holds a segmenter of preset 'unet-smoke-3', not a segmenter of preset 'segnet-" in error.problem


def test_a_folder_without_images_is_an_error(infer: Run, tmp_path: Path) -> None:
    ckpt = write_segmenter(tmp_path / "model.pt", ["p"])
    (tmp_path / "empty").mkdir()
    error = error_of(infer, dataset_dir=str(tmp_path / "empty"), ckpt=str(ckpt))
    assert isinstance(error, DataError)
    assert "holds no image" in error.problem
