"""Processes that share a run, started by torchrun; a process alone passes through all of this unchanged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ignite.distributed as idist
from monai.utils import RankFilter

from mcf_bundle.errors import McfError, PlanError

T = TypeVar("T")


def is_first() -> bool:
    """Tell whether this process is the one that writes what belongs to the whole run."""
    return idist.get_rank() == 0


def share_of_process(items: Sequence[T], block: int) -> list[T]:
    """Return the items of this process: it takes its turn at each `block` of them, in order."""
    rank, processes = idist.get_rank(), idist.get_world_size()
    return [item for number, item in enumerate(items) if number // block % processes == rank]


def gather(value: T) -> list[T]:
    """Return the values of all processes, ordered by their numbers; waits for all of them."""
    values: Any = idist.all_gather((value,))  # a tuple, because numbers and texts would come back otherwise
    return [value for (value,) in values]


def in_first(function: Callable[[], T]) -> T:
    """Call a function in the first process alone, after all have come here, and give all what it returns.

    Raises:
        McfError: the function raised it; in all processes, so that all of them end.
    """
    idist.barrier()
    result: Any = None
    error = None
    if is_first():
        try:
            result = function()
        except McfError as raised:
            error = raised
    result, error = gather((result, error))[0]
    if error is not None:
        raise error
    return result


def check_same(key: Any) -> None:
    """Make sure that all processes are about to make the same images.

    Raises:
        PlanError: `key` is not the same in all of them.
    """
    keys = gather(key)
    if others := [rank for rank, other in enumerate(keys) if other != keys[0]]:
        problem = f"process {others[0]} has another plan or key of pseudonyms than process 0"
        remedy = "give all machines the same dataset, checkpoints, settings, versions and kind of GPU"
        raise PlanError("plan", problem, remedy)


def log_in_first() -> None:
    """Keep the log lines of all processes but the first one off the root logger's handlers."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(RankFilter())
