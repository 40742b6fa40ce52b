"""What a bundle does first on the command line: check and record it, and turn our errors into one line."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn, TypeVar

from mcf_bundle import errors
from mcf_bundle.errors import McfError

E = TypeVar("E", bound=BaseException)

TERMINATED = 128 + signal.SIGTERM
"""Exit code after SIGTERM, as shells count."""

_PROGRAM = ("monai", "bundle", "__main__.py")
_COMMANDS = ("run", "run_workflow")
# A worker process of a DataLoader sends its error as text, inside a RuntimeError.
_FROM_WORKER = re.compile(rf"^{re.escape(errors.__name__)}\.(?P<name>\w+): (?P<message>.+)$", re.MULTILINE)


def guard_command_line(argv: Sequence[str] | None = None) -> None:
    """Check and record the command line of ``python -m monai.bundle run``, and make it end in one line.

    A bundle calls this first, in ``initialize``. It does nothing where the config is used in any other way:
    Python programs and notebooks keep their own excepthook and receive the exception as it is.

    Args:
        argv: the command line, default ``sys.argv``.

    Raises:
        ArgumentError: an override names an id that the config files do not have.
    """
    argv = sys.argv if argv is None else argv
    if len(argv) < 2 or Path(argv[0]).parts[-3:] != _PROGRAM or argv[1] not in _COMMANDS:
        return
    sys.excepthook = _excepthook
    end_on_sigterm()
    logging.setLogRecordFactory(quiet_records(logging.getLogRecordFactory()))
    # These import MONAI and torch, which `python -m mcf_bundle` does without.
    from mcf_bundle.overrides import check_command
    from mcf_bundle.run_record import remember_command

    remember_command(("python", "-m", "monai.bundle", *argv[1:]), check_command(argv[2:]))


def exit_with(error: BaseException) -> NoReturn:
    """End the program as an error of ours asks: one line on stderr, and its exit code.

    With ``MCF_DEBUG=1`` in the environment the traceback comes before the line.

    Args:
        error: an error of ours, or one that was raised because of it.

    Raises:
        SystemExit: always, with the error's exit code; 1 if none of ours is found.
    """
    message, exit_code = describe(error) or (str(error), 1)
    sys.stdout.flush()
    if _debugging():
        traceback.print_exception(error)
    # One write for the line and its end: `print` makes two, and another process may print in between.
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    sys.stderr.flush()
    raise SystemExit(exit_code)


def end_on_sigterm() -> None:
    """Let SIGTERM, which a scheduler sends before it kills, end the program in one line and in order.

    What is under way in the background is written, and the output folder given back. A second SIGTERM ends
    the program at once. Of processes that torchrun started the first one alone prints the line.
    """

    def end(number: int, _: FrameType | None) -> NoReturn:
        signal.signal(number, signal.SIG_DFL)
        if os.environ.get("RANK", "0") == "0":
            message = "error: ended by SIGTERM; what is done is kept, give the same command again to go on\n"
            os.write(2, message.encode())  # sys.stderr may be in the middle of a write
        raise SystemExit(TERMINATED)

    signal.signal(signal.SIGTERM, end)


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Hold to `end_on_sigterm` while the context is open, and to what held before afterwards."""
    earlier = signal.getsignal(signal.SIGTERM)
    end_on_sigterm()
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier or signal.SIG_DFL)


def describe(error: BaseException | None) -> tuple[str, int] | None:
    """Find an error of ours among the causes of ``error``.

    Args:
        error: any exception; MONAI wraps what a config expression raises into a RuntimeError.

    Returns:
        Its message and exit code, or None if no error of ours led to ``error``.
    """
    for cause in _causes(error):
        if isinstance(cause, McfError):
            return str(cause), cause.exit_code
        if from_worker := _FROM_WORKER.findall(str(cause)):
            name, message = from_worker[-1]
            return message, getattr(errors, name, McfError).exit_code
    return None


def find_cause(error: BaseException | None, kind: type[E]) -> E | None:
    """Return the first error of a kind among ``error`` and its causes, None if there is none."""
    return next((cause for cause in _causes(error) if isinstance(cause, kind)), None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _excepthook(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    """Report an error of ours in one line; leave every other exception to Python.

    CPython ends with the exit code of a SystemExit that leaves this hook, and still runs what atexit holds.
    """
    if describe(error) is None:
        sys.__excepthook__(kind, error, where)
    else:
        exit_with(error.with_traceback(where))


def quiet_records(make_record: Callable[..., logging.LogRecord]) -> Callable[..., logging.LogRecord]:
    """Wrap a factory of log records so that what ends in one line anyway has no traceback in the log.

    These are errors of ours, Ctrl-C and SIGTERM, which MONAI's StatsHandler logs with their tracebacks. With
    ``MCF_DEBUG=1`` in the environment they stay.
    """

    def make_quiet_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make_record(*args, **kwargs)
        error = record.exc_info[1] if record.exc_info else None
        if (isinstance(error, KeyboardInterrupt | SystemExit) or describe(error)) and not _debugging():
            record.exc_info = None
        return record

    return make_quiet_record


def _debugging() -> bool:
    return os.environ.get("MCF_DEBUG") == "1"
