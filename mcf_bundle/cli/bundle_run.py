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
from mcf_bundle.resources import bundle_root, config_path

BUNDLE = "mcf_diffusion"


def run_bundle(configs: Iterable[str], arguments: argparse.Namespace, settings: Mapping[str, Any]) -> None:
    """Run config files of the bundle with the same checks, records and overrides as MONAI's command line.

    Args:
        configs: names of config files of the bundle, or of overlays (`presets/paper`), in order.
        arguments: from `Command.parse`, with `ids`, `line` and `config`: files or names of overlays that
            follow the bundle's.
        settings: overrides by id of the first level, taken as they are; those that are None are left to the
            config.

    Raises:
        ArgumentError: an id or an overlay does not exist.
        RuntimeError: from MONAI, around an error of the run.
    """
    from monai.bundle import run

    from mcf_bundle.overrides import check_command, read_command
    from mcf_bundle.run_record import forget_command, remember_command

    files = [str(path) for path in _files(configs, arguments.config)]
    given, overrides = read_command(arguments.ids)
    if "config_file" in given:
        raise ArgumentError("--config_file", "the command chooses the bundle's file itself", "use --config")
    settings = {name: value for name, value in settings.items() if value is not None}
    config = check_command(["--config_file", str(files), *arguments.ids]) or {}
    # The settings are ids of the first level, and the run's record must show what they were set to.
    remember_command(arguments.line, config | settings)
    try:
        with log_without_tracebacks(), _trusting(own_files_only=not arguments.config):
            run(config_file=files, **given, **(overrides | dict(settings)))
    finally:
        forget_command()


def _files(configs: Iterable[str], overlays: Sequence[str]) -> Iterator[Path]:
    folder = bundle_root(BUNDLE) / "configs"
    for name in configs:
        yield folder / name if (folder / name).is_file() else config_path(name)
    for overlay in overlays:
        path = Path(overlay).expanduser()
        yield path if path.is_file() else config_path(overlay)


@contextmanager
def _trusting(*, own_files_only: bool) -> Iterator[None]:
    """Leave out MONAI's warning that a config can run code where all configs come with this package."""
    with warnings.catch_warnings():
        if own_files_only:
            warnings.filterwarnings("ignore", message="parsing config_file", category=UserWarning)
        yield
