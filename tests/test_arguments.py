"""Tests of mcf_bundle.arguments."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import fire
import pytest

from mcf_bundle.arguments import as_path, check_count, check_seed
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
