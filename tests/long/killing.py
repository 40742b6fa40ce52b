"""Kill a piece of work with SIGKILL at random moments, start it again, and see it through."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from tests.forking import fork, wait_for

Work = Callable[[Callable[[], object]], object]
"""A piece of work. It is called with what it calls when the part begins in which it may be killed."""


@dataclass(frozen=True)
class Survived:
    """What a piece of work went through.

    Attributes:
        kills: how often it was killed before it ended.
        parts: how often it was started.
    """

    kills: int
    parts: int


def from_the_start(work: Callable[[], object]) -> Work:
    """Make a piece of work that may be killed from its first moment on."""

    def begin_and_work(begin: Callable[[], object]) -> None:
        begin()
        work()

    return begin_and_work


def duration_of(work: Work) -> float:
    """Return the seconds from where it may be killed to its end, in a process of its own."""
    pid = _begun(work)
    started = time.monotonic()
    assert wait_for(pid) == 0
    return time.monotonic() - started


def see_through(work: Work, dice: random.Random, *, longest_s: float, most_kills: int) -> Survived:
    """Run a piece of work in forked processes until one of them ends well.

    Each process is killed after a time drawn from 0 to `longest_s`, counted from where it may be killed,
    until there were `most_kills`; the one after that is left alone.

    Args:
        work: what a process does; it finds on disk what those before it left.
        dice: draws the moments.
        longest_s: what `duration_of` gave.
        most_kills: kills of this piece of work.

    Raises:
        AssertionError: a process that was not killed failed.
    """
    kills = parts = 0
    while True:
        pid = _begun(work)
        parts += 1
        if kills < most_kills:
            time.sleep(dice.uniform(0, longest_s))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        status = wait_for(pid)
        if status == -signal.SIGKILL:
            kills += 1
            continue
        assert status == 0, f"the process failed with {status} after {kills} kills"
        return Survived(kills, parts)


def _begun(work: Work) -> int:
    """Start a process that does the work; return its number when it may be killed, or has ended."""
    reading, writing = os.pipe()
    pid = fork(lambda: work(lambda: os.write(writing, b".")))
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)
    return pid
