"""Two processes that generate together, started by torchrun as a user starts them, against one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mcf_bundle.errors import McfError
from mcf_bundle.generation.output_folder import RUN_FILES
from tests.bundles.config_files import ROOT
from tests.bundles.test_command_line import run_program
from tests.file_contents import contents
from tests.generation.bundle_runs import make_workflow

pytestmark = [pytest.mark.slow, pytest.mark.subprocess]

SETTINGS: dict[str, Any] = {
    "num_images": 14,
    "compute_batch": 2,
    "steps": 2,
    "guidance_scale": 0,
    # About half of the tumors are fainter, so that rows try their spares and some run out of them.
    "gate_rules#limits": {"flair_contrast": [0.71, None]},
}
FINDS_ALL = {"gate_rules#max_rejected": 1.0}
STOPS = {"gate_rules#max_rejected": 0.3, "gate_rules#min_tried": 4}


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command_of(folder: Path, dataset: Path, **settings: Any) -> list[str]:
    """Return a generation with two processes on the CPU."""
    names = ("bundles/mcf_diffusion/configs/inference.json", "configs/hardware/multi_gpu_generate.json")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    options = {"dataset_dir": str(dataset), "output_dir": str(folder), "device": "cpu", **settings}
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    files = str([str(ROOT / name) for name in names])
    return [sys.executable, *launcher, "-m", "monai.bundle", "run", "--config_file", files, *arguments]


def launch(folder: Path, dataset: Path, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Generate with two processes on the CPU."""
    command = command_of(folder, dataset, **settings)
    return run_program(command, cwd=folder.parent, environment=ENVIRONMENT)


@pytest.mark.parametrize(
    ("rules", "problem"),
    [(FINDS_ALL, "of 14 images written, the gate rejected the others"), (STOPS, "gate: rejected ")],
    ids=["rows run out", "gate stops"],
)
def test_two_processes_write_the_bytes_of_one(
    phantom_cohort: Path, tmp_path: Path, rules: dict[str, Any], problem: str
) -> None:
    settings = {**SETTINGS, **rules}
    one, two = tmp_path / "one", tmp_path / "two"
    with pytest.raises(McfError, match=problem) as error:
        make_workflow(phantom_cohort, one, num_threads=1, **settings).run()
    ended = launch(two, phantom_cohort, **settings)
    assert ended.returncode == 1, ended.stderr[-4000:]
    line = f"error: {error.value}".replace(str(one), str(two))
    assert line in ended.stderr.splitlines()
    assert "Traceback" not in ended.stderr.split(line)[0]

    expected, written = contents(one), contents(two)
    assert written.keys() == expected.keys() >= set(RUN_FILES)
    assert {name for name in expected if written[name] != expected[name]} == {"run.json"}
    facts = [json.loads(files["run.json"]) for files in (expected, written)]
    assert [item["processes"] for item in facts] == [1, 2]
    assert 0 < facts[1]["written"] == facts[0]["written"] < 14
    assert facts[1]["rows not written"] == facts[0]["rows not written"]
    # The test is about something: spares were tried in the first case, others not begun in the second.
    records = [json.loads(text) for text in written["manifest.jsonl"].splitlines()]
    tried_spares = any(record["candidate"] for record in records)
    assert tried_spares if rules is FINDS_ALL else facts[1]["rows not written"][-1]["reasons"] == []


def test_a_folder_of_another_run_is_refused_in_one_line_and_left_as_it_is(
    phantom_cohort: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "plan.jsonl").write_text('{"plan_id": "another"}\n')
    ended = launch(other, phantom_cohort, num_images=1)
    assert ended.returncode == 1
    lines = [text for text in ended.stderr.splitlines() if text.startswith("error: ")]
    assert lines
    assert all("holds another run's files (plan another" in line for line in lines)
    assert contents(other) == {"plan.jsonl": b'{"plan_id": "another"}\n'}
