"""Threads that read ahead and write behind: order, errors, and that they end."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from mcf_bundle.generation.background import ReadAhead, WriteBehind


def fail_at(wrong: int) -> Callable[[int], int]:
    def double(number: int) -> int:
        if number == wrong:
            raise OSError(f"no {wrong}")
        return 2 * number

    return double


def test_values_are_prepared_once_in_order_and_before_they_are_asked_for() -> None:
    prepared: list[int] = []
    done = threading.Event()

    def prepare(key: int) -> int:
        prepared.append(key)
        if key == 3:
            done.set()
        return -key

    with ReadAhead(prepare) as reader:
        reader.start([1, 2])
        reader.start([2, 3])
        assert done.wait(10)
        assert prepared == [1, 2, 3]
        assert [reader.take(key) for key in (3, 1, 2, 4)] == [-3, -1, -2, -4]
        assert reader.started == {}
    assert prepared == [1, 2, 3, 4]


def test_a_value_that_was_taken_can_be_prepared_again() -> None:
    with ReadAhead(fail_at(-1)) as reader:
        assert reader.take(1) == reader.take(1) == 2


def test_a_failed_preparation_is_raised_where_its_value_is_asked_for() -> None:
    with ReadAhead(fail_at(2)) as reader:
        reader.start([1, 2, 3])
        assert reader.take(1) == 2
        with pytest.raises(OSError, match="no 2"):
            reader.take(2)
        assert reader.take(3) == 6


def test_calls_are_made_in_order_and_all_of_them_before_the_context_is_left() -> None:
    called: list[int] = []
    with WriteBehind(called.append, limit=4) as later:
        for number in range(50):
            later(number)
    assert called == list(range(50))


def test_calls_made_before_an_error_of_the_caller_are_still_done() -> None:
    called: list[int] = []

    def stop() -> None:
        with WriteBehind(called.append, limit=4) as later:
            later(1)
            raise KeyError

    with pytest.raises(KeyError):
        stop()
    assert called == [1]


def test_a_failed_call_is_raised_on_leaving() -> None:
    def write() -> None:
        with WriteBehind(fail_at(2), limit=9) as later:
            later(1)
            later(2)
            later(3)

    with pytest.raises(OSError, match="no 2"):
        write()


@pytest.mark.parametrize("limit", [1, 3])
def test_a_failed_call_ends_the_work_within_the_limit(limit: int) -> None:
    """A full disk must not be found out hours later, at the end of a run."""
    asked: list[int] = []

    def write() -> None:
        with WriteBehind(fail_at(0), limit) as later:
            for number in range(100):
                asked.append(number)
                later(number)

    with pytest.raises(OSError, match="no 0"):
        write()
    assert len(asked) == limit + 1


def test_no_more_calls_wait_than_the_limit() -> None:
    most = 0
    never = threading.Event()
    with WriteBehind(lambda number: never.wait(0.02), limit=2) as later:
        for number in range(6):
            later(number)
            most = max(most, len(later.pending))
    assert most == 2


def test_both_threads_end_with_their_contexts() -> None:
    before = threading.active_count()
    with ReadAhead(fail_at(-1)) as reader, WriteBehind(fail_at(-1), limit=4) as later:
        reader.start(range(5))
        later(1)
        assert threading.active_count() > before
    assert threading.active_count() == before
