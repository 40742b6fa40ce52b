import numpy as np
import pytest

from mcf_bundle.generation.contrast import (
    ContrastLimits,
    broken_limits,
    contrast_to_ring,
    rim_step,
    tumor_figures,
)
from tests.generation.discs import disc


def scene(size, tumor=0.9, near=0.5, far=0.5):
    """Brain of `far`, tumor in the middle, with a band of 2 pixels (at 256) around it of `near`."""
    factor = size / 256
    middle = (size - 1) / 2
    brain, mask = disc(size, middle, middle, 100 * factor), disc(size, middle, middle, 30 * factor)
    image = np.where(brain, np.float32(far), np.float32(0))
    image[disc(size, middle, middle, 32 * factor)] = near
    image[mask] = tumor
    return image, mask, brain


@pytest.mark.parametrize("size", [64, 128, 256])
@pytest.mark.parametrize("figure", [contrast_to_ring, rim_step])
def test_flat_tumor_on_flat_brain_has_its_difference_over_the_median(size, figure):
    assert figure(*scene(size)) == pytest.approx((0.9 - 0.5) / 0.5, rel=1e-5)


@pytest.mark.parametrize("size", [128, 256])
def test_contrast_leaves_the_band_beside_the_tumor_out_and_the_rim_does_not(size):
    image, mask, brain = scene(size, near=0.7)
    assert contrast_to_ring(image, mask, brain) == pytest.approx(0.8, rel=1e-3)
    assert rim_step(image, mask, brain) < 0.7


@pytest.mark.parametrize("figure", [contrast_to_ring, rim_step])
def test_scale_of_the_intensities_does_not_matter(figure):
    image, mask, brain = scene(128)
    assert figure(7 * image, mask, brain) == pytest.approx(figure(image, mask, brain), rel=1e-5)


@pytest.mark.parametrize("figure", [contrast_to_ring, rim_step])
@pytest.mark.parametrize("case", ["no tumor", "no brain", "all tumor", "black brain"])
def test_undefined_figure_is_nan(figure, case):
    image, mask, brain = scene(128)
    mask = mask & (case != "no tumor")
    brain = brain & (case != "no brain")
    mask = brain if case == "all tumor" else mask
    image = image * (case != "black brain")
    assert np.isnan(figure(image, mask, brain))


def test_missing_channels_have_no_figure():
    image, mask, brain = scene(128)
    figures = tumor_figures(np.stack([image] * 3), mask, brain, missing=(True, False, False))
    assert sorted(figures) == ["flair_contrast", "flair_rim", "post_rim"]


def test_limits_name_what_is_outside_them():
    ranges = {name: (0.0, 1.0) for name in "abcd"}
    assert broken_limits(ranges, {"a": 1.0, "b": 1.5, "c": float("nan"), "e": 9.0}) == ("b", "c")


def test_contrast_is_limited_on_the_sides_that_are_not_free():
    limits = ContrastLimits((0.0, 1.0), (None, 1.0), (0.0, None), None)
    low = dict.fromkeys(("flair_contrast", "flair_rim", "pre_rim", "post_rim"), -9.0)
    assert limits.broken(low) == ("flair_contrast", "pre_rim")
    assert limits.broken({name: 9.0 for name in low}) == ("flair_contrast", "flair_rim")
    assert limits.broken({name: 0.5 for name in low}) == ()


def test_there_are_limits_for_each_figure_and_no_other():
    image, mask, brain = scene(64)
    assert ContrastLimits().ranges.keys() == tumor_figures(np.stack([image] * 3), mask, brain).keys()
