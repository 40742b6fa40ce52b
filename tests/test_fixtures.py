"""Tests of the fixtures in conftest.py that other tests rely on."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

CONNECT = "import socket; socket.create_connection(('127.0.0.1', 9), timeout=1)"


@pytest.mark.usefixtures("no_network")
def test_connection_of_this_process_is_refused() -> None:
    with pytest.raises(OSError, match="a test forbids the network"):
        socket.create_connection(("127.0.0.1", 9), timeout=1)


def test_connection_of_a_started_program_is_refused(no_network_environment: dict[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CONNECT], env=no_network_environment, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "a test forbids the network" in ended.stderr


def test_network_is_not_blocked_without_the_fixture() -> None:
    assert socket.socket.connect.__qualname__ == "socket.connect"


@pytest.mark.parametrize("reader", range(4))
def test_phantom_cohort_is_made_once_for_all(phantom_cohort: Path, reader: int) -> None:
    assert len(list(phantom_cohort.glob("TCGA_*"))) == 12
    assert not phantom_cohort.with_suffix(".unfinished").exists()
