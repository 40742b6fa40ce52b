"""``mcf-bundle pack`` and ``mcf-bundle unpack``: a run as a few tar files."""

from __future__ import annotations

import argparse
from pathlib import Path

from mcf_bundle.cli.command import Command
from mcf_bundle.cli.options import count


def _pack(arguments: argparse.Namespace) -> None:
    from mcf_bundle.generation.packing import pack_run

    shards = pack_run(arguments.run, arguments.output_dir, images_per_shard=arguments.images_per_shard)
    print(f"{len(shards)} shards in {arguments.output_dir}")


def _unpack(arguments: argparse.Namespace) -> None:
    from mcf_bundle.generation.packing import unpack_run

    print(f"{unpack_run(arguments.shards, arguments.output_dir)} images in {arguments.output_dir}")


PACK = Command(
    name="pack",
    summary="pack a finished run into tar files that WebDataset reads",
    usage="OUT --output_dir SHARDS",
    options={
        "run": {"type": Path, "metavar": "OUT", "help": "the run's folder; stays as it is"},
        "--output_dir": {"type": Path, "required": True, "metavar": "DIR", "help": "folder of the tar files"},
        "--images_per_shard": {"type": count, "default": 1000, "metavar": "N", "help": "default: 1000"},
    },
    notes="A packing that was stopped goes on after the last whole tar file; see docs/reliability.md.",
    run=_pack,
)

UNPACK = Command(
    name="unpack",
    summary="make a run's folder again from its tar files",
    usage="SHARDS --output_dir OUT",
    options={
        "shards": {"type": Path, "metavar": "SHARDS", "help": "output folder of pack"},
        "--output_dir": {"type": Path, "required": True, "metavar": "DIR", "help": "the run's folder"},
    },
    run=_unpack,
)
