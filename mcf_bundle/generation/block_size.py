"""How many images a network call takes, and what happens where they do not fit the device's memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar, get_args

import torch

from mcf_bundle.errors import ArgumentError

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

OnOom = Literal["stop", "halve"]


class BlockSize:
    """Images in each network call, all calls of one shape.

    Attributes:
        full: as asked for.
        size: as it is now; smaller than `full` after memory ran out.

    Args:
        full: images, 1 or more.
        on_oom: "stop" ends the run where a call does not fit the memory, "halve" goes on with half the block.

    Raises:
        ArgumentError: `on_oom` is neither.
    """

    def __init__(self, full: int, *, on_oom: OnOom = "stop") -> None:
        check_on_oom(on_oom)
        self.full = self.size = full
        self.on_oom = on_oom

    def split(self, items: Sequence[T], call: Callable[[Sequence[T], int], Sequence[R]]) -> list[R]:
        """Call a function with one part of the items after the other, and join what it returns.

        Args:
            items: in order; none gives no call.
            call: takes at most `size` items and `size`, and returns a value an item; called again with fewer
                where it ran out of memory.

        Raises:
            ArgumentError: the memory does not suffice; names the ``compute_batch`` to use.
        """
        made: list[R] = []
        while len(made) < len(items):
            try:
                made += call(items[len(made) : len(made) + self.size], self.size)
            except torch.OutOfMemoryError as error:
                self._halve(error)
        return made

    def _halve(self, error: torch.OutOfMemoryError) -> None:
        half = self.size // 2
        if half == 0:
            problem = "a network call with a single image does not fit the memory of the device"
            raise ArgumentError(
                "compute_batch", problem, "free memory on it, or choose another --device and output_dir"
            ) from error
        problem = f"a network call with {self.size} images does not fit the memory of the device"
        if self.on_oom == "stop":
            remedy = (
                f"start again with --compute_batch {half} and another output_dir or --overwrite True, "
                "or go on with --on_oom halve"
            )
            raise ArgumentError("compute_batch", problem, remedy) from error
        logger.warning("%s; going on with %d, which the manifest notes", problem, half)
        self.size = half


def check_on_oom(value: object) -> None:
    """Raise an ArgumentError if a value is none of `OnOom`."""
    if value not in get_args(OnOom):
        raise ArgumentError("on_oom", f"expected 'stop' or 'halve', got {value!r}", "choose one of the two")
