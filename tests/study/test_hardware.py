"""The machine of a run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from mcf_bundle.study.hardware import cpu_model, describe_hardware


def test_the_cpu_is_named_as_linux_names_it(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nmodel\t\t: 2\nmodel name\t: AMD EPYC: 9\n\nmodel name\t: AMD EPYC: 9\n")
    assert cpu_model(path) == "AMD EPYC: 9"


def test_a_system_that_names_no_cpu_tells_its_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t:\n")
    assert cpu_model(tmp_path / "cpuinfo") == cpu_model(tmp_path / "missing") == "aarch64"


def test_cores_are_those_that_the_process_may_use_and_all_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    found = describe_hardware()
    assert (found["cores"], found["threads"]) == (3, torch.get_num_threads())
    assert json.loads(json.dumps(found)) == found


def test_a_gpu_is_named_beside_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100")
    assert describe_hardware()["gpu"] == "NVIDIA H100"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert describe_hardware()["gpu"] is None
