"""The command line beside the bundles: ``python -m mcf_bundle phantom`` and ``prepare``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mcf_bundle import __version__
from mcf_bundle.commandline import exit_with
from mcf_bundle.errors import McfError


def _truth(text: str) -> bool:
    """Read True or False, as the bundles' command line does."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"expected True or False, got {text!r}")
    return text.lower() == "true"


def main(argv: Sequence[str] | None = None) -> None:
    """Run one subcommand.

    Args:
        argv: arguments without the program's name, default those of the process.

    Raises:
        SystemExit: with the exit code of an error of ours, after its one line; with 2 on a wrong argument.
    """
    arguments = _parser().parse_args(argv)
    try:
        arguments.command(arguments)
    except McfError as error:
        exit_with(error)


def _phantom(arguments: argparse.Namespace) -> None:
    from mcf_bundle.data.phantom import write_phantom_cohort

    write_phantom_cohort(arguments.output_dir, arguments.patients, arguments.seed, size=arguments.size)
    print(f"{arguments.patients} phantom patients are in {arguments.output_dir}")


def _prepare(arguments: argparse.Namespace) -> None:
    from mcf_bundle.data.prepare import prepare_dataset

    summary = prepare_dataset(
        arguments.dataset_dir,
        arguments.output_dir,
        split_seed=arguments.split_seed,
        split=arguments.split,
        skip_bad_patients=arguments.skip_bad_patients,
    )
    print(summary)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mcf-bundle", description="Data for the bundles. MCF_DEBUG=1 shows the traceback of an error."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    text = "write a seeded cohort of brain-like volumes in the LGG layout"
    phantom = commands.add_parser("phantom", help=text, description=text)
    phantom.add_argument("--output_dir", type=Path, required=True, help="folder to write to")
    phantom.add_argument("--patients", type=_count, default=12, help="how many (default %(default)s)")
    phantom.add_argument("--seed", type=int, default=0, help="default %(default)s")
    phantom.add_argument("--size", type=_count, default=256, help="pixels a side (default %(default)s)")
    phantom.set_defaults(command=_phantom)

    text = "check a folder in the LGG layout, split its patients, write datalist.json"
    prepare = commands.add_parser("prepare", help=text, description=text)
    prepare.add_argument("--dataset_dir", type=Path, required=True, help="kaggle_3m or its parent")
    prepare.add_argument("--output_dir", type=Path, required=True, help="folder for datalist.json")
    prepare.add_argument("--split_seed", type=int, default=0, help="default %(default)s")
    prepare.add_argument(
        "--split",
        choices=("patient", "slice"),
        default="patient",
        help="slice is the paper's split, which leaks patients between the sets (default %(default)s)",
    )
    prepare.add_argument(
        "--skip_bad_patients",
        type=_truth,
        nargs="?",
        const=True,
        default=False,
        metavar="True|False",
        help="go on without damaged patients",
    )
    prepare.set_defaults(command=_prepare)
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


if __name__ == "__main__":
    main()
