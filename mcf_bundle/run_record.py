"""What made a run: command line, resolved config, code, packages, machine."""

from __future__ import annotations

import functools
import json
import os
import platform
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import mcf_bundle

PACKAGES = (
    *("monai", "torch", "pytorch-ignite", "numpy", "scipy", "scikit-image"),
    *("pillow", "tifffile"),
)
"""Packages whose version can change what a run makes."""

CODE = ("mcf_bundle", "bundles", "configs")
"""Folders of a checkout whose changes make it dirty."""

_CHECKOUT = Path(__file__).resolve().parents[1]
_GIT_TIMEOUT_S = 10


@dataclass(frozen=True)
class Command:
    """A command line and what it came to.

    Attributes:
        line: the words as typed.
        config: the config files merged, with the command line's overrides, as plain JSON; '$' and '@'
            strings stand as they are. None without a config file.
    """

    line: tuple[str, ...]
    config: Mapping[str, Any] | None


_command: Command | None = None


def remember_command(line: Sequence[str], config: Mapping[str, Any] | None) -> None:
    """Keep the command line of this process for the records of its run.

    The state of the code is looked up here too: what was loaded counts, not what lies there hours later.

    Args:
        line: the words as typed.
        config: see `Command`; what JSON does not know is kept as text.
    """
    global _command
    plain = None if config is None else json.loads(json.dumps(config, default=str))
    _command = Command(tuple(line), plain)
    _own_git_state()


def forget_command() -> None:
    """Forget the command line: what this process runs from now on was not started by it."""
    global _command
    _command = None


def describe_code() -> dict[str, Any]:
    """Return the versions that made something, as plain values without paths or names of machines.

    Returns:
        `mcf_bundle`; `git`, see `git_state`, of the checkout that the package runs from, None in a wheel;
        `versions` of `PACKAGES`, None for one that is not installed; `python`.
    """
    return {
        "mcf_bundle": mcf_bundle.__version__,
        "git": _own_git_state(),
        "versions": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
    }


def describe_run(*, seed: int | None, device: str, started: float) -> dict[str, Any]:
    """Return everything that is known of a run, for a run.json.

    This has paths as they were typed and the machine's name: write it nowhere else.

    Args:
        seed: the run's seed.
        device: name of what the networks run on, see `device_name`.
        started: when the run began, seconds since 1970.

    Returns:
        What `describe_code` gives, the machine, the threads, the seed, the command line and its config (None
        for a run that Python started), the start (UTC) and the seconds since.
    """
    return {
        **describe_code(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "host_name": socket.gethostname(),
        "device": device,
        "num_threads": torch.get_num_threads(),
        "num_interop_threads": torch.get_num_interop_threads(),
        "seed": seed,
        "command_line": None if _command is None else list(_command.line),
        "config": None if _command is None else _command.config,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "duration_s": round(time.time() - started, 1),
    }


def device_name(device: torch.device) -> str:
    """Name the kind of machine that networks run on: a GPU's model, else the device's type."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return the commit of a checkout.

    Args:
        folder: root of the checkout.

    Returns:
        `commit`, and `dirty`: whether anything in `CODE` was changed or added since. None if the folder is no
        root of a checkout, or git is missing or does not answer.
    """
    if not (folder / ".git").exists():
        return None
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changes = _git(folder, "status", "--porcelain", "--", *CODE)
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(changes)}


@functools.cache
def _own_git_state() -> dict[str, Any] | None:
    return git_state(_CHECKOUT)


def _git(folder: Path, *arguments: str) -> str:
    # A hook of another repository sets GIT_DIR, which would be asked in place of this folder.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    ended = subprocess.run(
        ["git", "--no-optional-locks", "-C", str(folder), *arguments],
        capture_output=True,
        check=True,
        env=environment,
        errors="replace",
        timeout=_GIT_TIMEOUT_S,
    )
    return ended.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
