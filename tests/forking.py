"""Copies of the test process that do a piece of work, to be disturbed or killed."""

from __future__ import annotations

import faulthandler
import itertools
import os
import signal
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mcf_bundle.commandline import TERMINATED

HANGING_S = 300
"""A process that takes longer hangs: it prints where, and fails."""

tqdm.monitor_interval = 0  # its thread could hold the bars' lock while a process is forked


def fork(work: Callable[[], object]) -> int:
    """Start a copy of this process, with everything imported, that does the work and ends; return its number.

    It ends with 0, with the code of a SystemExit, or with 1 after another error's traceback.
    """
    pid = os.fork()
    if pid:
        return pid
    faulthandler.dump_traceback_later(HANGING_S, exit=True)
    # The lock of tqdm's own making is shared by forked processes, and stays locked when its holder is killed.
    tqdm.set_lock(threading.RLock())
    try:
        work()
    except SystemExit as ended:
        os._exit(int(str(ended.code)))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def wait_for(pid: int) -> int:
    """Return the exit status; minus the signal if one ended the process."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def with_sigterm(function: Callable[..., Any], call: int = 1) -> Callable[..., Any]:
    """Let a function send SIGTERM to its own process once, at the end of its call of that number."""
    calls = itertools.count(1)

    def call_and_signal(*arguments: Any) -> Any:
        result = function(*arguments)
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    return call_and_signal


def check_ends_by_sigterm(work: Callable[[], object], folder: Path, printed: Path) -> None:
    """Do a piece of work that gets SIGTERM in a copy of this process; it has to end in order.

    Args:
        work: sends SIGTERM to its own process at some moment.
        folder: what the job has to give back.
        printed: a new file, for what goes to stderr.

    Raises:
        AssertionError: another exit code than 143, another line than ours, or a lock that is left.
    """

    def print_there() -> None:
        os.dup2(os.open(printed, os.O_WRONLY | os.O_CREAT), 2)
        work()

    assert wait_for(fork(print_there)) == TERMINATED
    text = printed.read_text()
    assert (
        text.count("error: ended by SIGTERM; what is done is kept, give the same command again to go on") == 1
    )
    assert "Traceback" not in text
    assert not list(folder.glob(".running*"))
