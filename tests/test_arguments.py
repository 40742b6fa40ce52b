"""Tests of mcf_bundle.arguments."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import fire
import numpy as np
import pytest

from mcf_bundle.arguments import (
    as_path,
    check_count,
    check_flag,
    check_instance,
    check_number,
    check_range,
    check_seed,
    check_share,
    check_whole,
)
from mcf_bundle.errors import ArgumentError


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("a b", "a b"),
        (2024, "2024"),
        (Path("x"), "x"),
        ("./2024.1", "2024.1"),
        ("~/x", os.path.expanduser("~/x")),
    ],
)
def test_path_survives_the_command_line(value: object, path: str) -> None:
    assert as_path(value, "dataset_dir") == Path(path)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (("a", "b"), r"\('a', 'b'\) came, a tuple"),
        (2024.1, "2024.1 came, a float"),
        (True, "none was given"),
        (None, "none was given"),
        ("", "none was given"),
        (["a"], r"\['a'\] came, a list"),
        (False, "False came, a bool"),
    ],
)
def test_what_cannot_be_a_path_is_refused(value: object, problem: str) -> None:
    with pytest.raises(ArgumentError, match=f"--dataset_dir: .*{problem}"):
        as_path(value, "dataset_dir")


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("runs/out", "runs/out"),
        ("2024", "2024"),
        ("a-b", "a-b"),
        ("./2024.1", "2024.1"),
        ("'\"a,b\"'", "a,b"),
        ("with space", "with space"),
    ],
)
def test_what_fire_makes_of_a_path_is_undone(typed: str, path: str) -> None:
    assert as_path(_through_fire(["--output_dir", typed.strip("'")]), "output_dir") == Path(path)


@pytest.mark.parametrize("typed", [["--output_dir", "a,b"], ["--output_dir"], ["--output_dir", "2024.1"]])
def test_what_fire_made_unreadable_is_refused_with_a_remedy(typed: list[str]) -> None:
    with pytest.raises(ArgumentError, match=r"^--output_dir: a path is expected") as caught:
        as_path(_through_fire(typed), "output_dir")
    assert "--output_dir" in caught.value.remedy


def _through_fire(arguments: list[str]) -> object:
    taken: list[object] = []
    fire.Fire(lambda output_dir: taken.append(output_dir), command=arguments)
    return taken[0]


@pytest.mark.parametrize(("check", "smallest"), [(check_count, 1), (check_seed, 0)])
def test_whole_numbers_from_the_smallest_on_pass(check: Callable[[str, object], None], smallest: int) -> None:
    for value in (smallest, smallest + 1, 2**32 - 1):
        check("seed", value)
    for value in (smallest - 1, 1.0, 1.5, "1", None, True, (1,)):
        with pytest.raises(ArgumentError, match=r"^seed: .*got"):
            check("seed", value)


def test_a_seed_that_torch_or_numpy_cannot_take_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"^seed: .*got"):
        check_seed("seed", 2**32)


@pytest.mark.parametrize("value", ["ten", None, True, (1,), [], math.nan, math.inf, -math.inf, 1j])
@pytest.mark.parametrize("check", [check_number, check_share, check_whole, check_range])
def test_what_is_no_finite_number_is_refused(check: Callable[[str, object], None], value: object) -> None:
    with pytest.raises(ArgumentError, match=r"^size: expected .*got"):
        check("size", value)


@pytest.mark.parametrize("number", [float, np.float32, np.int64, int])
def test_numbers_of_every_kind_pass(number: Callable[[int], object]) -> None:
    check_number("size", number(1), least=1, most=1, above=0, below=2)
    check_range("size", [number(1), number(2)])


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "words"),
    [
        ({"least": 0}, (0, 1e9), (-0.01,), "a number >= 0, got"),
        ({"above": 0}, (0.01,), (0, -1), "a number > 0, got"),
        ({"most": 1}, (1, -5), (1.01,), "a number <= 1, got"),
        ({"least": 0, "below": 1}, (0, 0.99), (-0.01, 1), "a number >= 0 and < 1, got"),
        ({}, (-1e9, 1e9), ("0",), "a number, got"),
    ],
)
def test_bounds_hold_and_are_named(
    bounds: dict[str, float], inside: tuple, outside: tuple, words: str
) -> None:
    for value in inside:
        check_number("size", value, **bounds)
    for value in outside:
        with pytest.raises(ArgumentError, match=f"^size: expected {words} {value!r}"):
            check_number("size", value, **bounds)


@pytest.mark.parametrize("value", [(0, 1), [0.2, 0.2], (0.5, 0.7)])
def test_a_range_is_two_numbers_in_order(value: object) -> None:
    check_range("span", value, least=0, most=1)


@pytest.mark.parametrize(
    "value", [5, "ab", (1,), (0, 0.5, 1), (0.7, 0.5), (-0.1, 1), (0, 1.1), (0, math.nan), (None, 1), {0: 1}]
)
def test_anything_else_is_no_range(value: object) -> None:
    with pytest.raises(ArgumentError, match=r"^span: expected two numbers >= 0 and <= 1, .*got"):
        check_range("span", value, least=0, most=1)


@pytest.mark.parametrize("value", [(None, 1), [0, None], (None, None), (0, 1)])
def test_a_side_may_be_free_where_that_is_allowed(value: object) -> None:
    check_range("span", value, free_sides=True)


@pytest.mark.parametrize("value", [(None,), None, (1, 0), ("None", 1), (None, math.inf)])
def test_a_free_side_is_none_and_nothing_else(value: object) -> None:
    with pytest.raises(ArgumentError, match=r"^span: .*None = no limit"):
        check_range("span", value, free_sides=True)


@pytest.mark.parametrize("value", ["no", "False", 0, 1, None])
def test_text_and_numbers_are_no_flags(value: object) -> None:
    check_flag("overwrite", False)
    with pytest.raises(ArgumentError, match=r"^overwrite: expected True or False, got"):
        check_flag("overwrite", value)


def test_a_group_of_settings_is_of_its_class() -> None:
    check_instance("place", Path("x"), Path)
    with pytest.raises(ArgumentError, match=r"^place: expected Path .*got {'a': 1}"):
        check_instance("place", {"a": 1}, Path)
