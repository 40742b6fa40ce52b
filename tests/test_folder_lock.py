"""Tests of mcf_bundle.folder_lock, between real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mcf_bundle.errors import BusyError, DataError
from mcf_bundle.folder_lock import HOLDER_FILE, LOCK_FILE, check_unclaimed, claimed

HOLD = """
import sys
from pathlib import Path
from mcf_bundle.folder_lock import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder_of(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process that holds a folder until its stdin is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_a_second_process_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with holder_of(folder) as holder:
        for attempt in (lambda: claimed(folder).__enter__(), lambda: check_unclaimed(folder)):
            with pytest.raises(BusyError) as caught:
                attempt()
            assert caught.value.where == str(folder)
            assert f"process {holder.pid} on {socket.gethostname()}, since " in caught.value.problem
            assert "choose another output_dir" in caught.value.remedy


def test_the_lock_of_a_killed_process_is_no_obstacle(tmp_path: Path) -> None:
    with holder_of(tmp_path) as holder:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    assert {path.name for path in tmp_path.iterdir()} == {LOCK_FILE, HOLDER_FILE}
    check_unclaimed(tmp_path)
    with claimed(tmp_path):
        assert f'"process": {os.getpid()}' in (tmp_path / HOLDER_FILE).read_text()
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_ends_gives_the_folder_back_and_leaves_nothing(tmp_path: Path) -> None:
    with holder_of(tmp_path) as holder:
        holder.communicate()
        assert holder.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_an_error_inside_gives_the_folder_back(tmp_path: Path) -> None:
    with pytest.raises(KeyError), claimed(tmp_path):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_the_same_process_is_kept_out_too(tmp_path: Path) -> None:
    with claimed(tmp_path):
        with pytest.raises(BusyError, match=f"process {os.getpid()} "):
            check_unclaimed(tmp_path)
        assert (tmp_path / HOLDER_FILE).is_file()


def test_a_holder_that_cannot_be_read_still_keeps_others_out(tmp_path: Path) -> None:
    with claimed(tmp_path):
        (tmp_path / HOLDER_FILE).write_text("[]")
        with pytest.raises(BusyError, match="has just started"):
            check_unclaimed(tmp_path)


def test_looking_leaves_nothing_in_a_free_or_missing_folder(tmp_path: Path) -> None:
    check_unclaimed(tmp_path / "missing")
    check_unclaimed(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_folder_s_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(DataError, match="out: cannot be written"), claimed(tmp_path / "out"):
        pass
