from __future__ import annotations

import numpy as np
import pytest
from skimage import morphology

from mcf_bundle.data.raster import (
    closed,
    cropped,
    depth,
    dilate,
    erode,
    filled,
    heaviest_part,
    opened,
    resample_planes,
)


@pytest.fixture
def blob() -> np.ndarray:
    rng = np.random.default_rng(0)
    mask = np.zeros((48, 40), bool)
    mask[8:40, 6:34] = rng.random((32, 28)) > 0.2
    return mask


@pytest.mark.parametrize("radius", [1, 2, 5])
@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        (dilate, morphology.dilation),
        (erode, morphology.erosion),
        (opened, morphology.opening),
        (closed, morphology.closing),
    ],
)
def test_disc_morphology_equals_scikit_image_away_from_the_frame(blob, ours, reference, radius):
    padded = np.pad(blob, 8)
    np.testing.assert_array_equal(ours(padded, radius), reference(padded, morphology.disk(radius)))


def test_closing_near_the_frame_does_not_reach_it():
    mask = np.zeros((20, 20), bool)
    mask[2:12, 5:15] = True
    assert not closed(mask, 5.0)[:2].any()


def test_masks_that_touch_the_frame_are_not_eroded_from_there():
    mask = np.zeros((10, 10), bool)
    mask[:6] = True
    assert erode(mask, 2.0)[0].all()


@pytest.mark.parametrize("operation", [lambda m: dilate(m, 3), lambda m: erode(m, 3), filled, heaviest_part])
def test_an_empty_mask_stays_empty(operation):
    assert not operation(np.zeros((9, 9), bool)).any()


def test_depth_is_infinite_where_nothing_lies_outside():
    assert np.isinf(depth(np.ones((4, 4), bool))).all()


def test_filled_closes_holes_but_not_bays():
    mask = np.zeros((9, 9), bool)
    mask[2:7, 2:7] = True
    mask[4, 4] = False
    assert filled(mask).sum() == 25
    bay = mask.copy()
    bay[4, 4:] = False
    np.testing.assert_array_equal(filled(bay), bay)


def test_heaviest_part_counts_weight_before_area():
    mask = np.zeros((5, 9), bool)
    mask[1:4, 1:4], mask[2, 6] = True, True
    assert heaviest_part(mask).sum() == 9
    weight = np.ones(mask.shape)
    weight[2, 6] = 100.0
    assert heaviest_part(mask, weight).sum() == 1


def test_resampling_to_half_size_keeps_the_mean_and_to_the_same_size_keeps_all():
    stack = np.random.default_rng(0).random((2, 16, 16)).astype(np.float32)
    assert resample_planes(np.full((2, 16, 16), 7), (8, 8)) == pytest.approx(7.0)
    np.testing.assert_array_equal(resample_planes(stack, (16, 16)), stack)


def test_a_box_beyond_the_frame_is_filled_with_zeros():
    box = cropped(np.ones((1, 4, 4), np.float32), (-1, 5), (2, 7))
    assert box.shape == (1, 6, 5)
    assert box.sum() == 4 * 2
