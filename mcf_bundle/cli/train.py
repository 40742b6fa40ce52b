"""``mcf-bundle train``: train.json, train_classifier.json, train_gate.json and the presets."""

from __future__ import annotations

import argparse
from pathlib import Path

from mcf_bundle.cli.bundle_run import run_bundle
from mcf_bundle.cli.command import Command
from mcf_bundle.cli.options import DATASET, IDS_NOTE, OVERLAYS, SEED, count

CONFIGS = {
    "denoiser": ("train.json",),
    "classifier": ("train_classifier.json",),
    "gate": ("train_classifier.json", "train_gate.json"),
}
"""Config files by network; a preset stands after the first of them."""

PRESETS = {"smoke": "presets/smoke", "fast": "presets/fast", "paper": "presets/paper"}

CLASSIFIER_PRESETS = {**PRESETS, "paper": "presets/paper_classifier"}


def config_names(network: str, preset: str | None) -> list[str]:
    """List the config files that train a network, in order.

    >>> config_names("gate", "paper")
    ['train_classifier.json', 'presets/paper_classifier', 'train_gate.json']
    """
    first, *others = CONFIGS[network]
    presets = PRESETS if network == "denoiser" else CLASSIFIER_PRESETS
    return [first, *([] if preset is None else [presets[preset]]), *others]


def _run(arguments: argparse.Namespace) -> None:
    settings = {
        "dataset_dir": str(arguments.dataset_dir),
        "ckpt_dir": None if arguments.ckpt_dir is None else str(arguments.ckpt_dir),
        "max_epochs": arguments.max_epochs,
        "seed": arguments.seed,
    }
    run_bundle(config_names(arguments.network, arguments.preset), arguments, settings)


TRAIN = Command(
    name="train",
    summary="train a network, or go on with a training that was stopped",
    usage="[denoiser|classifier|gate] --dataset_dir DIR [options]",
    options={
        "network": {
            "nargs": "?",
            "choices": tuple(CONFIGS),
            "default": "denoiser",
            "help": "default: denoiser",
        },
        **DATASET,
        "--preset": {
            "choices": tuple(PRESETS),
            "help": "smoke for seconds, fast (the default), paper for its settings",
        },
        "--ckpt_dir": {
            "type": Path,
            "metavar": "DIR",
            "help": "where checkpoints go, default: runs/mcf_diffusion/NETWORK",
        },
        "--max_epochs": {"type": count, "metavar": "N", "help": "epochs in all, resumed ones included"},
        **SEED,
        **OVERLAYS,
    },
    notes=IDS_NOTE,
    takes_ids=True,
    run=_run,
)
