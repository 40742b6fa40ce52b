"""Every bundle passes the model zoo's gate without exclusions, and the gate refuses broken ones."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.utils import set_determinism

from mcf_bundle.data.training_data import TrainingData
from mcf_bundle.errors import LeakageError
from mcf_bundle.networks.checkpoint import save_checkpoint
from mcf_bundle.networks.classification_ensemble import KIND
from mcf_bundle.networks.exportable import ExportableNetwork
from mcf_bundle.networks.presets import make_denoiser
from mcf_bundle.networks.stored_network import load_stored_network
from tests.bundles import model_zoo_gate as gate
from tests.bundles.config_files import BUNDLE_OVERLAYS, ROOT, read
from tests.generation.bundle_runs import error_of_ours

BUNDLES = sorted(path.parent for path in ROOT.glob("bundles/*/configs"))
MCF = ROOT / "bundles" / "mcf_diffusion"
SMOKE = ROOT / "configs" / "presets" / "smoke.json"

bundles = pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)


@pytest.fixture(autouse=True)
def _random_numbers_are_left_alone() -> Iterator[None]:
    """Undo `set_determinism` of the bundles."""
    yield
    set_determinism(None)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A bundle to break; its weights are one empty file."""
    folder = tmp_path / "mcf_diffusion"
    shutil.copytree(MCF, folder, ignore=shutil.ignore_patterns("models"))
    (folder / "models").mkdir()
    (folder / "models" / "model.pt").touch()
    return folder


def change_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Apply a change to the content of a JSON file."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content, indent=4) + "\n")


# --- Folder ----------------------------------------------------------------------------------------


@bundles
def test_the_folder_has_what_the_zoo_needs(bundle: Path) -> None:
    assert not gate.folder_problems(bundle)


def _make_large(bundle: Path) -> None:
    with (bundle / "models" / "model.pt").open("wb") as file:
        file.truncate(gate.LARGEST_FILE + 1)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda bundle: (bundle / "LICENSE").rename(bundle / "LICENSE.txt"), "lacks LICENSE"),
        (lambda bundle: (bundle / "models/model.pt").unlink(), "lacks models/model.pt"),
        (_make_large, "models/model.pt is over 25 MB"),
        (lambda bundle: (bundle / "large_files.yml").touch(), "large_files.yml names files"),
        (
            lambda bundle: (bundle / "configs/x.json").write_text('{\n  "a": 1\n}\n'),
            "configs/x.json is not form",
        ),
    ],
)
def test_a_broken_folder_is_caught(damage: Callable[[Path], Any], problem: str, copy: Path) -> None:
    assert not gate.folder_problems(copy)
    damage(copy)
    (found,) = gate.folder_problems(copy)
    assert found.startswith(problem)


# --- Metadata --------------------------------------------------------------------------------------


@bundles
@pytest.mark.usefixtures("no_network")
def test_metadata_obeys_the_zoo_s_schema(bundle: Path, tmp_path: Path) -> None:
    gate.check_metadata(bundle / "configs/metadata.json", tmp_path)


def _tensor(kind: str, name: str, **changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda metadata: metadata["network_data_format"][kind][name].update(changes)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda metadata: metadata.pop("task"), "'task' is a required property"),
        (lambda metadata: metadata.pop("changelog"), "'changelog' is a required property"),
        (lambda metadata: metadata.update(version=0.1), "0.1 is not of type 'string'"),
        (lambda metadata: metadata.update(references="a paper"), "'a paper' is not of type 'array'"),
        (lambda metadata: metadata["network_data_format"].pop("outputs"), "'outputs' is a required property"),
        (
            lambda metadata: metadata["network_data_format"]["inputs"]["image"].pop("dtype"),
            "'dtype' is a required property",
        ),
        (_tensor("inputs", "image", num_channels="9"), "'9' is not of type 'integer'"),
        (_tensor("outputs", "pred", value_range=["low"]), "'low' is not of type 'number'"),
        (_tensor("outputs", "pred", channel_def={"noise": "0"}), "'noise' does not match"),
    ],
)
def test_broken_metadata_is_caught(damage: Callable[[dict[str, Any]], Any], problem: str, copy: Path) -> None:
    change_json(copy / "configs/metadata.json", damage)
    with pytest.raises(ValueError, match=problem):
        gate.check_metadata(copy / "configs/metadata.json", copy)


# --- The network -----------------------------------------------------------------------------------


@bundles
def test_the_network_gives_what_metadata_says(bundle: Path) -> None:
    gate.check_network(bundle)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (_tensor("inputs", "image", num_channels=8), "channels"),
        (_tensor("outputs", "pred", num_channels=2), "output channel number `3` doesn't match: `2`"),
        (_tensor("outputs", "pred", dtype="float64"), "dtype of output data"),
    ],
)
def test_a_network_that_differs_from_metadata_is_caught(
    damage: Callable[[dict[str, Any]], None], problem: str, copy: Path
) -> None:
    change_json(copy / "configs/metadata.json", damage)
    with pytest.raises((ValueError, RuntimeError), match=problem):
        gate.check_network(copy)


# --- TorchScript -----------------------------------------------------------------------------------


def largest_difference(scripted: torch.nn.Module, network: torch.nn.Module) -> float:
    """Compare at several batches, sizes and, where there are any, steps; a script of frozen steps differs."""
    generator = torch.Generator().manual_seed(0)
    channels = next(network.parameters()).shape[1]
    found = []
    for steps, sides in (([0], (64, 64)), ([149], (32, 96)), ([1, 499, 999], (48, 64))):
        has_steps = isinstance(network, ExportableNetwork)
        x = torch.randn(
            len(steps), network.in_channels if has_steps else channels, *sides, generator=generator
        )
        inputs = (x, torch.tensor(steps)) if has_steps else (x,)
        with torch.no_grad():
            found.append((scripted(*inputs) - network(*inputs)).abs().max())
    return float(torch.stack(found).max())


@pytest.mark.subprocess
@bundles
def test_the_shipped_weights_export_from_the_command_line(
    bundle: Path, tmp_path: Path, no_network_environment: dict[str, str]
) -> None:
    command = [sys.executable, "-m", "monai.bundle", "ckpt_export", "network_def"]
    options = {
        "filepath": tmp_path / "model.ts",
        "ckpt_file": bundle / "models/model.pt",
        "meta_file": bundle / "configs/metadata.json",
        "config_file": bundle / "configs/inference.json",
    }
    arguments = [part for key, value in options.items() for part in (f"--{key}", str(value))]
    subprocess.run([*command, *arguments], check=True, cwd=tmp_path, env=no_network_environment)
    files = {"metadata.json": "", "inference.json": ""}
    scripted = torch.jit.load(tmp_path / "model.ts", _extra_files=files)
    network = ConfigParser(read(bundle / "configs/inference.json")).get_parsed_content("network_def")
    network.load_state_dict(torch.load(bundle / "models/model.pt", weights_only=True))
    assert largest_difference(scripted, network.eval()) < 1e-5
    assert all(files.values()), "metadata and config travel with the weights"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A small denoiser that predicts something, in the layout of the shipped weights."""
    torch.manual_seed(0)
    network = make_denoiser("smoke", mask=True)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    path = tmp_path / "model.pt"
    save_checkpoint(path, network.state_dict(), preset="smoke", kind="denoiser", patients=["p"], info={})
    return path


def test_the_export_needs_no_key_of_the_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    scripted = gate.export_torchscript(MCF, checkpoint, tmp_path / "model.ts", preset="smoke")
    network = load_stored_network(checkpoint)
    assert largest_difference(scripted, network) < 1e-6
    with torch.no_grad():
        network.unet.out[2].conv.bias += 0.01
    assert largest_difference(scripted, network) > 1e-3, "other weights are seen"


def test_an_export_with_frozen_steps_is_seen(checkpoint: Path) -> None:
    network = load_stored_network(checkpoint)
    x, _ = network.example_inputs()
    frozen = torch.jit.trace(network, (x,))
    assert largest_difference(lambda x, timesteps: frozen(x), network) > 1e-3  # type: ignore[arg-type]


def test_an_export_of_weights_of_another_network_fails(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="Missing key"):
        gate.export_torchscript(MCF, checkpoint, tmp_path / "model.ts", preset="fast")


# --- Properties ------------------------------------------------------------------------------------


def kind_of(name: str) -> str:
    return "inference" if name.startswith("inference") else "train"


NO_NETWORK = {"metadata.json", "evaluate_images.json"}
"""Files that train and apply no network, so that no tool looks for one."""


def config_lists(bundle: Path) -> list[list[Path]]:
    """Every list of a bundle's own configs that trains or applies a network."""
    names = sorted({path.name for path in (bundle / "configs").glob("*.json")} - NO_NETWORK)
    lists = [[BUNDLE_OVERLAYS[name], name] if name in BUNDLE_OVERLAYS else [name] for name in names]
    return [[bundle / "configs" / name for name in names] for names in lists]


def overrides(files: list[Path], dataset_dir: Path, tmp_path: Path) -> dict[str, Any]:
    """A phantom cohort, folders to write to, and as little work as possible, where a config has the id."""
    config = ConfigParser.load_config_files([str(path) for path in files])
    wanted = {"dataset_dir": str(dataset_dir), "num_images": 2, "device": "$torch.device('cpu')"}
    wanted |= {name: str(tmp_path / name) for name in ("ckpt_dir", "output_dir")}
    if "trained" in config:
        wanted["ckpt"] = str(fresh_checkpoint(config, tmp_path / "of_nobody.pt"))
    return {name: value for name, value in wanted.items() if name in config}


def fresh_checkpoint(config: dict[str, Any], path: Path) -> Path:
    """Write weights of nobody for the network that a config loads."""
    parser = ConfigParser(config)
    network, loader = parser.get_parsed_content("network_def"), config["trained"]
    preset = parser.get_parsed_content("trained#preset") if "preset" in loader else network.architecture
    names = {"preset": preset, "kind": loader.get("kind", KIND)}
    save_checkpoint(path, network.state_dict(), **names, patients=[], info={"max_step": 500})
    return path


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(files, id="+".join([bundle.name, *(path.stem for path in files)]))
        for bundle in BUNDLES
        for files in config_lists(bundle)
    ],
)
def test_a_config_has_the_properties_that_monai_s_tools_look_for(
    files: list[Path], phantom_cohort: Path, tmp_path: Path
) -> None:
    override = overrides(files, phantom_cohort, tmp_path)
    assert gate.missing_properties(files, kind_of(files[0].name), **override) == []


def test_the_properties_of_inference_are_what_their_names_say(phantom_cohort: Path, tmp_path: Path) -> None:
    files = [MCF / "configs/inference.json"]
    override = overrides(files, phantom_cohort, tmp_path)
    workflow = ConfigWorkflow(
        str(files[0]), workflow_type="inference", logging_file=False, dry_run=True, **override
    )
    workflow.initialize()
    assert [row.row for row in workflow.dataset] == [0, 1], "the rows of the plan"
    assert workflow.evaluator.run() is None, "a dry run"


def _rename(config: dict[str, Any], part: str, engine: str, name: str, argument: str) -> None:
    """Move what MONAI looks for to another id; the config itself still works."""
    config[part]["renamed"] = config[part].pop(name)
    config[part][engine][argument] = f"@{part}#renamed"


@pytest.mark.parametrize(
    ("name", "damage", "problem"),
    [
        ("inference.json", lambda config: config.pop("evaluator"), "Property 'evaluator'"),
        ("inference.json", lambda config: config.pop("dataset"), "Property 'dataset'"),
        (
            "train.json",
            lambda config: _rename(config, "train", "trainer", "inferer", "inferer"),
            "Property 'train_inferer'",
        ),
        ("train.json", lambda config: config["train"]["handlers"].append("@ema"), "TypeError"),
        (
            "train.json",
            lambda config: _rename(config, "validate", "evaluator", "handlers", "val_handlers"),
            "val_handlers",
        ),
    ],
)
def test_a_config_without_a_property_is_caught(
    name: str, damage: Callable[[dict[str, Any]], Any], problem: str, copy: Path, phantom_cohort: Path
) -> None:
    path = copy / "configs" / name
    override = overrides([path], phantom_cohort, copy)
    override["initialize"] = override["finalize"] = []  # so that it is the check that fails
    change_json(path, damage)
    (found,) = gate.missing_properties([path], kind_of(name), **override)
    assert problem in found


# --- evaluate.json ---------------------------------------------------------------------------------


def evaluate(dataset_dir: Path, folder: Path, *, patients: list[str], **override: Any) -> dict[str, Any]:
    """Evaluate a fresh network, which predicts no noise at all, and return the report."""
    weights = make_denoiser("smoke", mask=True).state_dict()
    path = folder / "fresh.pt"
    save_checkpoint(path, weights, preset="smoke", kind="denoiser", patients=patients, info={"max_step": 500})
    files = [MCF / "configs/train.json", SMOKE, MCF / "configs/evaluate.json"]
    settings = {**overrides(files, dataset_dir, folder), "ckpt": str(path), **override}
    workflow = ConfigWorkflow(
        [str(path) for path in files], workflow_type="train", logging_file=False, **settings
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    report = json.loads((folder / "output_dir" / "evaluation.json").read_text())
    assert workflow.evaluator.state.metrics["val_loss"] == pytest.approx(report["loss"], rel=1e-5)
    return report


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_loss_of_no_prediction_is_the_noise_s_variance(
    split: str, phantom_cohort: Path, tmp_path: Path
) -> None:
    data = TrainingData(phantom_cohort)
    report = evaluate(phantom_cohort, tmp_path, patients=data.patients_behind("train"), split=split)
    assert report["loss"] == pytest.approx(1, rel=0.02)
    assert report["slices"] == len(data.slices(split)[::4])
    assert report["patients"] == len(report["by_patient"]) == len(data.volumes(split))
    assert report["settings"]["split"] == split
    assert not (tmp_path / "ckpt_dir").exists(), "an evaluation writes no checkpoint"


def test_an_evaluation_on_patients_of_the_training_is_refused(phantom_cohort: Path, tmp_path: Path) -> None:
    patient = TrainingData(phantom_cohort).volumes("validation")[0].patient
    with pytest.raises((LeakageError, RuntimeError)) as raised:
        evaluate(phantom_cohort, tmp_path, patients=[patient])
    assert isinstance(error_of_ours(raised.value), LeakageError)
