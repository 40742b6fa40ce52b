"""``mcf-bundle evaluate``: train.json with evaluate.json, of every bundle that has it."""

from __future__ import annotations

import argparse
from pathlib import Path

from mcf_bundle.cli.bundle_run import run_bundle
from mcf_bundle.cli.command import Command
from mcf_bundle.cli.options import DATASET, IDS_NOTE, OVERLAYS, PRESET
from mcf_bundle.cli.recipes import EVALUATIONS

SPLITS = ("train", "validation", "test")
"""The names in `mcf_bundle.data.splits`, whose imports would keep the help waiting."""


def _run(arguments: argparse.Namespace) -> None:
    recipe = EVALUATIONS[arguments.network]
    settings = {
        "dataset_dir": str(arguments.dataset_dir),
        "output_dir": str(arguments.output_dir),
        "ckpt": None if arguments.ckpt is None else str(arguments.ckpt),
        "split": arguments.split,
        **recipe.settings(arguments.preset),
    }
    run_bundle(recipe.files(arguments.preset), arguments, settings)


EVALUATE = Command(
    name="evaluate",
    summary="measure a trained network on patients that it never saw",
    usage="NETWORK --dataset_dir DIR --output_dir DIR [options]",
    options={
        "network": {
            "choices": tuple(EVALUATIONS),
            "metavar": "NETWORK",
            "help": ", ".join(EVALUATIONS),
        },
        **DATASET,
        "--output_dir": {"type": Path, "required": True, "metavar": "DIR", "help": "where the figures go"},
        "--ckpt": {"type": Path, "metavar": "FILE", "help": "default: the bundle's own checkpoint"},
        "--split": {"choices": SPLITS, "help": "whose slices (default: validation)"},
        **PRESET,
        **OVERLAYS,
    },
    notes=IDS_NOTE,
    takes_ids=True,
    run=_run,
)
