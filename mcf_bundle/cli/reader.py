"""``mcf-bundle reader``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mcf_bundle.cli.command import Command
from mcf_bundle.cli.options import DATASET, FINISHED_RUN, count


def _run(arguments: argparse.Namespace) -> None:
    from mcf_bundle.generation.reader_page import write_reader_page

    page = write_reader_page(
        arguments.dataset_dir,
        arguments.synthetic_dir,
        arguments.output_dir,
        images=arguments.images,
        seed=arguments.seed,
    )
    print(page)


READER = Command(
    name="reader",
    summary="draw real and synthetic slices in random order, the key below",
    usage="--dataset_dir DIR --synthetic_dir DIR --output_dir DIR",
    options={
        **DATASET,
        **FINISHED_RUN,
        "--output_dir": {"type": Path, "required": True, "metavar": "DIR", "help": "where the page goes"},
        "--images": {"type": count, "default": 48, "metavar": "N", "help": "slices, half of them real"},
        "--seed": {"type": int, "default": 0, "metavar": "N", "help": "of draw and order (default: 0)"},
    },
    notes="The real tumors are those of patients whom the generator never saw, at the same axial levels.",
    run=_run,
)
