"""A row of the benchmark's table, and how two things are timed in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        name: what is compared.
        ours: our figure, a median over `n` runs where it is a time or a rate.
        peer: the other's figure; None where there is no other.
        peer_name: what the other is.
        unit: of both figures.
        better: whether a larger or a smaller figure is better; the ratio is above 1 where ours is better.
        bar: what the ratio must reach at least; None for a figure that is only reported. With `limit` it is
            what our own figure must not exceed.
        limit: whether `bar` limits our figure instead of the ratio.
        spread: (smallest, largest) of our figure over the runs.
        peer_spread: the same of the other's figure.
        n: runs, images or cases behind the figures.
        note: how to read the row.
    """

    name: str
    ours: float
    peer: float | None
    peer_name: str
    unit: str
    better: Literal["larger", "smaller"] = "larger"
    bar: float | None = None
    limit: bool = False
    spread: tuple[float, float] | None = None
    peer_spread: tuple[float, float] | None = None
    n: int = 1
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times better ours is; None without a peer."""
        if self.peer is None:
            return None
        return self.ours / self.peer if self.better == "larger" else self.peer / self.ours

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None where there is nothing to meet."""
        if self.bar is None:
            return None
        if self.limit:
            return self.ours <= self.bar
        return None if self.ratio is None else self.ratio >= self.bar

    def to_dict(self) -> dict[str, object]:
        """Return the row as results.json holds it."""
        return {
            "name": self.name,
            "ours": self.ours,
            "peer": self.peer,
            "peer_name": self.peer_name,
            "unit": self.unit,
            "ratio": self.ratio,
            "bar": self.bar,
            "met": self.met,
            "limit": self.limit,
            "spread": self.spread,
            "peer_spread": self.peer_spread,
            "n": self.n,
            "note": self.note,
        }


def not_measured(name: str, unit: str, bar: float | None, note: str) -> dict[str, object]:
    """Return the row of something that this machine cannot measure: every figure null, and why."""
    empty = dict.fromkeys(("ours", "peer", "ratio", "met", "spread", "peer_spread"))
    texts = {"name": name, "peer_name": "", "unit": unit, "note": note}
    return {**texts, "bar": bar, "limit": False, "n": 0, **empty}


@dataclass(frozen=True)
class Timing:
    """Seconds of several runs of one thing."""

    seconds: tuple[float, ...]

    def rate(self, count: float) -> float:
        """Return the median rate of `count` things a run, per second."""
        return count / statistics.median(self.seconds)

    def rate_spread(self, count: float) -> tuple[float, float]:
        """Return the smallest and the largest rate."""
        return count / max(self.seconds), count / min(self.seconds)


def time_in_turn(runs: Sequence[Callable[[], object]], repeats: int) -> list[Timing]:
    """Time several things in alternating order in this process, after one run of each that does not count.

    Args:
        runs: called without arguments; what they give back is dropped, after the clock is read.
        repeats: timed runs of each.
    """
    seconds: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
    for repeat in range(repeats):
        order = list(range(len(runs)))
        for i in order if repeat % 2 == 0 else reversed(order):
            started = time.perf_counter()
            runs[i]()
            seconds[i].append(time.perf_counter() - started)
    return [Timing(tuple(values)) for values in seconds]
