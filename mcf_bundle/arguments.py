"""Values as the command line hands them over, made what they were meant to be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mcf_bundle.errors import ArgumentError


def as_path(value: Any, name: str) -> Path:
    """Convert what the command line made of a path back to a path.

    Fire reads ``2024`` as a number, ``a,b`` as a tuple and a flag without value as True.

    Args:
        value: a path, text, or a whole number; a leading ``~`` is expanded.
        name: the argument's name, for the message.

    Returns:
        The path, relative if it came so.

    Raises:
        ArgumentError: the value is empty or cannot have been one path.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str | os.PathLike) and os.fspath(value):
        return Path(os.fspath(value)).expanduser()
    if value is None or value is True or value == "":
        problem, remedy = "a path is expected and none was given", f"write --{name} FOLDER"
    else:
        problem = f"a path is expected and {value!r} came, a {type(value).__name__}"
        remedy = f"""quote it twice so that it stays text, --{name} "'a,b'", or write ./ before it"""
    raise ArgumentError(f"--{name}", problem, remedy)


def check_count(name: str, value: Any) -> None:
    """Refuse what is no number of things.

    Raises:
        ArgumentError: if it is not a whole number of 1 or more.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ArgumentError(name, f"expected a whole number of 1 or more, got {value!r}", "correct it")


def check_device(device: Any) -> None:
    """Refuse what is no device here.

    Raises:
        ArgumentError: if torch does not know it, or it is a GPU that is not there.
    """
    import torch  # here, since commands that need no network should start fast

    try:
        torch.empty(0, device=device)
    except (RuntimeError, TypeError, AssertionError) as error:
        reason = (str(error).splitlines() or ["unknown"])[0]
        raise ArgumentError(
            "device", f"{device!r} cannot be used ({reason})", "choose cpu, or cuda:0"
        ) from error


def check_seed(name: str, seed: Any) -> None:
    """Refuse what is no seed.

    Raises:
        ArgumentError: if it is not a whole number from 0 to 2**32 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ArgumentError(name, f"expected a whole number from 0 to 2**32 - 1, got {seed!r}", "correct it")
