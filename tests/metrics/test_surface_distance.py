"""Distances between surfaces against hand geometry, MONAI and all pairs of points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from monai.metrics import (
    compute_average_surface_distance,
    compute_hausdorff_distance,
    compute_surface_dice,
)
from scipy import ndimage

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.surface_distance import (
    asd,
    hd95,
    paper_asd,
    percent_of_head_length,
    surface_dice,
    surface_distances,
    surface_indices,
)
from tests.metrics.masks import SMALL_MASKS, Mask, random_pair, square

SHAPES = [(64, 64), (256, 256), (20, 24, 16)]


def all_figures(prediction: Mask, reference: Mask, spacing: Any = None) -> list[float]:
    found = surface_distances(prediction, reference, spacing)
    return [hd95(found), asd(found), paper_asd(found), surface_dice(found, 1.5)]


@pytest.mark.parametrize("shift", [1, 5, 20])
@pytest.mark.parametrize("spacing", [None, 0.5, (3.0, 2.0)])
def test_two_pixels_lie_as_far_apart_as_they_were_moved(shift: int, spacing: Any) -> None:
    step = 1.0 if spacing is None else np.broadcast_to(spacing, 2)[1]
    found = surface_distances(square((4, 4), 1), square((4, 4 + shift), 1), spacing)
    assert hd95(found) == asd(found) == shift * step
    assert paper_asd(found) == 2 * shift * step


def test_a_square_in_a_larger_one_keeps_its_margin() -> None:
    # The 3 x 3 square has 8 surface pixels, each 4 away from the surface of the 11 x 11 square. Of the 40
    # there, 12 face the small square, 4 away; those k steps past its corner are hypot(4, k) away: 8 for each
    # k of 1, 2 and 3, and the 4 corners for k = 4.
    outer = 12 * [4.0] + [np.hypot(4, k) for k in (1, 2, 3) for _ in range(8)] + 4 * [np.hypot(4, 4)]
    found = surface_distances(square((14, 14), 3), square((10, 10), 11))
    assert hd95(found) == pytest.approx(np.percentile(outer, 95), rel=1e-6)
    assert asd(found) == pytest.approx((8 * 4 + sum(outer)) / 48, rel=1e-6)
    assert paper_asd(found) == pytest.approx(4 + np.mean(outer), rel=1e-6)
    assert surface_dice(found, 4.0) == pytest.approx((8 + 12) / 48)


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_distant_squares_have_the_shift_as_their_largest_distance(shift: int) -> None:
    # Two columns of a 4-row bar, moved sideways: half the surface lies shift away, half shift - 1.
    bars = np.zeros((2, 12, 16), bool)
    bars[0, 4:8, 3:5] = bars[1, 4:8, 3 + shift : 5 + shift] = True
    found = surface_distances(bars[0], bars[1])
    assert hd95(found) == shift
    assert asd(found) == pytest.approx((shift + (shift - 1)) / 2)


def test_the_surface_is_where_a_neighbor_along_an_axis_is_missing() -> None:
    mask = square((0, 0), 4, (6, 6))
    expected = mask.copy()
    expected[1:3, 1:3] = False
    surface = np.zeros_like(mask)
    surface[tuple(surface_indices(mask).T)] = True
    np.testing.assert_array_equal(surface, expected)
    mask[0, 0] = False  # a missing diagonal neighbor opens nothing
    assert [1, 1] not in surface_indices(mask).tolist()


@settings(deadline=None)
@given(SMALL_MASKS)
def test_the_surface_is_the_mask_without_its_erosion(pair: tuple[Mask, Mask]) -> None:
    surface = np.zeros_like(pair[0])
    surface[tuple(surface_indices(pair[0]).T)] = True
    np.testing.assert_array_equal(surface, pair[0] & ~ndimage.binary_erosion(pair[0]))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spacing", ["none", "scalar", "by axis"])
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
def test_distances_are_those_of_monai(shape: tuple[int, ...], seed: int, spacing: str) -> None:
    steps = {"none": None, "scalar": 1.7, "by axis": (0.9, 0.6, 5.0)[: len(shape)]}[spacing]
    pair = random_pair(seed, shape)
    batches: Any = [torch.from_numpy(mask)[None, None] for mask in pair]
    options: Any = {"include_background": True, "spacing": steps}
    found = surface_distances(*pair, steps)
    assert hd95(found) == compute_hausdorff_distance(*batches, percentile=95, **options).item()
    assert asd(found) == compute_average_surface_distance(*batches, symmetric=True, **options).item()
    expected = compute_surface_dice(*batches, class_thresholds=[2.0], **options).item()
    assert surface_dice(found, 2.0) == pytest.approx(expected, rel=1e-6)


def test_random_masks_touch_the_border_so_that_the_comparison_covers_it() -> None:
    touching = [random_pair(seed, (64, 64))[0] for seed in range(4)]
    assert any(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any() for mask in touching)


@settings(deadline=None)
@given(SMALL_MASKS, st.lists(st.floats(0.1, 10), min_size=3, max_size=3))
def test_distances_are_the_smallest_of_all_pairs(pair: tuple[Mask, Mask], steps: Sequence[float]) -> None:
    assume(pair[0].any() and pair[1].any() and min(pair[0].shape) > 1)
    spacing = steps[: pair[0].ndim]
    points = [np.argwhere(mask & ~ndimage.binary_erosion(mask)) * spacing for mask in pair]
    between = np.linalg.norm(points[0][:, None] - points[1][None], axis=-1)
    directed = [between.min(1), between.min(0)]
    found = surface_distances(*pair, spacing)
    # MONAI rounds the percentile's rank to float32: the weight of two neighboring distances is off by 1e-5.
    rounding = 1e-5 * max(max(d) for d in directed)
    assert hd95(found) == pytest.approx(max(np.percentile(d, 95) for d in directed), abs=rounding)
    assert asd(found) == pytest.approx(np.mean(np.concatenate(directed)), rel=1e-5)
    assert paper_asd(found) == pytest.approx(np.mean(directed[0]) + np.mean(directed[1]), rel=1e-5)


@settings(deadline=None)
@given(SMALL_MASKS)
def test_swapping_the_masks_changes_nothing(pair: tuple[Mask, Mask]) -> None:
    assume(pair[0].any() and pair[1].any())
    assert all_figures(*pair) == pytest.approx(all_figures(*pair[::-1]), rel=1e-6)


@settings(deadline=None)
@given(SMALL_MASKS)
def test_a_mask_lies_on_itself(pair: tuple[Mask, Mask]) -> None:
    assume(pair[0].any())
    assert all_figures(pair[0], pair[0]) == [0, 0, 0, 1]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_of_depth_one_is_its_slice(axis: int) -> None:
    pair = random_pair(1, (32, 32))
    spacing = np.insert([0.8, 1.1], axis, 7.0)
    deep = [np.expand_dims(mask, axis) for mask in pair]
    assert all_figures(*deep, spacing=spacing) == all_figures(*pair, spacing=(0.8, 1.1))


@pytest.mark.parametrize("factor", [0.25, 3.0])
def test_distances_scale_with_the_spacing(factor: float) -> None:
    pair = random_pair(2, (32, 32))
    once, scaled = (surface_distances(*pair, (step * 1.0, step * 2.0)) for step in (1.0, factor))
    for figure in (hd95, asd, paper_asd):
        assert figure(scaled) == pytest.approx(factor * figure(once), rel=1e-6)


@pytest.mark.parametrize("shift", [(0, 5), (9, 0), (20, 20)])
def test_where_in_the_image_the_masks_lie_does_not_matter(shift: tuple[int, int]) -> None:
    pair = square((2, 3), 6), square((4, 4), 5)
    moved = [np.roll(mask, shift, (0, 1)) for mask in pair]
    assert all_figures(*moved) == all_figures(*pair)


@pytest.mark.parametrize("number", [0, 1])
def test_an_empty_mask_has_no_surface_distance(number: int) -> None:
    pair = [square((4, 4), 3), square((4, 4), 3)]
    pair[number] = np.zeros((32, 32), bool)
    name = ("prediction", "reference")[number]
    with pytest.raises(ArgumentError, match=f"{name}: the mask is empty and has no surface"):
        surface_distances(pair[0], pair[1])


@pytest.mark.parametrize("tolerance", [-1, float("nan"), float("inf"), "2"])
def test_what_is_no_tolerance_is_refused(tolerance: Any) -> None:
    found = surface_distances(square((4, 4), 3), square((4, 5), 3))
    with pytest.raises(ArgumentError, match="tolerance: expected a number"):
        surface_dice(found, tolerance)


def test_a_distance_of_a_tenth_of_the_head_is_ten_percent() -> None:
    assert percent_of_head_length(18.0, 180.0) == 10.0


@pytest.mark.parametrize("length", [0, -3, float("nan"), float("inf")])
def test_what_is_no_head_length_is_refused(length: float) -> None:
    with pytest.raises(ArgumentError, match="head_length_pixels: expected"):
        percent_of_head_length(1.0, length)
