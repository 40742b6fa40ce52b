"""``mcf-bundle generate``: inference.json."""

from __future__ import annotations

import argparse
from pathlib import Path

from mcf_bundle.cli.bundle_run import run_bundle
from mcf_bundle.cli.command import Command
from mcf_bundle.cli.options import DATASET, IDS_NOTE, OVERLAYS, SEED, count_or_balance
from mcf_bundle.cli.recipes import INFERENCE

IMAGES = {
    "--num_images": {
        "type": count_or_balance,
        "metavar": "N",
        "help": "default: as many as balance tumor and healthy training slices",
    },
    **SEED,
}


def _run(arguments: argparse.Namespace) -> None:
    settings = {
        "dataset_dir": str(arguments.dataset_dir),
        "output_dir": str(arguments.output_dir),
        "num_images": arguments.num_images,
        "seed": arguments.seed,
    }
    run_bundle(INFERENCE.files(), arguments, settings)


GENERATE = Command(
    name="generate",
    summary="turn healthy slices into tumor slices with masks",
    usage="--dataset_dir DIR --output_dir DIR [options]",
    options={
        **DATASET,
        "--output_dir": {
            "type": Path,
            "required": True,
            "metavar": "DIR",
            "help": "new or empty folder, or the same run's",
        },
        **IMAGES,
        **OVERLAYS,
    },
    notes=IDS_NOTE,
    takes_ids=True,
    run=_run,
)
