"""Options that several subcommands share, and the types of their values."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcf_bundle.resources import config_path

IDS_NOTE = (
    "Every id of the bundle is an option too, also deeper ones: --batch_size 4, --a#b VALUE. "
    "docs/bundle_reference.md lists them; a misspelled one is an error."
)

DATASET: Mapping[str, Mapping[str, Any]] = {
    "--dataset_dir": {
        "type": Path,
        "required": True,
        "metavar": "DIR",
        "help": "folder in the LGG layout: kaggle_3m or its parent",
    }
}

FINISHED_RUN: Mapping[str, Mapping[str, Any]] = {
    "--synthetic_dir": {
        "type": Path,
        "required": True,
        "metavar": "DIR",
        "help": "the run's folder: output_dir of generate",
    }
}

OVERLAYS: Mapping[str, Mapping[str, Any]] = {
    "--config": {
        "nargs": "+",
        "default": [],
        "metavar": "FILE",
        "help": "overlays after the bundle's file; the last one wins",
    }
}

PRESET: Mapping[str, Mapping[str, Any]] = {
    "--preset": {
        "choices": ("smoke", "fast", "paper"),
        "help": "smoke for seconds, fast (the default), paper for its settings",
    }
}

SEED: Mapping[str, Mapping[str, Any]] = {
    "--seed": {"type": int, "metavar": "N", "help": "default: the bundle's, 0"}
}


def count(text: str) -> int:
    """Read a number of things.

    Raises:
        ArgumentTypeError: it is below 1.
        ValueError: it is no whole number.
    """
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


def count_or_balance(text: str) -> int | str:
    """Read a number of images, or the word balance; raises as `count` does."""
    return text if text == "balance" else count(text)


def truth(text: str) -> bool:
    """Read True or False, as the bundles' command line does.

    Raises:
        ArgumentTypeError: it is neither.
    """
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"expected True or False, got {text!r}")
    return text.lower() == "true"


def config_and_folder(what: str, example: str) -> dict[str, Mapping[str, Any]]:
    """Return the options of a subcommand that works through a JSON file of its own and can be stopped.

    Args:
        what: what it works through, "study".
        example: name of a file of the package, below configs/ and without ending.
    """
    of_package = f"the {what}'s JSON file, or the name of one of the package: {example}"
    folder = f"the {what}'s folder; give it again to go on"
    return {
        "--config": {"type": Path, "required": True, "metavar": "FILE", "help": of_package},
        **DATASET,
        "--output_dir": {"type": Path, "required": True, "metavar": "DIR", "help": folder},
    }


def find_config(path: Path) -> Path:
    """Return what `config_and_folder`'s ``--config`` names: a file of the user's, or one of the package.

    Raises:
        ArgumentError: it is neither; the message lists those of the package.
    """
    return path if path.is_file() else config_path(path.as_posix())
