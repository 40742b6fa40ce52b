"""``mcf-bundle prepare``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mcf_bundle.cli.command import Command
from mcf_bundle.cli.options import DATASET, truth


def _run(arguments: argparse.Namespace) -> None:
    from mcf_bundle.data.prepare import prepare_dataset

    summary = prepare_dataset(
        arguments.dataset_dir,
        arguments.output_dir,
        split_seed=arguments.split_seed,
        split=arguments.split,
        skip_bad_patients=arguments.skip_bad_patients,
    )
    print(summary)


PREPARE = Command(
    name="prepare",
    summary="check a dataset, split its patients, write datalist.json",
    usage="--dataset_dir DIR --output_dir DIR [options]",
    options={
        **DATASET,
        "--output_dir": {
            "type": Path,
            "required": True,
            "metavar": "DIR",
            "help": "folder for datalist.json",
        },
        "--split_seed": {"type": int, "default": 0, "metavar": "N", "help": "default: %(default)s"},
        "--split": {
            "choices": ("patient", "slice"),
            "default": "patient",
            "help": "slice is the paper's, which leaks patients between the sets (default: patient)",
        },
        "--skip_bad_patients": {
            "type": truth,
            "nargs": "?",
            "const": True,
            "default": False,
            "metavar": "True|False",
            "help": "go on without damaged patients",
        },
    },
    run=_run,
)
