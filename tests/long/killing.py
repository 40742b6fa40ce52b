"""Kill a piece of work with SIGKILL at random moments, start it again, and see it through."""

from __future__ import annotations

import faulthandler
import os
import random
import signal
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from tqdm import tqdm

HANGING_S = 300
"""A process that takes longer hangs: it prints where, and fails."""

tqdm.monitor_interval = 0  # its thread could hold the bars' lock while a process is forked


@dataclass(frozen=True)
class Survived:
    """What a piece of work went through.

    Attributes:
        kills: how often it was killed before it ended.
        parts: how often it was started.
    """

    kills: int
    parts: int


def duration_of(work: Callable[[], object]) -> float:
    """Return the seconds that an undisturbed run takes in a process of its own."""
    started = time.monotonic()
    pid = _fork(work)
    assert _wait(pid) == 0
    return time.monotonic() - started


def see_through(
    work: Callable[[], object], dice: random.Random, *, longest_s: float, most_kills: int
) -> Survived:
    """Run a piece of work in forked processes until one of them ends well.

    Each process is killed after a time drawn from 0 to `longest_s`, until there were `most_kills`; the one
    after that is left alone.

    Args:
        work: what a process does; it finds on disk what those before it left.
        dice: draws the moments.
        longest_s: time of an undisturbed run, seconds.
        most_kills: kills of this piece of work.

    Raises:
        AssertionError: a process that was not killed failed.
    """
    kills = parts = 0
    while True:
        pid = _fork(work)
        parts += 1
        if kills < most_kills:
            time.sleep(dice.uniform(0, longest_s))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        status = _wait(pid)
        if status == -signal.SIGKILL:
            kills += 1
            continue
        assert status == 0, f"the process failed with {status} after {kills} kills"
        return Survived(kills, parts)


def _fork(work: Callable[[], object]) -> int:
    """Start a copy of this process, with everything imported, that does the work and ends."""
    pid = os.fork()
    if pid:
        return pid
    faulthandler.dump_traceback_later(HANGING_S, exit=True)
    # The lock of tqdm's own making is shared by forked processes, and stays locked when its holder is killed.
    tqdm.set_lock(threading.RLock())
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _wait(pid: int) -> int:
    """Return the exit status; minus the signal if one ended the process."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
