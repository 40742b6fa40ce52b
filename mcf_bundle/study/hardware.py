"""The machine that a run of a study computed on."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path
from typing import Any

import torch

_CPU_FILE = Path("/proc/cpuinfo")


def describe_hardware() -> dict[str, Any]:
    """Return what computed, as plain values without the machine's name.

    Returns:
        `gpu`: model of the GPU, None without one; `cpu`: model of the CPU, where the system tells none its
        architecture; `cores`: those that this process may use; `threads`: those that PyTorch uses.
    """
    return {
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


@functools.cache
def cpu_model(path: Path = _CPU_FILE) -> str:
    """Return the model of the CPU.

    Args:
        path: Linux' list of processors; elsewhere there is none and Python is asked.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [value.strip() for key, _, value in (line.partition(":") for line in lines) if _is_model(key)]
    return next(filter(None, names), "") or platform.processor() or platform.machine()


def _is_model(key: str) -> bool:
    return key.strip() == "model name"
