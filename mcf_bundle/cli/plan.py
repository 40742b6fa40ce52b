"""``mcf-bundle plan``: inference.json, as far as the plan."""

from __future__ import annotations

import argparse
from pathlib import Path

from mcf_bundle.cli.bundle_run import run_bundle
from mcf_bundle.cli.command import Command
from mcf_bundle.cli.generate import IMAGES
from mcf_bundle.cli.options import DATASET, IDS_NOTE, OVERLAYS
from mcf_bundle.cli.recipes import INFERENCE


def _run(arguments: argparse.Namespace) -> None:
    given = arguments.output_dir is not None
    step = {
        "_target_": "mcf_bundle.generation.plan_output.write_plan",
        "workflow": "@generation",
        "write": given,
    }
    settings = {
        "dataset_dir": str(arguments.dataset_dir),
        "output_dir": str(arguments.output_dir) if given else None,
        "num_images": arguments.num_images,
        "seed": arguments.seed,
        "run": [step],
    }
    run_bundle(INFERENCE.files(), arguments, settings)


PLAN = Command(
    name="plan",
    summary="print what generate would make with these options",
    usage="--dataset_dir DIR [--output_dir DIR] [options]",
    options={
        **DATASET,
        "--output_dir": {"type": Path, "metavar": "DIR", "help": "write plan.jsonl there"},
        **IMAGES,
        **OVERLAYS,
    },
    notes=IDS_NOTE,
    takes_ids=True,
    run=_run,
)
