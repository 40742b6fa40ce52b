"""What tests of trainings share: the error that ends one, its state on disk, and how two states differ."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mcf_bundle.commandline import describe
from mcf_bundle.errors import McfError


def error_of(call: Callable[..., Any], *arguments: Any, **overrides: Any) -> McfError:
    """Return our error that ends a run; MONAI wraps it, and the command line prints it alone."""
    with pytest.raises((RuntimeError, McfError)) as caught:
        call(*arguments, **overrides)
    error: BaseException | None = caught.value
    assert describe(error)
    while not isinstance(error, McfError):
        assert error is not None
        error = error.__cause__ or error.__context__
    return error


def state(folder: Path) -> dict[str, Any]:
    """Return what a training goes on from."""
    return torch.load(folder / "training_state.pt", weights_only=True)


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """List where two nested values differ by a bit."""
    if isinstance(one, Tensor):
        return [] if torch.equal(one, other) else [path]
    if isinstance(one, dict):
        found = [] if one.keys() == other.keys() else [path]
        return found + [item for key in one for item in differences(one[key], other[key], f"{path}/{key}")]
    if isinstance(one, list | tuple):
        found = [] if len(one) == len(other) else [path]
        pairs = enumerate(zip(one, other, strict=False))
        return found + [item for i, pair in pairs for item in differences(*pair, f"{path}/{i}")]
    return [] if one == other else [path]
