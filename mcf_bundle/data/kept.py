"""What several trainings in one process would read and measure alike is read and measured once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

MOST = 8
"""Results that are kept, the latest ones: a dataset, some synthetic sets, the anatomy of a fold's splits."""

_kept: ContextVar[OrderedDict[Hashable, Any] | None] = ContextVar("kept", default=None)

T = TypeVar("T")


@contextmanager
def kept_between_runs() -> Iterator[None]:
    """Let `once` keep its results until the end of the context; nothing may write to the files meanwhile."""
    token = _kept.set(OrderedDict())
    try:
        yield
    finally:
        _kept.reset(token)


def once(make: Callable[[], T], *key: Hashable) -> T:
    """Return what `make` returns: inside `kept_between_runs` made once a key, elsewhere at every call.

    Args:
        make: makes it; nobody may change it afterwards.
        key: what it depends on.
    """
    kept = _kept.get()
    if kept is None:
        return make()
    if key not in kept:
        kept[key] = make()
    kept.move_to_end(key)
    if len(kept) > MOST:
        kept.popitem(last=False)
    return kept[key]
