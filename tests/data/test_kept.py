"""Results that are kept between the runs of one process."""

from __future__ import annotations

import pytest

from mcf_bundle.data.kept import MOST, kept_between_runs, once


class Counter:
    """Counts how often something is made."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def __call__(self, number: int) -> object:
        return once(lambda: self.made.append(number) or object(), number)


def test_nothing_is_kept_outside_the_context() -> None:
    count = Counter()
    assert count(1) is not count(1)
    with kept_between_runs():
        inside = count(1)
    assert count(1) is not inside


def test_inside_the_context_each_key_is_made_once() -> None:
    count = Counter()
    with kept_between_runs():
        assert count(1) is count(1) is not count(2)
    assert count.made == [1, 2]


def test_what_was_asked_for_longest_ago_is_given_up() -> None:
    count = Counter()
    with kept_between_runs():
        for number in range(MOST):
            count(number)
        count(0)
        count(MOST)  # takes the place of 1
        count(0)
        count(1)
    assert count.made == [*range(MOST), MOST, 1]


def test_an_error_is_not_kept() -> None:
    with kept_between_runs():
        with pytest.raises(ZeroDivisionError):
            once(lambda: 1 // 0, "key")
        assert once(lambda: 3, "key") == 3
