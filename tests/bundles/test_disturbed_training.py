"""The denoiser's training disturbed from outside, as a user starts it: SIGTERM, a full disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.utils import set_determinism

from mcf_bundle.__main__ import main
from mcf_bundle.training.handlers import ProgressHandler
from mcf_bundle.training.resume import ResumeHandler
from mcf_bundle.training.weights import WeightsHandler
from tests.bundles.training_runs import differences
from tests.forking import check_ends_by_sigterm, with_sigterm
from tests.full_disk import full_disk

pytestmark = pytest.mark.usefixtures("anatomy_measured_once")

EPOCHS = 3
STEPS = ("write", "sync", "sync of the folder")  # of each file
CHECKPOINTS = {"model_best.pt", "model_last.pt", "training_state.pt", "training_state_previous.pt"}

Train = Callable[[Path], None]


@pytest.fixture(autouse=True)
def _random_numbers_are_left_alone() -> Iterator[None]:
    """Undo `set_determinism` of the bundle."""
    yield
    set_determinism(None)


@pytest.fixture(scope="module")
def train(phantom_cohort: Path) -> Train:
    """Trains in a folder: three epochs of two steps with the smoke preset."""
    options = {"preset": "smoke", "dataset_dir": phantom_cohort, "max_epochs": EPOCHS, "device": "cpu"}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return lambda folder: main(["train", "denoiser", *words, "--ckpt_dir", str(folder)])


@pytest.fixture(scope="module")
def undisturbed(train: Train, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[str]]:
    """What a whole training leaves, and the file of each step that it made on the disk."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with full_disk() as disk:
        train(folder)
    return left_by(folder), disk.files


def left_by(folder: Path) -> dict[str, Any]:
    """Return the checkpoints and training states by file: network, optimizer, averages, random numbers."""
    return {path.name: torch.load(path, weights_only=True) for path in sorted(folder.glob("*.pt"))}


def check_goes_on(train: Train, folder: Path, expected: dict[str, Any]) -> None:
    """Give the same command again; the folder then holds what an undisturbed run leaves."""
    train(folder)
    found = left_by(folder)
    assert found.keys() == CHECKPOINTS
    assert differences(found, expected) == []
    starts = json.loads((folder / "run.json").read_text())["runs"]
    assert starts[-1]["last_epoch"] == EPOCHS
    assert 0 < starts[-1]["resumed_after_epoch"] < EPOCHS


# --- SIGTERM ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "method", "call"),
    [(ProgressHandler, "_update", 3), (WeightsHandler, "__call__", 2), (ResumeHandler, "save", 2)],
    ids=["in a step", "in a validation", "after a state"],
)
def test_sigterm_ends_a_training_in_order_and_the_same_command_goes_on(
    train: Train,
    undisturbed: tuple[dict[str, Any], list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type,
    method: str,
    call: int,
) -> None:
    folder, plain = tmp_path / "run", getattr(kind, method)

    def work() -> None:
        monkeypatch.setattr(kind, method, with_sigterm(plain, call))
        train(folder)

    check_ends_by_sigterm(work, folder, tmp_path / "stderr")
    assert torch.load(folder / "training_state.pt", weights_only=True)["epoch"] in (1, 2)
    check_goes_on(train, folder, undisturbed[0])


# --- A full disk ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("model_last.pt", "write"),
        ("model_best.pt", "sync"),
        ("training_state.pt", "write"),
        ("training_state.pt", "sync of the folder"),
        ("run.json", "write"),
    ],
)
def test_a_bundle_s_training_that_met_a_full_disk_is_finished_by_the_same_command(
    train: Train,
    undisturbed: tuple[dict[str, Any], list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    step: str,
) -> None:
    folder, (expected, files) = tmp_path / "run", undisturbed
    steps = [number for number, file in enumerate(files) if file == f".{name}.partial"]
    # A file takes three steps an epoch; run.json is written at the start, too.
    second_epoch = 2 * len(STEPS) if name == "run.json" else len(STEPS)
    room = steps[second_epoch + STEPS.index(step)]
    with full_disk(room), pytest.raises(SystemExit) as ended:
        train(folder)
    assert ended.value.code == 1
    line = f"error: {folder / name}: cannot be written (No space left on device); free disk space"
    printed = capsys.readouterr().err
    assert printed.splitlines()[-1].startswith(line)
    assert "Traceback" not in printed
    # Nothing is half-written, and no lock is left.
    assert not list(folder.glob(".*"))
    assert left_by(folder).keys() <= CHECKPOINTS
    assert json.loads((folder / "run.json").read_text())["runs"]
    check_goes_on(train, folder, expected)
