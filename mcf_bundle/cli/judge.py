"""``mcf-bundle judge``: evaluate_images.json."""

from __future__ import annotations

import argparse
from pathlib import Path

from mcf_bundle.cli.bundle_run import run_bundle
from mcf_bundle.cli.command import Command
from mcf_bundle.cli.options import DATASET, FINISHED_RUN, IDS_NOTE, OVERLAYS, SEED
from mcf_bundle.cli.recipes import IMAGE_EVALUATION


def _run(arguments: argparse.Namespace) -> None:
    settings = {
        "dataset_dir": str(arguments.dataset_dir),
        "synthetic_dir": str(arguments.synthetic_dir),
        "output_dir": str(arguments.output_dir),
        "seed": arguments.seed,
    }
    run_bundle(IMAGE_EVALUATION.files(), arguments, settings)


JUDGE = Command(
    name="judge",
    summary="compare the images of a finished run with real ones",
    usage="--dataset_dir DIR --synthetic_dir DIR --output_dir DIR",
    options={
        **DATASET,
        **FINISHED_RUN,
        "--output_dir": {"type": Path, "required": True, "metavar": "DIR", "help": "where the figures go"},
        **SEED,
        **OVERLAYS,
    },
    notes=IDS_NOTE,
    takes_ids=True,
    run=_run,
)
