"""Run a bundle in this process as ``python -m monai.bundle run`` does in its own."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mcf_bundle.cli.quiet_log import log_without_tracebacks
from mcf_bundle.errors import ArgumentError
from mcf_bundle.resources import config_path

_READ_BY_MONAI = ("initialize", "run", "finalize")


def run_bundle(files: Sequence[Path], arguments: argparse.Namespace, settings: Mapping[str, Any]) -> None:
    """Run config files of a bundle with the same checks, records and overrides as MONAI's command line.

    Args:
        files: config files of the bundle, in order, see `Recipe.files`.
        arguments: from `Command.parse`, with `ids`, `line` and `config`: files or names of overlays that
            follow the bundle's.
        settings: overrides by id of the first level, taken as they are; those that are None are left to the
            config.

    Raises:
        ArgumentError: an id or an overlay does not exist, or an overlay is for other files.
        RuntimeError: from MONAI, around an error of the run.
    """
    from monai.bundle import run

    from mcf_bundle.overrides import check_command, check_overrides, read_command
    from mcf_bundle.run_record import forget_command, remember_command

    merged = [str(path) for path in (*files, *_overlays(arguments.config, files))]
    given, overrides = read_command(arguments.ids)
    if "config_file" in given:
        raise ArgumentError("--config_file", "the command chooses the bundle's file itself", "use --config")
    settings = {name: value for name, value in settings.items() if value is not None}
    config = check_command(["--config_file", str(merged), *arguments.ids]) or {}
    check_overrides(settings, config)
    # The settings are ids of the first level, and the run's record must show what they were set to.
    remember_command(arguments.line, config | settings)
    try:
        with log_without_tracebacks(), _trusting(own_files_only=not arguments.config):
            run(config_file=merged, **given, **(overrides | dict(settings)))
    finally:
        forget_command()


def _overlays(names: Iterable[str], files: Sequence[Path]) -> Iterator[Path]:
    """Find what `--config` names: a file of the user's, or an overlay of the package, which has to fit."""
    for name in names:
        path = Path(name).expanduser()
        if not path.is_file():
            path = config_path(name)
            _check_fits(name, path, files)
        yield path


def _check_fits(name: str, overlay: Path, files: Sequence[Path]) -> None:
    """Refuse an overlay that sets what the config files lack: MONAI would add it, and nothing read it."""
    from monai.bundle import ConfigParser

    from mcf_bundle.overrides import check_overrides

    base = ConfigParser.load_config_files([str(path) for path in files])
    try:
        check_overrides(ConfigParser.load_config_file(overlay), base, also_legal=_READ_BY_MONAI)
    except ArgumentError as error:
        bundle, file = files[0].parent.parent.name, files[0].name
        problem = f"is not for {file} of {bundle}: {error.problem}"
        raise ArgumentError(f"--config {name}", problem, "docs/configs.md lists what it is for") from None


@contextmanager
def _trusting(*, own_files_only: bool) -> Iterator[None]:
    """Leave out MONAI's warning that a config can run code where all configs come with this package."""
    with warnings.catch_warnings():
        if own_files_only:
            warnings.filterwarnings("ignore", message="parsing config_file", category=UserWarning)
        yield
