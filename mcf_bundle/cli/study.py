"""``mcf-bundle study``: arms, models, seeds and folds of a study's config, then tables and report."""

from __future__ import annotations

import argparse

from mcf_bundle.cli.command import Command
from mcf_bundle.cli.options import config_and_folder, find_config
from mcf_bundle.cli.quiet_log import log_progress_of

SCALES = ("smoke", "cpu", "paper")
"""The names in `mcf_bundle.study.config`, whose imports would keep the help waiting."""


def _run(arguments: argparse.Namespace) -> None:
    from mcf_bundle.study.config_file import read_config
    from mcf_bundle.study.runner import print_runs, run_study

    config = read_config(find_config(arguments.config), arguments.scale)
    if arguments.dry_run:
        print_runs(config, arguments.output_dir)
        return
    log_progress_of("mcf_bundle.study")
    run_study(config, arguments.dataset_dir, arguments.output_dir, line=arguments.line)


STUDY = Command(
    name="study",
    summary="compare arms of training on patients that no generator ever saw",
    usage="--config FILE --dataset_dir DIR --output_dir DIR",
    options={
        **config_and_folder("study", "studies/lgg"),
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
