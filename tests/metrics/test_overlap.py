from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from monai.metrics import compute_dice, compute_iou

from mcf_bundle.metrics.overlap import PixelCounts, count_pixels, dice, jaccard
from tests.metrics.masks import SMALL_MASKS, Mask, random_pair, square


@pytest.mark.parametrize("shift", range(6))
def test_a_shifted_square_overlaps_by_the_strip_that_is_left(shift: int) -> None:
    counts = count_pixels(square((8, 8), 6), square((8, 8 + shift), 6))
    assert counts == PixelCounts(36, 36, 6 * (6 - shift))
    assert dice(counts) == pytest.approx((6 - shift) / 6)
    assert jaccard(counts) == pytest.approx((6 - shift) / (6 + shift))


@pytest.mark.parametrize("shape", [(40, 40), (12, 16, 20)])
@pytest.mark.parametrize("seed", range(5))
def test_overlap_is_that_of_monai(shape: tuple[int, ...], seed: int) -> None:
    pair = random_pair(seed, shape)
    counts = count_pixels(*pair)
    batches = [torch.from_numpy(mask)[None, None] for mask in pair]
    assert dice(counts) == pytest.approx(compute_dice(*batches).item(), rel=1e-6)
    assert jaccard(counts) == pytest.approx(compute_iou(*batches).item(), rel=1e-6)


@settings(deadline=None)
@given(SMALL_MASKS)
def test_dice_and_jaccard_are_symmetric_shares_that_follow_from_each_other(pair: tuple[Mask, Mask]) -> None:
    counts, swapped = count_pixels(*pair), count_pixels(*pair[::-1])
    if not pair[0].any() and not pair[1].any():
        assert math.isnan(dice(counts))
        assert math.isnan(jaccard(counts))
        return
    assert dice(counts) == dice(swapped)
    assert 0 <= jaccard(counts) <= dice(counts) <= 1
    assert dice(counts) == pytest.approx(2 * jaccard(counts) / (1 + jaccard(counts)))


def test_adding_counts_is_counting_the_volume() -> None:
    prediction, reference = random_pair(0, (6, 16, 16))
    slices = [count_pixels(p, r) for p, r in zip(prediction, reference, strict=True)]
    assert sum(slices, PixelCounts(0, 0, 0)) == count_pixels(prediction, reference)


def test_counts_of_many_small_integers_do_not_overflow() -> None:
    full = np.ones((32, 32), np.uint8)
    assert dice(count_pixels(full, full)) == 1
