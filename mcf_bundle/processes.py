"""Processes that share a run, started by torchrun; a process alone passes through all of this unchanged."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ignite.distributed as idist
import torch
from monai.utils import RankFilter

from mcf_bundle.errors import ArgumentError, McfError, PlanError

T = TypeVar("T")

_LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE")


def process_device() -> torch.device:
    """Return the device of this process: the GPU of its number on this machine, the CPU without any GPU.

    Raises:
        ArgumentError: there are GPUs, and fewer of them than processes.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    number, gpus = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if number >= gpus:
        problem = f"process {number + 1} on this machine has no GPU, there are {gpus}"
        raise ArgumentError("--nproc_per_node", problem, f"start {gpus}, or add --device cpu")
    return torch.device("cuda", number)


def join_processes(device: str | torch.device) -> None:
    """Connect this process with the others that torchrun started: nccl between GPUs, gloo between CPUs.

    Args:
        device: where this process computes.

    Raises:
        ArgumentError: torchrun did not start this process.
    """
    if missing := [name for name in _LAUNCHED if name not in os.environ]:
        problem = f"did not start this process: {missing[0]} is not set"
        remedy = "start it with torchrun --nproc_per_node N -m monai.bundle run ..."
        raise ArgumentError("torchrun", problem, remedy)
    hook = sys.excepthook
    idist.initialize("nccl" if torch.device(device).type == "cuda" else "gloo")
    if hook is not sys.__excepthook__:
        # torch 2.12's own hook holds stderr back while it calls ours, and loses the line if ours exits.
        sys.excepthook = hook


def is_first() -> bool:
    """Tell whether this process is the one that writes what belongs to the whole run.

    A process that `join_processes` has not connected yet is alone, and so the first.
    """
    return idist.get_rank() == 0


def process_count() -> int:
    """Return how many processes share the run."""
    return idist.get_world_size()


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
