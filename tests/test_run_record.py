"""Tests of mcf_bundle.run_record."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from pathlib import Path

import numpy
import pytest
import torch

import mcf_bundle
from mcf_bundle import run_record
from mcf_bundle.run_record import describe_code, describe_run, device_name, git_state, remember_command


@pytest.fixture(autouse=True)
def _no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start every test as a run from Python, and undo what it remembers."""
    monkeypatch.setattr(run_record, "_command", None)


def make_checkout(folder: Path, message: str) -> Path:
    """Make a git repository of one commit with a module and a note."""
    (folder / "mcf_bundle").mkdir(parents=True)
    (folder / "mcf_bundle" / "module.py").write_text("one\n")
    (folder / "notes.txt").write_text("one\n")
    author = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    for command in (["init", "--quiet"], ["add", "."], [*author, "commit", "--quiet", "-m", message]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return make_checkout(tmp_path / "checkout", "first")


def last_commit(checkout: Path) -> str:
    """Read the commit where git keeps it."""
    head = (checkout / ".git" / "HEAD").read_text().removeprefix("ref: ").strip()
    return (checkout / ".git" / head).read_text().strip()


# --- The code --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "dirty"),
    [(None, False), ("mcf_bundle/module.py", True), ("mcf_bundle/new.py", True), ("notes.txt", False)],
    ids=["nothing", "a module", "a new module", "a note"],
)
def test_a_checkout_is_dirty_when_what_runs_was_changed(
    checkout: Path, changed: str | None, dirty: bool
) -> None:
    if changed:
        (checkout / changed).write_text("two\n")
    assert git_state(checkout) == {"commit": last_commit(checkout), "dirty": dirty}


def test_a_package_below_another_project_s_checkout_has_no_commit(checkout: Path) -> None:
    """As site-packages of an environment that lies in somebody's repository."""
    assert git_state(checkout / "mcf_bundle") is None


def test_without_git_there_is_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_state(checkout) is None


def test_a_damaged_checkout_has_no_commit(checkout: Path) -> None:
    (checkout / ".git" / "HEAD").write_text("")
    assert git_state(checkout) is None


def test_a_git_that_hangs_is_given_up(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(run_record, "_GIT_TIMEOUT_S", 0.1)
    started = time.monotonic()
    assert git_state(checkout) is None
    assert time.monotonic() - started < 30


def test_a_hook_of_another_repository_does_not_mislead(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_checkout(tmp_path / "other", "second")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert last_commit(other) != last_commit(checkout)
    assert git_state(checkout) == {"commit": last_commit(checkout), "dirty": False}


def test_the_code_is_described_without_paths_and_machines() -> None:
    described = describe_code()
    assert described["mcf_bundle"] == mcf_bundle.__version__
    assert described["versions"]["numpy"] == numpy.__version__
    assert None not in described["versions"].values()
    text = json.dumps(described)
    assert "/" not in text
    assert socket.gethostname() not in text


# --- The run ---------------------------------------------------------------------------------------


def test_a_run_from_python_has_no_command_line() -> None:
    described = describe_run(seed=3, device="cpu", started=time.time() - 5)
    assert described["command_line"] is described["config"] is None
    assert (described["seed"], described["device"]) == (3, "cpu")
    assert described["num_threads"] == torch.get_num_threads()
    assert 5 <= described["duration_s"] < 60
    assert describe_code().items() <= described.items()


def test_the_start_is_written_in_universal_time() -> None:
    assert describe_run(seed=0, device="cpu", started=0.0)["started"] == "1970-01-01T00:00:00Z"


def test_a_command_is_remembered_as_plain_json(tmp_path: Path) -> None:
    config = {"names": ("a", "b"), "folder": tmp_path, "network": "$@network_def.to(@device)", "crop": None}
    remember_command(["python", "-m", "monai.bundle", "run"], config)
    described = describe_run(seed=0, device="cpu", started=0.0)
    assert json.loads(json.dumps(described)) == described
    assert described["command_line"] == ["python", "-m", "monai.bundle", "run"]
    assert described["config"] == {**config, "names": ["a", "b"], "folder": str(tmp_path)}


def test_a_cpu_has_no_model() -> None:
    assert device_name(torch.device("cpu")) == "cpu"


def test_this_checkout_s_commit_is_recorded_if_git_knows_it() -> None:
    root = Path(mcf_bundle.__file__).parents[1]
    commit = describe_code()["git"]
    assert (commit is not None) == (git_state(root) is not None)
    assert commit is None or re.fullmatch("[0-9a-f]{40,64}", commit["commit"])
