"""Fixtures that tests of every part share."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

LEAST_FREE = 2e9
"""Bytes; all tests together hold up to 0.8 GB at a time in two processes."""

# Runs in this process for one test, and as sitecustomize.py in every Python that a test starts.
BLOCK_NETWORK = """
import socket

plain_connect = socket.socket.connect

def connect(self, address):
    if self.family != getattr(socket, "AF_UNIX", None):
        raise OSError(f"a test forbids the network, refused: {address}")
    return plain_connect(self, address)

socket.socket.connect = socket.socket.connect_ex = connect
"""


def pytest_sessionstart(session: pytest.Session) -> None:
    """Stop at once where the disk is nearly full: hundreds of tests would fail, none of them saying why."""
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if not hasattr(session.config, "workerinput") and free < LEAST_FREE:
        problem = f"{folder}: {free / 1e9:.1f} GB are free and all tests need {LEAST_FREE / 1e9:.0f}"
        raise pytest.UsageError(f"{problem}; make room, or set TMPDIR to a folder on a larger disk")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Keep torch to one thread: the tests share their cores with each other."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def phantom_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of 12 phantom patients in the LGG layout, 64 x 64, seed 0; shared, so for reading only."""
    from mcf_bundle.data.phantom import write_phantom_cohort

    def write(folder: Path) -> None:
        write_phantom_cohort(folder, 12, 0, size=64)

    return _made_once(tmp_path_factory, "phantom_cohort", write)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every connection of this process fail, except those between processes of this machine."""
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, getattr(socket.socket, name))  # so that it is undone
    exec(BLOCK_NETWORK, {})


@pytest.fixture
def no_network_environment(tmp_path: Path) -> dict[str, str]:
    """Environment in which Python programs cannot connect either: ``subprocess.run(..., env=...)``."""
    folder = tmp_path / "no_network"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BLOCK_NETWORK)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


def _made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Call ``make`` on a folder in one test process only, whatever their number, and return the folder."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder = root / name
    with FileLock(root / f"{name}.lock"):
        if not folder.exists():
            unfinished = root / f"{name}.unfinished"
            make(unfinished)
            unfinished.rename(folder)
    return folder
