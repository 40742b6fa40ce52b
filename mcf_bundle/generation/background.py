"""Reading ahead of the networks and writing behind them, each in a thread of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class ReadAhead(Generic[Key, Value]):
    """Prepare values before they are asked for, in order, while the caller does other work.

    Args:
        prepare: from a key to its value.
    """

    def __init__(self, prepare: Callable[[Key], Value]) -> None:
        self.prepare, self.started = prepare, dict[Key, Future[Value]]()
        self.thread = ThreadPoolExecutor(1, "read-ahead")

    def start(self, keys: Iterable[Key]) -> None:
        """Begin with what is not under way yet."""
        for key in keys:
            if key not in self.started:
                self.started[key] = self.thread.submit(self.prepare, key)

    def take(self, key: Key) -> Value:
        """Return a value, waiting for it if need be, and forget it; raises what its preparation raised."""
        self.start([key])
        return self.started.pop(key).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.thread.shutdown(cancel_futures=True)


class WriteBehind:
    """Call a function later, in order, while the caller does other work.

    Leaving the context waits for every call. An error of a call is raised at the latest when `limit` more
    calls were asked for, or on leaving.

    Args:
        function: what is called.
        limit: calls that may be unfinished; one more waits for the oldest, so that neither memory nor an
            error piles up behind a slow or a full disk.
    """

    def __init__(self, function: Callable[..., object], limit: int) -> None:
        self.function, self.limit, self.pending = function, limit, deque[Future[object]]()
        self.thread = ThreadPoolExecutor(1, "write-behind")

    def __call__(self, *arguments: object) -> None:
        """Have the function called with these arguments; raises what an earlier call raised."""
        if len(self.pending) >= self.limit:
            self.pending.popleft().result()
        self.pending.append(self.thread.submit(self.function, *arguments))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.thread.shutdown()
        if error is None:
            for call in self.pending:
                call.result()
