"""``mcf-bundle rank``: settings of a generation, ranked by their images."""

from __future__ import annotations

import argparse

from mcf_bundle.cli.command import Command
from mcf_bundle.cli.options import config_and_folder, find_config
from mcf_bundle.cli.quiet_log import log_progress_of


def _run(arguments: argparse.Namespace) -> None:
    from mcf_bundle.study.ranking import rank_settings
    from mcf_bundle.study.ranking_config import read_ranking

    config = read_ranking(find_config(arguments.config))
    log_progress_of("mcf_bundle.study")
    rank_settings(config, arguments.dataset_dir, arguments.output_dir, line=arguments.line)


RANK = Command(
    name="rank",
    summary="rank settings of a generation on validation patients",
    usage="--config FILE --dataset_dir DIR --output_dir DIR",
    options=config_and_folder("ranking", "studies/lgg_ranking"),
    notes="A ranking that was stopped goes on with the next unfinished setting; see docs/study.md.",
    run=_run,
)
