"""The batch scripts of the docs, run with stand-ins for SLURM's programs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from mcf_bundle.cli.table import COMMANDS
from tests.test_documents import ROOT

GENERATE, TRAIN = ROOT / "docs/slurm/generate.sbatch", ROOT / "docs/slurm/train.sbatch"

STAND_IN = """#!/bin/bash
echo "$(basename "$0") $*" >> "$CALLS"
case "$2" in generate|train) mkdir -p "$WORK_DIR/007"; exit "$CODE";; esac
"""


def call(script: Path, tmp_path: Path, code: int) -> tuple[int, list[list[str]]]:
    """Run a script whose main command ends with `code`; return its own code and what it called."""
    for name in ("srun", "scontrol"):
        (tmp_path / name).write_text(STAND_IN)
        (tmp_path / name).chmod(0o755)
    places = {name: str(tmp_path / name) for name in ("DATASET_DIR", "WORK_DIR", "SHARDS_DIR", "CKPT_DIR")}
    job = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_JOB_ID": "41", "SLURM_JOB_ID": "48"}
    own = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls"), "CODE": str(code)}
    ended = subprocess.run(["bash", str(script)], env={**os.environ, **places, **job, **own}, check=False)
    return ended.returncode, [shlex.split(line) for line in (tmp_path / "calls").read_text().splitlines()]


def options_exist(words: list[str]) -> bool:
    """Tell whether a line's command parses, as far as its own options go."""
    assert words[:2] == ["srun", "mcf-bundle"]
    command = next(item for item in COMMANDS if item.name == words[2])
    return command.parse(words[3:]) is not None


@pytest.mark.parametrize("code", [0, 3])
def test_a_part_that_is_done_is_packed_and_its_files_removed(tmp_path: Path, code: int) -> None:
    ended, (generate, pack) = call(GENERATE, tmp_path, code)
    assert ended == 0
    assert generate[2] == "generate"
    assert generate[generate.index("--seed") + 1] == "7"
    assert pack == [
        "srun",
        "mcf-bundle",
        "pack",
        f"{tmp_path}/WORK_DIR/007",
        "--output_dir",
        f"{tmp_path}/SHARDS_DIR/007",
    ]
    assert options_exist(generate)
    assert options_exist(pack)
    assert not (tmp_path / "WORK_DIR" / "007").exists()


def test_a_part_that_was_stopped_is_queued_again_and_keeps_its_files(tmp_path: Path) -> None:
    ended, (_, requeue) = call(GENERATE, tmp_path, 143)
    assert ended == 0
    assert requeue == ["scontrol", "requeue", "41_7"]
    assert (tmp_path / "WORK_DIR" / "007").is_dir()


def test_an_error_ends_a_part_and_nothing_is_packed(tmp_path: Path) -> None:
    ended, calls = call(GENERATE, tmp_path, 1)
    assert (ended, len(calls)) == (1, 1)
    assert (tmp_path / "WORK_DIR" / "007").is_dir()


@pytest.mark.parametrize(("code", "queued"), [(0, False), (143, True), (1, False)])
def test_a_training_that_was_stopped_is_queued_again(tmp_path: Path, code: int, queued: bool) -> None:
    ended, (train, *others) = call(TRAIN, tmp_path, code)
    assert ended == (0 if code == 143 else code)
    assert others == ([["scontrol", "requeue", "48"]] if queued else [])
    assert options_exist(train)


@pytest.mark.parametrize("script", [GENERATE, TRAIN], ids=lambda path: path.name)
def test_scripts_ask_to_be_told_before_they_are_stopped_and_to_be_queued_again(script: Path) -> None:
    lines = script.read_text().splitlines()
    settings = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")]
    assert "--requeue" in settings
    assert any(re.fullmatch(r"--signal=TERM@\d+", item) for item in settings)
    # SLURM stops looking for settings at the first command.
    first_command = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    assert not any(line.startswith("#SBATCH") for line in lines[first_command:])
