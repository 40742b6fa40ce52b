"""Threads in the place of the processes that torchrun starts, for tests of what they share."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import ignite.distributed as idist
import pytest

T = TypeVar("T")
TIMEOUT_S = 60


class Team:
    """Processes by number, each one a thread that Ignite's functions know as a process.

    Args:
        size: how many.
        patch: undoes it.
    """

    def __init__(self, size: int, patch: pytest.MonkeyPatch) -> None:
        self.size, self.local = size, threading.local()
        self.barrier = threading.Barrier(size, timeout=TIMEOUT_S)
        self.values: list[bytes] = [b""] * size
        patch.setattr(idist, "get_rank", lambda: self.local.rank)
        patch.setattr(idist, "get_world_size", lambda: size)
        patch.setattr(idist, "barrier", self.barrier.wait)
        patch.setattr(idist, "all_gather", self._all_gather)

    def run(self, function: Callable[[int], T]) -> list[T | Exception]:
        """Call a function with each number; return what each call returned or raised."""
        with ThreadPoolExecutor(self.size) as pool:
            return list(pool.map(lambda rank: self._call(function, rank), range(self.size)))

    def _call(self, function: Callable[[int], T], rank: int) -> T | Exception:
        self.local.rank = rank
        try:
            return function(rank)
        except threading.BrokenBarrierError:
            raise  # somebody else waited in vain: the processes would hang
        except Exception as error:
            return error

    def _all_gather(self, value: Any) -> list[Any]:
        self.values[self.local.rank] = pickle.dumps(value)
        self.barrier.wait()
        values = [pickle.loads(item) for item in self.values]
        self.barrier.wait()
        return values
