"""The training bundles, run as MONAI runs them: what they leave, how they resume, what they refuse."""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.utils import set_determinism
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from mcf_bundle.data.generated_case import GENERATED_SLICE
from mcf_bundle.data.lgg import read_cohort
from mcf_bundle.errors import ArgumentError, CheckpointError, DataError
from mcf_bundle.generation.writer import case_name, write_case
from mcf_bundle.networks.checkpoint import hash_patient, read_checkpoint
from mcf_bundle.networks.stored_network import load_stored_network
from mcf_bundle.run_record import describe_code
from tests.bundles.training_runs import differences, error_of, state

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "bundles" / "mcf_diffusion"
DENOISER, CLASSIFIER, GATE = ("train",), ("train_classifier",), ("train_classifier", "train_gate")
"""A bundle's config, and what is listed after it and after the preset."""

Train = Callable[..., ConfigWorkflow]

pytestmark = pytest.mark.usefixtures("anatomy_measured_once")


@pytest.fixture(autouse=True)
def _random_numbers_are_left_alone() -> Iterator[None]:
    """Undo `set_determinism` of the bundles."""
    yield
    set_determinism(None)


@pytest.fixture(scope="module", autouse=True)
def _the_bundle_stays_as_it_is() -> Iterator[None]:
    """No run writes into the bundle, above all not over the shipped weights."""

    def contents() -> tuple[list[Path], list[int]]:
        weights = sorted((BUNDLE / "models").iterdir())
        return sorted(BUNDLE.rglob("*")), [path.stat().st_mtime_ns for path in weights]

    before = contents()
    yield
    assert contents() == before


@pytest.fixture
def train(phantom_cohort: Path, tmp_path: Path) -> Train:
    """Run a training bundle: one epoch of two steps with the smoke preset, unless told otherwise."""

    def run(configs: tuple[str, ...] = DENOISER, overlay: str = "smoke", **overrides: Any) -> ConfigWorkflow:
        files = [BUNDLE / "configs" / f"{name}.json" for name in configs]
        files.insert(1, ROOT / "configs" / "presets" / f"{overlay}.json")
        defaults = {"max_epochs": 1, "epoch_length": 2, "batch_size": 2, "device": torch.device("cpu")}
        folders = {"dataset_dir": str(phantom_cohort), "ckpt_dir": str(tmp_path / "run")}
        workflow = ConfigWorkflow(
            [str(path) for path in files], logging_file=False, **(defaults | folders | overrides)
        )
        workflow.initialize()
        workflow.run()
        workflow.finalize()
        return workflow

    return run


def events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return accumulator


# --- What a run leaves -----------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["smoke", "fast", "paper"])
def test_a_denoiser_s_short_run_ends_by_itself_and_leaves_its_files(
    train: Train, tmp_path: Path, preset: str
) -> None:
    train(DENOISER, preset, batch_size=1)
    folder = tmp_path / "run"
    names = {path.name for path in folder.iterdir() if not path.name.startswith("events.")}
    assert names == {"model_last.pt", "model_best.pt", "training_state.pt", "run.json"}
    last = read_checkpoint(folder / "model_last.pt")
    assert (last.preset, last.kind, last.info["epoch"]) == (preset, "denoiser", 1)
    assert read_checkpoint(folder / "model_best.pt").sha256 == last.sha256
    assert (state(folder)["epoch"], state(folder)["ema"]["updates"]) == (1, 2)
    recorded = events(folder)
    assert [event.step for event in recorded.Scalars("train_loss")] == [1, 2]
    assert [event.step for event in recorded.Scalars("val_loss")] == [1]
    assert all(math.isfinite(event.value) for event in recorded.Scalars("train_loss"))
    assert [event.value for event in recorded.Scalars("train_loss/noise")] == [
        event.value for event in recorded.Scalars("train_loss")
    ]


@pytest.mark.parametrize("overlay", ["smoke", "fast", "paper_classifier"])
@pytest.mark.parametrize(
    ("configs", "steps"), [(CLASSIFIER, (1, 300)), (GATE, (0,))], ids=["guidance", "gate"]
)
def test_a_classifier_s_short_run_ends_by_itself_and_reports_its_auc(
    train: Train, tmp_path: Path, overlay: str, configs: tuple[str, ...], steps: tuple[int, ...]
) -> None:
    train(configs, overlay, auc_steps=list(steps))
    folder = tmp_path / "run"
    names = {path.name for path in folder.iterdir() if not path.name.startswith("events.")}
    assert names == {"model_last.pt", "model_best.pt", "training_state.pt", "run.json", "auc_by_step.json"}
    last = read_checkpoint(folder / "model_last.pt")
    kind = "gate" if configs is GATE else "classifier"
    assert (last.preset, last.kind) == (overlay.removesuffix("_classifier"), kind)
    report = json.loads((folder / "auc_by_step.json").read_text())
    assert report["checkpoint"] == "model_best.pt"
    assert report["auc"].keys() == {str(step) for step in steps}
    assert all(0 <= value <= 1 for value in (*report["auc"].values(), *report["level_only_auc"].values()))
    assert report["slices"]["all"] >= report["slices"]["level-matched"] > 0
    recorded = events(folder)
    assert [event.step for event in recorded.Scalars("val_auc")] == [1]
    assert [event.step for event in recorded.Scalars("train_loss")] == [1, 2]


def test_the_sample_grid_shows_slices_above_what_was_made_of_them(train: Train, tmp_path: Path) -> None:
    workflow = train()
    (image,) = events(tmp_path / "run").Images("slices above, denoised below")
    path = tmp_path / "grid.png"
    path.write_bytes(image.encoded_image_string)
    grid = np.asarray(Image.open(path).convert("L")) / 255
    count = min(4, sum(workflow.parser.get_parsed_content("validate#dataset").labels))
    assert image.step == 1
    assert grid.shape == (2 * 64, count * 64)
    head, background = grid[:64] > 0.25, grid[:64] < 0.01
    assert head.mean() > 0.1
    assert background.mean() > 0.1
    assert grid[64:].std() > 0.05


@pytest.mark.parametrize("configs", [DENOISER, CLASSIFIER], ids=["denoiser", "classifier"])
def test_a_checkpoint_knows_who_trained_and_who_chose_it(
    train: Train, tmp_path: Path, configs: tuple[str, ...]
) -> None:
    workflow = train(configs, auc_steps=[1])
    data = workflow.parser.get_parsed_content("data")
    hashes = {
        split: {hash_patient(volume.patient) for volume in data.volumes(split)}
        for split in ("train", "validation", "test")
    }
    assert [len(found) for found in hashes.values()] == [8, 2, 2]
    for name in ("model_last.pt", "model_best.pt"):
        stored = read_checkpoint(tmp_path / "run" / name)
        assert (stored.patients, stored.validation_patients) == (hashes["train"], hashes["validation"])


def test_a_checkpoint_tells_its_settings_and_what_made_it_but_not_where(train: Train, tmp_path: Path) -> None:
    train(learning_rate=0.25)
    stored = read_checkpoint(tmp_path / "run" / "model_last.pt")
    assert (stored.info["learning_rate"], stored.info["batch_size"], stored.info["crop"]) == (0.25, 2, None)
    assert describe_code().items() <= stored.record.items()
    content = (tmp_path / "run" / "model_last.pt").read_bytes()
    assert not any(word.encode() in content for word in (str(tmp_path), socket.gethostname()))


def test_run_json_has_an_entry_for_each_start(train: Train, tmp_path: Path) -> None:
    train(max_epochs=1, seed=3)
    train(max_epochs=3, seed=3)
    error_of(train, max_epochs=4, seed=4)  # belongs to a run with another seed
    entries = json.loads((tmp_path / "run" / "run.json").read_text())["runs"]
    assert [(item["resumed_after_epoch"], item["last_epoch"]) for item in entries] == [(0, 1), (1, 3)]
    assert {item["seed"] for item in entries} == {3}


def test_a_run_writes_one_file_of_events(train: Train, tmp_path: Path) -> None:
    train(max_epochs=3, val_interval=1)
    assert len(list((tmp_path / "run").glob("events.*"))) == 1
    assert len(events(tmp_path / "run").Images("slices above, denoised below")) == 3


def test_a_run_is_validated_at_its_end_whatever_the_interval(train: Train, tmp_path: Path) -> None:
    train(max_epochs=3, epoch_length=1, val_interval=2)
    assert [event.step for event in events(tmp_path / "run").Scalars("val_loss")] == [2, 3]
    assert read_checkpoint(tmp_path / "run" / "model_last.pt").info["epoch"] == 3


def test_without_an_epoch_length_an_epoch_visits_every_slice(train: Train, tmp_path: Path) -> None:
    workflow = train(epoch_length=None, batch_size=32)
    slices = len(workflow.parser.get_parsed_content("train#dataset"))
    steps = [event.step for event in events(tmp_path / "run").Scalars("train_loss")]
    assert len(steps) == math.ceil(slices / 32)


# --- Exact resume ----------------------------------------------------------------------------------


@pytest.mark.parametrize("configs", [DENOISER, CLASSIFIER], ids=["denoiser", "classifier"])
def test_two_epochs_at_once_and_one_after_the_other_end_in_the_same_bytes(
    train: Train, tmp_path: Path, configs: tuple[str, ...]
) -> None:
    steps = {} if configs is DENOISER else {"auc_steps": [1]}
    train(configs, max_epochs=2, ckpt_dir=str(tmp_path / "once"), **steps)
    train(configs, max_epochs=1, ckpt_dir=str(tmp_path / "twice"), **steps)
    first = state(tmp_path / "twice")
    train(configs, max_epochs=2, ckpt_dir=str(tmp_path / "twice"), **steps)
    once, twice = state(tmp_path / "once"), state(tmp_path / "twice")
    assert (first["epoch"], once["epoch"]) == (1, 2)
    assert not differences(once, twice)
    assert differences(first["network"], once["network"])
    assert differences(first["optimizer"]["state"], once["optimizer"]["state"])
    for name in ("model_last.pt", "model_best.pt"):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()
    assert [event.step for event in events(tmp_path / "twice").Scalars("train_loss")] == [1, 2, 3, 4]


@pytest.mark.parametrize("configs", [DENOISER, CLASSIFIER], ids=["denoiser", "classifier"])
def test_the_first_weights_are_a_function_of_the_seed(
    train: Train, tmp_path: Path, configs: tuple[str, ...]
) -> None:
    """What `initialize` makes, it makes after seeding; the learning rate is too small to move a weight."""
    networks = []
    for number, seed in enumerate((0, 0, 1)):
        torch.manual_seed(1000 + number)
        folder = tmp_path / str(number)
        train(configs, seed=seed, ckpt_dir=str(folder), learning_rate=1e-30, auc_steps=[1])
        networks.append(state(folder)["network"])
    assert not differences(networks[0], networks[1])
    assert differences(networks[0], networks[2])


def test_a_finished_run_that_is_started_again_changes_nothing(train: Train, tmp_path: Path) -> None:
    train()
    before = state(tmp_path / "run")
    train()
    assert not differences(state(tmp_path / "run"), before)


def test_a_run_may_go_on_with_another_learning_rate(train: Train, tmp_path: Path) -> None:
    train()
    train(max_epochs=2, learning_rate=0.25)
    assert [group["lr"] for group in state(tmp_path / "run")["optimizer"]["param_groups"]] == [0.25]


@pytest.mark.parametrize(
    ("overrides", "stored"),
    [
        ({"split_seed": 1}, "split_seed: 0"),
        ({"preset": "fast"}, "preset: 'smoke'"),
        ({"seed": 1}, "seed: 0"),
        ({"max_step": 400}, "max_step: 500"),
    ],
    ids=lambda item: next(iter(item)) if isinstance(item, dict) else None,
)
def test_a_run_of_other_settings_is_not_mixed_into_a_finished_one(
    train: Train, tmp_path: Path, overrides: dict[str, Any], stored: str
) -> None:
    train(max_epochs=1)
    before = (tmp_path / "run" / "training_state.pt").read_bytes()
    error = error_of(train, max_epochs=2, **overrides)
    assert isinstance(error, CheckpointError)
    assert error.where == str(tmp_path / "run" / "training_state.pt")
    assert error.problem == f"belongs to a run with {stored}"
    assert (tmp_path / "run" / "training_state.pt").read_bytes() == before


def test_a_run_on_other_patients_is_not_mixed_into_a_finished_one(
    train: Train, tmp_path: Path, generated: Path
) -> None:
    train()
    error = error_of(train, max_epochs=2, dataset_dir=str(generated))
    assert isinstance(error, CheckpointError)
    assert error.problem == "belongs to a run with patients: other ones"


def test_a_preset_after_the_gate_s_overlay_is_refused(train: Train) -> None:
    """It would train the gate on noise: the paper's preset for classifiers has a largest step of its own."""
    error = error_of(train, GATE, max_step=1000)
    assert isinstance(error, ArgumentError)
    assert error.where == "max_step"
    assert error.remedy == "list train_gate.json after other overlays"


def test_a_gate_does_not_go_on_from_a_guidance_classifier(train: Train) -> None:
    train(CLASSIFIER, auc_steps=[1])
    error = error_of(train, GATE, max_epochs=2)
    assert isinstance(error, CheckpointError)
    assert error.problem == "belongs to a run with kind: 'classifier'"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "training state cannot be read"),
        ({"epoch": 1}, "is no training state of this project"),
    ],
    ids=["truncated", "another file"],
)
def test_a_damaged_training_state_is_refused_by_name(
    train: Train, tmp_path: Path, content: dict[str, Any] | None, problem: str
) -> None:
    train()
    path = tmp_path / "run" / "training_state.pt"
    if content is None:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        torch.save(content, path)
    error = error_of(train, max_epochs=2)
    assert isinstance(error, CheckpointError)
    assert (error.where, error.problem) == (str(path), problem)
    assert error.remedy == "delete it to start anew"


# --- Settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "of_error"),
    [
        ("l2", lambda error: error.square().mean()),
        ("l1", lambda error: error.abs().mean()),
        ("huber", lambda error: torch.where(error.abs() < 1, error.square() / 2, error.abs() - 0.5).mean()),
    ],
)
def test_the_first_loss_is_that_of_predicting_no_noise(
    train: Train, tmp_path: Path, name: str, of_error: Callable[[Tensor], Tensor]
) -> None:
    """A fresh denoiser predicts exactly 0, so its error is standard normal noise."""
    train(loss=name, batch_size=2)
    expected = of_error(torch.randn(100_000, generator=torch.Generator().manual_seed(0))).item()
    assert events(tmp_path / "run").Scalars("train_loss")[0].value == pytest.approx(expected, rel=0.05)


def test_a_further_loss_is_added_to_the_first_and_shown_beside_it(train: Train, tmp_path: Path) -> None:
    term = {"loss_function#terms#absolute": {"_target_": "torch.nn.L1Loss"}}
    train(**term, **{"loss_function#weights#absolute": 0.5})
    recorded = events(tmp_path / "run")
    total, noise, absolute = (
        [event.value for event in recorded.Scalars(f"train_loss{name}")]
        for name in ("", "/noise", "/absolute")
    )
    assert total == pytest.approx([n + 0.5 * a for n, a in zip(noise, absolute, strict=True)])


def test_an_unknown_loss_is_refused_with_those_that_exist(train: Train, tmp_path: Path) -> None:
    error = error_of(train, loss="l3")
    assert isinstance(error, ArgumentError)
    assert str(error) == "loss: 'l3' does not exist; choose one of l2, l1, huber"
    assert not (tmp_path / "run" / "model_last.pt").exists()


def test_crops_train_the_same_network(train: Train, tmp_path: Path) -> None:
    workflow = train(crop=32)
    prepare_batch = workflow.parser.get_parsed_content("train#prepare_batch")
    batch = next(iter(workflow.parser.get_parsed_content("train#dataloader")))
    assert prepare_batch(batch)[0].shape == (2, 3, 32, 32)
    assert read_checkpoint(tmp_path / "run" / "model_last.pt").info["epoch"] == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"preset": "large"}, "preset: 'large' does not exist; choose one of smoke, fast, paper"),
        ({"precision": "half"}, "precision: 'half' does not exist"),
        ({"crop": 128}, "crop: 128 is larger than a slice's side, 64"),
        ({"max_step": 300.5}, "max_step: expected a whole number of 1 or more, got 300.5"),
        ({"max_step": 2000}, "max_step: expected 0 <= min_step <= max_step <= 1000, got 1 and 2000"),
        ({"crop": 30}, "crop: 30 is no multiple of 4"),
        ({"tumor_share": 2}, "tumor_share: "),
        ({"ema_decay": 2.0}, "ema_decay: expected a number in [0, 1), got 2.0"),
        ({"grid_step": 0}, "grid_step: 0 is outside [1, 1000]"),
        ({"dataset_dir": "no/such/folder"}, "no/such/folder: no such folder"),
        ({"ckpt_dir": __file__}, "ckpt_dir: "),
        ({"ckpt_dir": None}, "--ckpt_dir: a path is expected"),
        ({"split_seed": -1}, "split_seed: "),
        ({"seed": None}, "seed: "),
        ({"learning_rate": 0}, "learning_rate: expected a number > 0, got 0"),
        ({"batch_size": 0}, "batch_size: "),
        ({"max_epochs": 0}, "max_epochs: "),
        ({"epoch_length": -1}, "epoch_length: "),
        ({"val_interval": 0}, "val_interval: "),
    ],
    ids=lambda item: "-".join(map(str, item.items())) if isinstance(item, dict) else "",
)
def test_a_wrong_setting_is_refused_by_name_before_anything_is_written(
    train: Train, tmp_path: Path, overrides: dict[str, Any], message: str
) -> None:
    assert str(error_of(train, **overrides)).startswith(message)
    assert not list(tmp_path.rglob("*.pt"))


def test_a_folder_named_by_a_number_is_a_folder(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line reads `--ckpt_dir 2024` as a number, and Python programs give paths."""
    monkeypatch.chdir(tmp_path)
    train(ckpt_dir=2024)
    train(ckpt_dir=tmp_path / "path")
    for folder in ("2024", "path"):
        assert (tmp_path / folder / "model_last.pt").is_file()
        assert events(tmp_path / folder).Scalars("train_loss")


# --- Generated slices as training data -------------------------------------------------------------


@pytest.fixture(scope="module")
def generated(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generation's output: twelve cases of three slices, each with tumor."""
    folder = tmp_path_factory.mktemp("generated")
    records = []
    for row, volume in enumerate(read_cohort(phantom_cohort).volumes):
        middle = 1 + int(volume.mask[1:-1].sum((1, 2)).argmax())
        triplet = slice(middle - 1, middle + 2)
        name = case_name(volume.institution, row)
        write_case(folder, name, volume.image[triplet], volume.mask[triplet])
        shown = {"patient": volume.patient}
        records.append(json.dumps({"name": name, "host": shown, "donor": shown}))
    (folder / "manifest.jsonl").write_text("\n".join(records))
    return folder


def test_a_denoiser_trains_on_generated_slices(train: Train, tmp_path: Path, generated: Path) -> None:
    workflow = train(dataset_dir=str(generated))
    dataset = workflow.parser.get_parsed_content("train#dataset")
    assert set(dataset.labels) == {1}
    assert {item.volume.slice_numbers[item.index] for item in dataset.data} == {GENERATED_SLICE}
    assert all(item.volume.patient.startswith("SYN_") for item in dataset.data)
    assert read_checkpoint(tmp_path / "run" / "model_last.pt").info["epoch"] == 1


def test_a_classifier_needs_slices_without_tumor(train: Train, generated: Path) -> None:
    error = error_of(train, CLASSIFIER, dataset_dir=str(generated))
    assert isinstance(error, DataError)
    assert error.problem == "no level of the split 'train' has slices with and without tumor"


@pytest.mark.parametrize(
    ("overrides", "channels"),
    [
        ({}, 7),
        ({"mask": False}, 6),
        ({"neighbors": False}, 1),
        ({"neighbors": False, "mask": False}, 0),
        ({"context_slices": 2, "network_def#context_channels": 13}, 13),
        ({"condition_keys": ["mask"], "network_def#context_channels": 1}, 1),
    ],
)
def test_what_conditions_the_network_is_a_parameter(
    train: Train, tmp_path: Path, overrides: dict[str, Any], channels: int
) -> None:
    train(**overrides)
    path = tmp_path / "run" / "model_last.pt"
    assert read_checkpoint(path).kind == "denoiser"
    assert load_stored_network(path).in_channels == 3 + channels


def test_whether_the_denoiser_sees_the_neighbors_is_true_or_false(train: Train) -> None:
    error = error_of(train, neighbors="no")
    assert str(error) == "neighbors: expected True or False, got 'no'; correct it"
