"""The bundle as a user starts it: `python -m monai.bundle run`, in another folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "bundles" / "mcf_diffusion" / "configs"

pytestmark = pytest.mark.subprocess


def run_bundle(
    config: str, *arguments: str, cwd: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", config, *arguments]
    return run_program(command, cwd=cwd, environment=environment)


def run_program(
    command: list[str], *, cwd: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    given = os.environ if environment is None else environment
    environment = {key: value for key, value in given.items() if key != "MCF_DEBUG"}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        timeout=600,
    )


@pytest.mark.parametrize(
    ("config", "misspelled", "value", "nearest"),
    [
        ("inference.json", "--num_image", "24", "--num_images"),
        ("train.json", "--train#trainer#max_epoch", "2", "--train#trainer#max_epochs"),
    ],
)
def test_a_misspelled_id_ends_in_one_line_that_names_the_nearest(
    tmp_path: Path, config: str, misspelled: str, value: str, nearest: str
) -> None:
    folders = ("--dataset_dir", "no/such/folder", misspelled, value)
    ended = run_bundle(str(CONFIGS / config), *folders, cwd=tmp_path)
    assert ended.returncode == 1
    line = ended.stderr.splitlines()[-1]
    assert line.startswith(f"error: {misspelled}: ")
    assert line.endswith(f"the nearest is {nearest}")
    assert ended.stderr.count("error: ") == 1
    assert "Traceback" not in ended.stderr
    assert not list(tmp_path.iterdir())


def test_a_short_training_runs_from_any_folder_and_writes_below_it(
    phantom_cohort: Path, tmp_path: Path
) -> None:
    files = [str(CONFIGS / "train.json"), str(ROOT / "configs" / "presets" / "smoke.json")]
    short = ("--max_epochs", "1", "--epoch_length", "2", "--batch_size", "1")
    ended = run_bundle(str(files), "--dataset_dir", str(phantom_cohort), *short, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr[-4000:]
    written = {path.name for path in (tmp_path / "runs" / "mcf_diffusion" / "denoiser").iterdir()}
    assert {"model_last.pt", "model_best.pt", "training_state.pt"} <= written
    assert "val_loss" in ended.stderr
    assert "2/2" in ended.stderr


def demo_commands(**values: str) -> list[list[str]]:
    """Return what the Makefile's demo starts Python with; `values` are variables given to make."""
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    variables = dict(re.findall(r"^(\w+) [:?]= (\S+)$", makefile, re.MULTILINE)) | values
    recipes = re.findall(r"^\t@\$\(PY\) (-m (?:mcf_bundle|monai\.bundle) .+)$", makefile, re.MULTILINE)
    return [shlex.split(re.sub(r"\$\((\w+)\)", lambda name: variables[name[1]], line)) for line in recipes]


def test_the_demo_s_two_commands_need_no_network(
    tmp_path: Path, no_network_environment: dict[str, str]
) -> None:
    phantom, generate = demo_commands(DEMO_IMAGES="4")
    assert (phantom[1], generate[1]) == ("mcf_bundle", "monai.bundle")
    (tmp_path / "bundles").symlink_to(ROOT / "bundles")
    for command in ([*phantom, "--size", "64"], generate):
        ended = run_program([sys.executable, *command], cwd=tmp_path, environment=no_network_environment)
        assert ended.returncode == 0, ended.stderr[-4000:]
    assert len(list((tmp_path / "demo" / "out").glob("SYN_*"))) == 4
    assert (tmp_path / "demo" / "out" / "report.html").is_file()
