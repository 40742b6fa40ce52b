"""``mcf-bundle report``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mcf_bundle.cli.command import Command


def _run(arguments: argparse.Namespace) -> None:
    from mcf_bundle.generation.run_pages import rebuild_pages

    print(rebuild_pages(arguments.output_dir, arguments.dataset_dir))


REPORT = Command(
    name="report",
    summary="draw report.html and contact_sheet.png of a finished run again",
    usage="OUT [--dataset_dir DIR]",
    options={
        "output_dir": {"type": Path, "metavar": "OUT", "help": "the run's folder"},
        "--dataset_dir": {
            "type": Path,
            "metavar": "DIR",
            "help": "the run's dataset, for the pictures of hosts, donors and composites",
        },
    },
    notes="Patients with pseudonyms are found if the key is the run's (MCF_PROVENANCE_KEY).",
    run=_run,
)
