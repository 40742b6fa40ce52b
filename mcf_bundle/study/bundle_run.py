"""Config files of a bundle, run by MONAI in this process."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow

from mcf_bundle.cli.quiet_log import log_without_tracebacks
from mcf_bundle.resources import bundle_root
from mcf_bundle.run_record import forget_command, remember_command


def run_bundle(bundle: str, files: Sequence[str], settings: Mapping[str, Any], line: Sequence[str]) -> None:
    """Run config files of a bundle in this process; what they leave in memory is given back.

    Args:
        bundle: its name.
        files: names of its config files, overlays last.
        settings: values by id, as on a command line.
        line: the command line, for the records.

    Raises:
        RuntimeError: from MONAI, around an error of the run.
    """
    paths = config_files(bundle, files)
    parser = ConfigParser(ConfigParser.load_config_files(paths))
    parser.update(dict(settings))
    remember_command(line, parser.get())
    try:
        with warnings.catch_warnings(), log_without_tracebacks():
            # All files come with this package; MONAI warns that a config can run code.
            warnings.filterwarnings("ignore", message="parsing config_file", category=UserWarning)
            with _quiet(logging.WARNING):  # it warns that the log is left to us
                workflow = ConfigWorkflow(paths, logging_file=False, **settings)
            with _quiet(logging.INFO):
                workflow.initialize()
                workflow.run()
                workflow.finalize()
    finally:
        forget_command()
        gc.collect()


def config_files(bundle: str, files: Sequence[str]) -> list[str]:
    """Return the paths of a bundle's config files."""
    return [str(bundle_root(bundle) / "configs" / name) for name in files]


@contextmanager
def _quiet(level: int) -> Iterator[None]:
    """Leave out log records up to a level: a line an epoch would bury the study's own."""
    before = logging.root.manager.disable
    logging.disable(max(before, level))
    try:
        yield
    finally:
        logging.disable(before)
