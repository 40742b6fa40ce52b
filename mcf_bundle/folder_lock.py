"""One job at a time in an output folder."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mcf_bundle.atomic_file import unwritable, write_atomically
from mcf_bundle.errors import BusyError

LOCK_FILE, HOLDER_FILE = ".running.lock", ".running.json"
LOCK_FILES = (LOCK_FILE, HOLDER_FILE)
"""What a job has in its folder while it runs; a killed one leaves them, which stops nobody."""


@contextmanager
def claimed(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Keep other jobs out of a folder, on this machine and on others that see it.

    The operating system gives the claim back when the process ends, however it ends.

    Args:
        folder: made with its parents if missing.
        wait: wait for another job's end instead of stopping.

    Raises:
        BusyError: another process holds the folder; names its host and number.
        DataError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    lock = _acquire(folder, wait=wait)
    try:
        holder = {"host": socket.gethostname(), "process": os.getpid(), "since": time.strftime("%F %T %z")}
        write_atomically(folder / HOLDER_FILE, f"{json.dumps(holder)}\n".encode())
        yield
    finally:
        # Under the lock, so that no file of the next holder is removed.
        for name in LOCK_FILES:
            with suppress(OSError):
                (folder / name).unlink(missing_ok=True)
        lock.release()


def check_unclaimed(folder: Path) -> None:
    """Refuse a folder that another process holds at this moment; nothing is left there.

    Raises:
        BusyError: another process holds it.
        DataError: the lock that is there cannot be opened.
    """
    if (folder / LOCK_FILE).exists():
        _acquire(folder).release()


def _acquire(folder: Path, *, wait: bool = False) -> FileLock:
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        problem = f"another job works in it ({_describe_holder(folder)})"
        remedy = "wait for its end or stop it first, or choose another output_dir"
        raise BusyError(folder, problem, remedy) from None
    except OSError as error:
        raise unwritable(folder / LOCK_FILE, error) from error
    return lock


def _describe_holder(folder: Path) -> str:
    try:
        holder = json.loads((folder / HOLDER_FILE).read_text(encoding="utf-8"))
        return f"process {holder['process']} on {holder['host']}, since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "it has just started or is about to end"
