"""Two processes that torchrun started, stopped in the middle; the same command finishes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from mcf_bundle.errors import IncompleteError
from tests.bundles import test_multi_gpu_generate as generating
from tests.bundles import test_multi_gpu_train as training
from tests.file_contents import contents
from tests.generation.bundle_runs import make_workflow

pytestmark = pytest.mark.long

WAITING_S = 600
SETTINGS = {**generating.SETTINGS, **generating.FINDS_ALL}

STEP_TOLERANCE = 0.05
"""Of a tensor's gradient, relative to it: rounding may switch a rectifier near 0. A wrong one is off by 1."""


def descendants(pid: int) -> list[int]:
    """Return the numbers of a process's children and theirs."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    parents = {int(child): int(parent) for child, parent in map(str.split, listed.stdout.splitlines())}
    found = [pid]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found[1:]


def stop_in_the_middle(
    command: list[str], folder: Path, number: int, *, begun: Callable[[], object]
) -> tuple[int, str]:
    """Start torchrun, send a signal when the work has begun; return its exit code and what it printed.

    SIGTERM goes to torchrun alone, as a scheduler sends it; SIGKILL to all processes.
    """
    with (folder / "stderr").open("w") as printed:
        process = subprocess.Popen(command, cwd=folder, env=generating.ENVIRONMENT, stderr=printed)
    try:
        deadline = time.monotonic() + WAITING_S
        while not begun():
            assert process.poll() is None, (folder / "stderr").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        others = descendants(process.pid) if number == signal.SIGKILL else []
        for pid in (process.pid, *others):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
    code = process.wait(WAITING_S)
    return code, (folder / "stderr").read_text()


@pytest.fixture(scope="module")
def generated(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process generates that nobody disturbed."""
    folder = tmp_path_factory.mktemp("one") / "out"
    with pytest.raises(IncompleteError):
        make_workflow(phantom_cohort, folder, **SETTINGS).run()
    return contents(folder, "run.json")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_generation_of_two_processes_that_was_stopped_is_finished_by_the_same_command(
    phantom_cohort: Path, tmp_path: Path, generated: dict[str, bytes], number: signal.Signals
) -> None:
    out = tmp_path / "out"
    command = generating.command_of(out, phantom_cohort, **SETTINGS)
    code, printed = stop_in_the_middle(command, tmp_path, number, begun=lambda: len([*out.glob("SYN_*")]) > 2)
    assert code == (1 if number == signal.SIGTERM else -signal.SIGKILL)
    assert not (out / "manifest.jsonl").exists()
    if number == signal.SIGTERM:
        assert printed.count("error: ended by SIGTERM") == 1
        assert not list(out.glob(".running*"))
    assert generating.launch(out, phantom_cohort, **SETTINGS).returncode == 1  # rows that ran out of spares
    assert contents(out, "run.json") == generated


def test_a_training_of_two_processes_that_got_sigterm_ends_with_1_and_is_finished_by_the_same_command(
    phantom_cohort: Path, tmp_path: Path
) -> None:
    folder, longer = tmp_path / "stopped", ("--max_epochs", "8")
    command = training.command_of(folder, phantom_cohort, "denoiser", 2, *longer)
    state = folder / "run" / "training_state.pt"
    code, printed = stop_in_the_middle(command, folder, signal.SIGTERM, begun=state.exists)
    assert code == 1  # torchrun's own, whatever its processes end with
    assert printed.count("error: ended by SIGTERM") == 1
    assert not list(state.parent.glob(".*"))
    assert torch.load(state, weights_only=True)["epoch"] < 8
    finished = training.train(folder, phantom_cohort, "denoiser", 2, *longer)
    undisturbed = training.train(tmp_path / "undisturbed", phantom_cohort, "denoiser", 2, *longer)
    assert training.largest_difference(finished.weights[0], undisturbed.weights[0]) == 0


def one_step(rate: float) -> tuple[str, ...]:
    """Return the options of one step along the gradient, its norm clipped to 1; weights lie as on a GPU."""
    optimizer = {"_target_": "torch.optim.SGD", "params": "$@network.parameters()", "lr": rate}
    options = {"optimizer": optimizer, "max_epochs": 1, "epoch_length": 1, "channels_last": True}
    return tuple(word for name, value in options.items() for word in (f"--{name}", str(value)))


@pytest.mark.parametrize("name", training.TRAININGS)
def test_a_step_of_two_processes_is_that_of_one(phantom_cohort: Path, tmp_path: Path, name: str) -> None:
    start, one, two = (
        training.train(tmp_path / folder, phantom_cohort, name, processes, *one_step(rate)).weights[0]
        for folder, processes, rate in (("start", 1, 0.0), ("one", 1, 1.0), ("two", 2, 1.0))
    )
    weights = [key for key in start if start[key].is_floating_point()]
    assert any(torch.norm(one[key] - start[key]) > 0.01 for key in weights)
    for key in weights:
        difference, step = torch.norm(two[key] - one[key]), torch.norm(one[key] - start[key])
        assert difference <= STEP_TOLERANCE * step + 1e-5, key
