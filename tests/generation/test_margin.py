from __future__ import annotations

import numpy as np
import pytest

from mcf_bundle.generation.margin import grow
from tests.generation.discs import disc


# Lattice points within 8, 4 and 2 of the origin.
@pytest.mark.parametrize(("size", "pixels"), [(256, 197), (128, 49), (64, 13)])
def test_a_pixel_grows_to_a_disc_of_eight_pixels_at_256(size: int, pixels: int) -> None:
    mask = np.zeros((size, size), bool)
    mask[size // 2, size // 3] = True
    grown = grow(mask, 8.0)
    assert grown.sum() == pixels
    assert grown[size // 2, size // 3 + size // 32]
    assert not grown[size // 2, size // 3 + size // 32 + 1]


def test_the_factor_of_the_whole_image_holds_for_a_part_of_it() -> None:
    mask = disc(128, 60.0, 70.0, 5.0)
    part = (slice(30, 90), slice(40, 110))
    np.testing.assert_array_equal(grow(mask[part], 8.0, factor=0.5), grow(mask, 8.0)[part])


def test_a_margin_of_zero_keeps_the_mask_and_an_empty_mask_stays_empty() -> None:
    mask = disc(64, 30.0, 30.0, 5.0)
    np.testing.assert_array_equal(grow(mask, 0.0), mask)
    empty = np.zeros((64, 64), bool)
    assert not grow(empty, 8.0).any()
    assert grow(empty, 8.0) is not empty
