"""Two processes that train together, started by torchrun as a user starts them, against one process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.bundles.config_files import ROOT
from tests.bundles.test_command_line import run_program

pytestmark = [pytest.mark.slow, pytest.mark.subprocess]

SHORT = ("--max_epochs", "2", "--epoch_length", "3", "--batch_size", "4", "--precision", "float32")
SMOKE = "configs/presets/smoke.json"
DIFFUSION, GATE = "bundles/mcf_diffusion/configs/", "bundles/mcf_diffusion/configs/train_gate.json"

TRAININGS = {
    "denoiser": ([f"{DIFFUSION}train.json", SMOKE], ()),
    "classifier": ([f"{DIFFUSION}train_classifier.json", SMOKE], ("--auc_steps", "[1]")),
    "gate": ([f"{DIFFUSION}train_classifier.json", SMOKE, GATE], ()),
    "segmentation": (["bundles/tumor_segmentation/configs/train.json", SMOKE], ("--size", "64")),
    "classification": (
        ["bundles/tumor_classification/configs/train.json"],
        # A tenth of its learning rate: rectifiers near 0 switch by rounding, and each step amplifies that.
        ("--size", "64", "--learning_rate", "5e-5"),
    ),
}
"""Config files and options of every training, each with its config's own optimizer."""

SAME_WEIGHTS = ("denoiser", "classifier", "gate")
"""Trainings whose weights are compared, too. AdamW's first steps are the signs of gradients, also where a
bias before a normalization has a gradient that is rounding alone: such a bias changes no loss."""

TOLERANCE = 1e-3
"""Of losses and weights, relative to 1; a smaller batch of a process rounds otherwise."""

COUNTED = {"val_auc": 0.02, "val_balanced_accuracy": 0.02}
"""Tolerances of metrics that count cases or pairs, of which rounding may move one."""


class Run:
    """What a run left: each process's weights, and what the first one recorded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.weights = [torch.load(path, weights_only=True) for path in sorted(folder.glob("rank_*.pt"))]
        self.files = sorted(path.name for path in (folder / "run").iterdir())
        events = EventAccumulator(str(folder / "run"))
        events.Reload()
        tags = events.Tags()["scalars"]
        self.scalars = {tag: [(item.step, item.value) for item in events.Scalars(tag)] for tag in tags}


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command_of(folder: Path, dataset: Path, training: str, processes: int, *arguments: str) -> list[str]:
    """Return a training with 1 or more processes; each one saves its weights when it is done."""
    folder.mkdir(exist_ok=True)
    name = "$'rank_%s.pt' % __import__('os').environ.get('RANK', 0)"
    overlay = {"+run": [{"_target_": "torch.save", "obj": "$@network.state_dict()", "f": name}]}
    (folder / "save.json").write_text(json.dumps(overlay))
    names, options = TRAININGS[training]
    launcher = [sys.executable]
    if processes > 1:
        names = [*names, "configs/hardware/multi_gpu_train.json"]
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    files = [*(str(ROOT / name) for name in names), str(folder / "save.json")]
    return [
        *(*launcher, "-m", "monai.bundle", "run", "--config_file", str(files)),
        *("--dataset_dir", str(dataset), "--ckpt_dir", "run", "--device", "cpu", *SHORT),
        *(*options, *arguments),
    ]


def launch(folder: Path, *arguments: Any) -> subprocess.CompletedProcess[str]:
    """Train in a folder; the arguments are those of `command_of`."""
    return run_program(command_of(folder, *arguments), cwd=folder, environment=ENVIRONMENT)


def train(folder: Path, *arguments: Any) -> Run:
    """Launch, and return what is left of a run that ended well."""
    ended = launch(folder, *arguments)
    assert ended.returncode == 0, ended.stderr[-4000:]
    return Run(folder)


@pytest.fixture(scope="module")
def one_process(
    phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Run]]:
    """Gives a training's run with one process, made once; some 500 MB, removed after the last test."""
    folder = tmp_path_factory.mktemp("one")

    @cache
    def make(training: str) -> Run:
        return train(folder / training, phantom_cohort, training, 1)

    yield make
    shutil.rmtree(folder)


def largest_difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    assert one.keys() == other.keys()
    return max((one[key].double() - other[key].double()).abs().max().item() for key in one)


@pytest.mark.parametrize("training", TRAININGS)
def test_two_processes_end_as_one_does(
    phantom_cohort: Path, tmp_path: Path, one_process: Callable[[str], Run], training: str
) -> None:
    one = one_process(training)
    two = train(tmp_path / "two", phantom_cohort, training, 2)
    assert (len(one.weights), len(two.weights)) == (1, 2)
    assert largest_difference(*two.weights) == 0
    if training in SAME_WEIGHTS:
        assert largest_difference(one.weights[0], two.weights[0]) < TOLERANCE
    assert two.scalars.keys() == one.scalars.keys() >= {"train_loss"}
    for tag, values in one.scalars.items():
        assert [step for step, _ in two.scalars[tag]] == [step for step, _ in values]
        assert [value for _, value in two.scalars[tag]] == pytest.approx(
            [value for _, value in values], abs=COUNTED.get(tag, TOLERANCE)
        ), tag
    assert [name for name in two.files if not name.startswith("events.")] == [
        name for name in one.files if not name.startswith("events.")
    ]
    assert sum(name.startswith("events.") for name in two.files) == 1
    if training == "classifier":
        auc = [json.loads((run.folder / "run/auc_by_step.json").read_text())["auc"] for run in (one, two)]
        assert auc[0] == pytest.approx(auc[1], abs=TOLERANCE)


@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2)])
def test_a_run_goes_on_with_another_number_of_processes(
    phantom_cohort: Path, tmp_path: Path, one_process: Callable[[str], Run], first: int, then: int
) -> None:
    folder = tmp_path / "run"
    train(folder, phantom_cohort, "denoiser", first, "--max_epochs", "1")
    resumed = train(folder, phantom_cohort, "denoiser", then)
    undisturbed = one_process("denoiser")
    assert largest_difference(resumed.weights[0], undisturbed.weights[0]) < TOLERANCE
    losses = [run.scalars["train_loss"] for run in (resumed, undisturbed)]
    assert [step for step, _ in losses[0]] == [1, 2, 3, 4, 5, 6]
    assert [value for _, value in losses[0]] == pytest.approx(
        [value for _, value in losses[1]], abs=TOLERANCE
    )


def test_an_error_of_a_process_ends_all_with_its_line(phantom_cohort: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ended = launch(folder, phantom_cohort, "denoiser", 2, "--batch_size", "3")
    assert ended.returncode == 1
    line = "error: batch_size: 3 cannot be shared equally by 2 processes; choose a multiple of 2"
    assert line in ended.stderr.splitlines()
    assert not (folder / "run").exists()
