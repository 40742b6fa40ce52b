"""``mcf-bundle phantom``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mcf_bundle.cli.command import Command
from mcf_bundle.cli.options import count


def _run(arguments: argparse.Namespace) -> None:
    from mcf_bundle.data.phantom import write_phantom_cohort

    write_phantom_cohort(arguments.output_dir, arguments.patients, arguments.seed, size=arguments.size)
    print(f"{arguments.patients} phantom patients are in {arguments.output_dir}")


PHANTOM = Command(
    name="phantom",
    summary="write a seeded cohort of brain-like volumes in the LGG layout",
    usage="--output_dir DIR [options]",
    options={
        "--output_dir": {"type": Path, "required": True, "metavar": "DIR", "help": "folder to write to"},
        "--patients": {"type": count, "default": 12, "metavar": "N", "help": "default: %(default)s"},
        "--seed": {"type": int, "default": 0, "metavar": "N", "help": "default: %(default)s"},
        "--size": {
            "type": count,
            "default": 256,
            "metavar": "N",
            "help": "pixels a side, a multiple of 32, at least 64 (default: %(default)s)",
        },
    },
    run=_run,
)
