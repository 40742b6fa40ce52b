"""Matching by level and crops, against small cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mcf_bundle.generation.image_evaluation_sets import (
    LEVEL_TOLERANCE,
    crop_window,
    match_levels_one_to_one,
)


def test_each_slice_is_matched_once_and_as_many_as_possible() -> None:
    """The nearest partner of both is 0.52; taking it greedily for 0.53 would leave 0.50 without one."""
    assert match_levels_one_to_one([0.53, 0.48], [0.52, 0.57]) == [(0, 1), (1, 0)]


def test_what_is_too_far_is_left_out() -> None:
    pairs = match_levels_one_to_one([0.2, 0.5, 0.8], [0.81, 0.29])
    assert pairs == [(2, 0)]
    assert match_levels_one_to_one([0.2], [0.2 + 1.01 * LEVEL_TOLERANCE]) == []


def test_more_of_either_side_is_no_harm() -> None:
    generator = np.random.default_rng(0)
    levels, others = generator.uniform(0.4, 0.8, 40), generator.uniform(0.4, 0.8, 25)
    for pairs in (match_levels_one_to_one(levels, others), match_levels_one_to_one(others, levels)):
        assert len(pairs) == 25
        assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == 25


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        (20, 30, (slice(16, 24), slice(26, 34))),
        (0, 63, (slice(0, 8), slice(56, 64))),
        (63, 0, (slice(56, 64), slice(0, 8))),
    ],
)
def test_a_crop_lies_around_the_mask_and_inside_the_image(
    row: int, column: int, expected: tuple[slice, slice]
) -> None:
    mask = np.zeros((64, 64), bool)
    mask[max(row - 1, 0) : row + 1, max(column - 1, 0) : column + 1] = True
    assert crop_window(mask, 8) == expected


def test_a_crop_of_the_whole_image_is_the_image() -> None:
    assert crop_window(np.eye(16, dtype=bool), 16) == (slice(0, 16), slice(0, 16))
