"""``mcf-bundle study``: arms, models, seeds and folds of a study's config, then tables and report."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from mcf_bundle.cli.command import Command
from mcf_bundle.cli.options import DATASET
from mcf_bundle.resources import config_path

SCALES = ("smoke", "cpu", "paper")
"""The names in `mcf_bundle.study.config`, whose imports would keep the help waiting."""


def _run(arguments: argparse.Namespace) -> None:
    from mcf_bundle.study.config_file import read_config
    from mcf_bundle.study.runner import print_runs, run_study

    path = arguments.config if arguments.config.is_file() else config_path(arguments.config.as_posix())
    config = read_config(path, arguments.scale)
    if arguments.dry_run:
        print_runs(config, arguments.output_dir)
        return
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("mcf_bundle.study").setLevel(logging.INFO)
    run_study(config, arguments.dataset_dir, arguments.output_dir, line=arguments.line)


STUDY = Command(
    name="study",
    summary="compare arms of training on patients that no generator ever saw",
    usage="--config FILE --dataset_dir DIR --output_dir DIR",
    options={
        "--config": {
            "type": Path,
            "required": True,
            "metavar": "FILE",
            "help": "the study's JSON file, or the name of one of the package: studies/lgg",
        },
        **DATASET,
        "--output_dir": {
            "type": Path,
            "required": True,
            "metavar": "DIR",
            "help": "the study's folder; give it again to go on",
        },
        "--scale": {
            "choices": SCALES,
            "default": "cpu",
            "help": "smoke for a phantom, cpu (the default), paper for GPUs",
        },
        "--dry_run": {
            "action": "store_true",
            "help": "print the runs, their cost and what is done; do nothing",
        },
    },
    notes="A study that was stopped goes on with the next unfinished run; see docs/study.md.",
    run=_run,
)
