"""``mcf-bundle rank``: settings of a generation, ranked by their images."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from mcf_bundle.cli.command import Command
from mcf_bundle.cli.options import DATASET
from mcf_bundle.resources import config_path


def _run(arguments: argparse.Namespace) -> None:
    from mcf_bundle.study.ranking import rank_settings
    from mcf_bundle.study.ranking_config import read_ranking

    path = arguments.config if arguments.config.is_file() else config_path(arguments.config.as_posix())
    config = read_ranking(path)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("mcf_bundle.study").setLevel(logging.INFO)
    rank_settings(config, arguments.dataset_dir, arguments.output_dir, line=arguments.line)


RANK = Command(
    name="rank",
    summary="rank settings of a generation on validation patients",
    usage="--config FILE --dataset_dir DIR --output_dir DIR",
    options={
        "--config": {
            "type": Path,
            "required": True,
            "metavar": "FILE",
            "help": "the ranking's JSON file, or the name of one of the package: studies/lgg_ranking",
        },
        **DATASET,
        "--output_dir": {
            "type": Path,
            "required": True,
            "metavar": "DIR",
            "help": "the ranking's folder; give it again to go on",
        },
    },
    notes="A ranking that was stopped goes on with the next unfinished setting; see docs/study.md.",
    run=_run,
)
