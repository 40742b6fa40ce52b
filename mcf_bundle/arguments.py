"""Values as the command line hands them over, made what they were meant to be."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

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


def check_fields(settings: Any, checks: Mapping[str, Callable[[str, Any], None]]) -> None:
    """Check the fields of a settings object, each by a function of its name and value.

    Args:
        settings: the object; its class stands before the field's name in the message.
        checks: by field.

    Raises:
        ArgumentError: from the first check that fails.
    """
    for field, check in checks.items():
        check(f"{type(settings).__name__}.{field}", getattr(settings, field))


def check_number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> None:
    """Refuse what is no finite number between the bounds that are given.

    Raises:
        ArgumentError: names what came and what is allowed.
    """
    bounds = _Bounds(least, most, above, below)
    if not (_is_number(value) and bounds.hold(value)):
        raise ArgumentError(name, f"expected a number{bounds}, got {value!r}", "correct it")


def check_share(name: str, value: Any) -> None:
    """Refuse what is no number from 0 to 1.

    Raises:
        ArgumentError: names what came.
    """
    check_number(name, value, least=0, most=1)


def check_whole(name: str, value: Any, least: int = 0) -> None:
    """Refuse what is no whole number from the least on.

    Raises:
        ArgumentError: names what came and what is allowed.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ArgumentError(name, f"expected a whole number of {least} or more, got {value!r}", "correct it")


def check_range(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    free_sides: bool = False,
) -> None:
    """Refuse what is no pair of finite numbers within the bounds, the smaller one first.

    Args:
        name: the argument's name, for the message.
        value: what came.
        least: smallest number allowed.
        most: largest number allowed.
        above: both numbers have to be larger than this.
        free_sides: whether None may stand for a side without a limit.

    Raises:
        ArgumentError: names what came and what is allowed.
    """
    bounds = _Bounds(least, most, above)
    sides = list(value) if isinstance(value, tuple | list) and len(value) == 2 else [math.nan]
    given = [side for side in sides if not (free_sides and side is None)]
    if not all(_is_number(side) and bounds.hold(side) for side in given) or given != sorted(given):
        free = " (None = no limit on that side)" if free_sides else ""
        problem = f"expected two numbers{bounds}, the smaller one first{free}, got {value!r}"
        raise ArgumentError(name, problem, "write them as [smaller, larger]")


def check_flag(name: str, value: Any) -> None:
    """Refuse what is neither true nor false: any text would count as true.

    Raises:
        ArgumentError: names what came.
    """
    if not isinstance(value, bool):
        raise ArgumentError(name, f"expected True or False, got {value!r}", "correct it")


def check_instance(name: str, value: Any, kind: type) -> None:
    """Refuse what is not of the class that a group of settings has.

    Raises:
        ArgumentError: names the class.
    """
    if not isinstance(value, kind):
        problem = f"expected {kind.__name__} (a _target_ in a config), got {value!r}"
        raise ArgumentError(name, problem, "override its single fields")


def check_count(name: str, value: Any) -> None:
    """Refuse what is no number of things.

    Raises:
        ArgumentError: if it is not a whole number of 1 or more.
    """
    check_whole(name, value, least=1)


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


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


class _Bounds(NamedTuple):
    """What a number may be; None is no bound."""

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None

    def hold(self, value: float) -> bool:
        return (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        """Read ' >= 0 and < 1', or nothing without bounds."""
        words = {">=": self.least, ">": self.above, "<=": self.most, "<": self.below}
        parts = [f"{word} {bound:g}" for word, bound in words.items() if bound is not None]
        return f" {' and '.join(parts)}" if parts else ""
