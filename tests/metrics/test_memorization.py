"""Likeness to training images, checked with numpy's and scipy's own coefficients."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cosine

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.memorization import cosine_similarity, masked_correlation

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.uniform(0, 1.5, (3, 3, 12, 10)).astype(np.float32)
GALLERY = GENERATOR.uniform(0, 1.5, (4, 3, 12, 10)).astype(np.float32)
MASKS = GENERATOR.random((3, 12, 10)) < 0.4


def pearson(image: np.ndarray, other: np.ndarray, mask: np.ndarray) -> float:
    """Mean over the channels, by numpy."""
    return float(np.mean([np.corrcoef(a[mask], b[mask])[0, 1] for a, b in zip(image, other, strict=True)]))


def test_it_is_numpys_coefficient_of_the_pixels_in_the_mask() -> None:
    expected = [[pearson(i, g, m) for g in GALLERY] for i, m in zip(IMAGES, MASKS, strict=True)]
    np.testing.assert_allclose(masked_correlation(IMAGES, MASKS, GALLERY), expected, atol=1e-5)


def test_a_weight_of_a_half_counts_a_pixel_half() -> None:
    weights = np.where(MASKS, np.float32(1), np.float32(0.5))
    doubled = [
        np.concatenate([image.reshape(3, -1), image[:, mask]], 1)[..., None]
        for image, mask in zip(IMAGES, MASKS, strict=True)
    ]
    for place, (image, mask) in enumerate(zip(doubled, MASKS, strict=True)):
        other = np.concatenate([GALLERY[0].reshape(3, -1), GALLERY[0][:, mask]], 1)[..., None]
        everything = np.ones(image.shape[1:], bool)
        found = masked_correlation(IMAGES, weights, GALLERY)[place, 0]
        assert found == pytest.approx(pearson(image, other, everything), abs=1e-5)


def test_gain_and_offset_of_a_channel_change_nothing() -> None:
    gain = np.array([0.3, 2.0, 1.2], np.float32)[:, None, None]
    offset = np.array([0.5, 0.0, 0.2], np.float32)[:, None, None]
    found = masked_correlation(IMAGES, MASKS, IMAGES * gain + offset)
    np.testing.assert_allclose(np.diag(found), 1, atol=1e-5)
    assert found[~np.eye(3, dtype=bool)].max() < 0.6


def test_what_lies_outside_the_mask_does_not_count() -> None:
    other = np.where(MASKS[:, None], IMAGES, GALLERY[:3])
    np.testing.assert_allclose(np.diag(masked_correlation(IMAGES, MASKS, other)), 1, atol=1e-5)


def test_only_channels_that_both_acquired_are_averaged() -> None:
    acquired = np.array([[True, True, True], [True, True, False], [False, True, False]])
    others = np.array([[True, True, True], [False, True, True], [False, True, False], [True, False, False]])
    found = masked_correlation(IMAGES, MASKS, GALLERY, acquired=acquired, gallery_acquired=others)
    for i, g in np.ndindex(3, 4):
        both = acquired[i] & others[g]
        if both.any():
            assert found[i, g] == pytest.approx(
                pearson(IMAGES[i][both], GALLERY[g][both], MASKS[i]), abs=1e-5
            )
        else:
            assert np.isnan(found[i, g])


@pytest.mark.parametrize("level", [0.0, 0.7, 200.0])
def test_a_constant_channel_is_like_nothing(level: float) -> None:
    flat = np.where(MASKS[:, None], np.float32(level), IMAGES)
    assert not masked_correlation(flat, MASKS, GALLERY).any()
    assert not np.diag(masked_correlation(IMAGES, MASKS, flat)).any()


def test_an_empty_mask_has_no_correlation() -> None:
    assert np.isnan(masked_correlation(IMAGES, np.zeros_like(MASKS), GALLERY)).all()


@pytest.mark.parametrize(
    ("masks", "gallery", "problem"),
    [
        (MASKS, GALLERY[:, :2], r"gallery: expected \(G, C, H, W\) like the images"),
        (MASKS, GALLERY[0], "gallery: expected"),
        (MASKS[:2], GALLERY, "masks: expected one"),
        (MASKS[:, :5], GALLERY, "masks: expected one"),
    ],
)
def test_what_does_not_fit_is_refused(masks: np.ndarray, gallery: np.ndarray, problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        masked_correlation(IMAGES, masks, gallery)


def test_the_cosine_is_scipys() -> None:
    first, second = (GENERATOR.normal(size=(n, 7)).astype(np.float32) for n in (3, 4))
    expected = [[1 - cosine(a, b) for b in second] for a in first]
    np.testing.assert_allclose(cosine_similarity(first, second), expected, atol=1e-6)
    assert not cosine_similarity(np.zeros((1, 7), np.float32), second).any()
    with pytest.raises(ArgumentError, match=r"gallery: expected \(N, D\) and \(G, D\)"):
        cosine_similarity(first, second[:, :5])
