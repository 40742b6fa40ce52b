"""What a subcommand logs: progress of its own part, and no traceback of what ends in one line anyway."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mcf_bundle.commandline import quiet_records


@contextmanager
def log_without_tracebacks() -> Iterator[None]:
    """Leave tracebacks of our errors and of Ctrl-C out of the log while the context is open."""
    make_record = logging.getLogRecordFactory()
    logging.setLogRecordFactory(quiet_records(make_record))
    try:
        yield
    finally:
        logging.setLogRecordFactory(make_record)


def log_progress_of(package: str) -> None:
    """Log what a package tells of its progress, and of everything else the warnings alone."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger(package).setLevel(logging.INFO)
