"""The batch scripts of the docs, run with stand-ins for SLURM's programs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mcf_bundle.cli.table import COMMANDS
from mcf_bundle.errors import ArgumentError
from tests.test_documents import ROOT

GENERATE, TRAIN = ROOT / "docs/slurm/generate.sbatch", ROOT / "docs/slurm/train.sbatch"

LISTED = 'echo "$(basename "$0") $*" >> "$CALLS"'
# The command ENDING ends with CODE, the others with 0. If there is a SIGNAL, it comes to the script while
# that command is under way, which ends in order then: after USR1 when scancel says so, after TERM by itself.
STAND_INS = {
    "srun": f"""#!/bin/bash
{LISTED}
if [ "$2" = generate ]; then mkdir -p "$WORK_DIR/007"; fi
if [ "$2" != "$ENDING" ]; then exit 0; fi
if [ -n "$SIGNAL" ]; then
    kill "-$SIGNAL" "$PPID"
    if [ "$SIGNAL" = USR1 ]; then until [ -e "$CALLS.told" ]; do sleep 0.05; done; fi
    sleep 0.3
    echo "ended $2" >> "$CALLS"
fi
exit "$CODE"
""",
    "scancel": f'#!/bin/bash\n{LISTED}\ntouch "$CALLS.told"\n',
    "scontrol": f"#!/bin/bash\n{LISTED}\n",
}

TOLD = ["scancel", "--signal=TERM", "48"]


def call(
    script: Path, tmp_path: Path, command: str, code: int, signal: str = ""
) -> tuple[int, list[list[str]]]:
    """Run a script one of whose commands ends with a code; return the script's own code and what it called.

    Args:
        script: the script.
        tmp_path: for its folders.
        command: the command; the others end with 0.
        code: its code.
        signal: what SLURM sends to the script while that command is under way.
    """
    for name, text in STAND_INS.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    places = {name: str(tmp_path / name) for name in ("DATASET_DIR", "WORK_DIR", "SHARDS_DIR", "CKPT_DIR")}
    job = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_JOB_ID": "41", "SLURM_JOB_ID": "48"}
    own = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}
    own |= {"ENDING": command, "CODE": str(code), "SIGNAL": signal}
    environment = {**os.environ, **places, **job, **own}
    ended = subprocess.run(["bash", str(script)], env=environment, check=False, timeout=60)
    return ended.returncode, [shlex.split(line) for line in (tmp_path / "calls").read_text().splitlines()]


def check_command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Parse a line and go with it to where MONAI would run the bundle: ids, presets and overlays exist."""
    import mcf_bundle.overrides  # reads the signature of MONAI's own `run`

    assert mcf_bundle.overrides.monai_run
    assert words[:2] == ["srun", "mcf-bundle"]
    command = next(item for item in COMMANDS if item.name == words[2])
    arguments = command.parse(words[3:])
    if not command.takes_ids:
        return
    started: list[dict[str, Any]] = []
    monkeypatch.setattr("monai.bundle.run", lambda **settings: started.append(settings))
    command.run(arguments)
    assert [bool(settings["config_file"]) for settings in started] == [True]


@pytest.mark.parametrize("code", [0, 3])
def test_a_part_that_is_done_is_packed_and_its_files_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    ended, (generate, pack) = call(GENERATE, tmp_path, "generate", code)
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
    check_command(generate, monkeypatch)
    check_command(pack, monkeypatch)
    assert not (tmp_path / "WORK_DIR" / "007").exists()


@pytest.mark.parametrize("code", [143, 1, 0])
def test_a_part_whose_time_is_over_ends_in_order_is_queued_again_and_keeps_its_files(
    tmp_path: Path, code: int
) -> None:
    ended, calls = call(GENERATE, tmp_path, "generate", code, "USR1")
    assert ended == 0
    assert calls[1:] == [TOLD, ["ended", "generate"], ["scontrol", "requeue", "41_7"]]
    assert (tmp_path / "WORK_DIR" / "007").is_dir()


@pytest.mark.parametrize(("code", "queued"), [(143, True), (0, False)])
def test_a_packing_whose_time_is_over_is_queued_again_unless_it_is_done(
    tmp_path: Path, code: int, queued: bool
) -> None:
    ended, calls = call(GENERATE, tmp_path, "pack", code, "USR1")
    assert ended == 0
    assert calls[2:] == [TOLD, ["ended", "pack"], *([["scontrol", "requeue", "41_7"]] if queued else [])]
    assert (tmp_path / "WORK_DIR" / "007").is_dir() == queued


def test_an_error_ends_a_part_and_nothing_is_packed(tmp_path: Path) -> None:
    ended, calls = call(GENERATE, tmp_path, "generate", 1)
    assert (ended, len(calls)) == (1, 1)
    assert (tmp_path / "WORK_DIR" / "007").is_dir()


@pytest.mark.parametrize("code", [0, 1, 143])
def test_a_training_ends_with_its_own_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    ended, (train,) = call(TRAIN, tmp_path, "train", code)
    assert ended == code
    check_command(train, monkeypatch)


@pytest.mark.parametrize(("code", "queued"), [(143, True), (1, True), (0, False)])
def test_a_training_whose_time_is_over_ends_in_order_and_is_queued_again(
    tmp_path: Path, code: int, queued: bool
) -> None:
    ended, calls = call(TRAIN, tmp_path, "train", code, "USR1")
    assert ended == 0
    assert calls[1:] == [TOLD, ["ended", "train"], *([["scontrol", "requeue", "48"]] if queued else [])]


@pytest.mark.parametrize(("script", "command"), [(TRAIN, "train"), (GENERATE, "generate")])
def test_a_job_that_slurm_stops_waits_for_its_program_and_leaves_the_queue_to_slurm(
    tmp_path: Path, script: Path, command: str
) -> None:
    ended, calls = call(script, tmp_path, command, 143, "TERM")
    assert ended == 143
    assert calls[1:] == [["ended", command]]


def test_an_id_that_does_not_exist_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["srun", "mcf-bundle", "train", "denoiser", "--dataset_dir", "data", "--num_workers", "4"]
    with pytest.raises(ArgumentError, match="--num_workers: there is no id"):
        check_command(words, monkeypatch)


@pytest.mark.parametrize("script", [GENERATE, TRAIN], ids=lambda path: path.name)
def test_scripts_ask_to_be_told_before_they_are_stopped_and_to_be_queued_again(script: Path) -> None:
    lines = script.read_text().splitlines()
    settings = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")]
    assert "--requeue" in settings
    assert any(re.fullmatch(r"--signal=B:USR1@\d+", item) for item in settings)
    # SLURM stops looking for settings at the first command.
    first_command = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    assert not any(line.startswith("#SBATCH") for line in lines[first_command:])
