"""``mcf-bundle train``: the trainings of all bundles, and their presets."""

from __future__ import annotations

import argparse
from pathlib import Path

from mcf_bundle.cli.bundle_run import run_bundle
from mcf_bundle.cli.command import Command
from mcf_bundle.cli.options import DATASET, IDS_NOTE, OVERLAYS, PRESET, SEED, count
from mcf_bundle.cli.recipes import TRAININGS


def _run(arguments: argparse.Namespace) -> None:
    recipe = TRAININGS[arguments.network]
    settings = {
        "dataset_dir": str(arguments.dataset_dir),
        "ckpt_dir": None if arguments.ckpt_dir is None else str(arguments.ckpt_dir),
        "max_epochs": arguments.max_epochs,
        "seed": arguments.seed,
        **recipe.settings(arguments.preset),
    }
    run_bundle(recipe.files(arguments.preset), arguments, settings)


TRAIN = Command(
    name="train",
    summary="train a network, or go on with a training that was stopped",
    usage="[NETWORK] --dataset_dir DIR [options]",
    options={
        "network": {
            "nargs": "?",
            "choices": tuple(TRAININGS),
            "default": "denoiser",
            "metavar": "NETWORK",
            "help": f"{', '.join(TRAININGS)} (default: denoiser)",
        },
        **DATASET,
        **PRESET,
        "--ckpt_dir": {
            "type": Path,
            "metavar": "DIR",
            "help": "where checkpoints go, default: below runs/BUNDLE",
        },
        "--max_epochs": {"type": count, "metavar": "N", "help": "epochs in all, resumed ones included"},
        **SEED,
        **OVERLAYS,
    },
    notes=IDS_NOTE,
    takes_ids=True,
    run=_run,
)
