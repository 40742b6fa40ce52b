"""Views of tumors: a copy is found though it was moved, mirrored, turned and scaled."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.memorization import masked_correlation
from mcf_bundle.metrics.memorization_views import (
    AS_IT_IS,
    PATCH_SIDE,
    VIEWS,
    TumorWindows,
    View,
    correlate_over_views,
    cut_windows,
)

SIZE = 256
CENTER = (120.0, 104.0)
ALL = (True, True, True)


def textured_tumor(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An oval of smooth random texture, as large as a median tumor of the LGG set."""
    generator = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(generator.normal(size=(3, SIZE, SIZE)), (0, 3, 3)) * 3 + 0.5
    rows, columns = np.mgrid[:SIZE, :SIZE]
    across, along = (rows - CENTER[0]) / 26, (columns - CENTER[1]) / 18
    return image.astype(np.float32), across**2 + along**2 <= 1


def seen(pair: tuple[np.ndarray, np.ndarray], view: View, shift: tuple[float, float]) -> tuple:
    """Mirror, turn and magnify by scipy, point by point of the definition, and move it."""
    angle, mirror = np.deg2rad(view.rotation_deg), -1.0 if view.mirrored else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    forward = view.scale * turn @ np.diag([1.0, mirror])
    inverse = np.linalg.inv(forward)
    offset = np.array(CENTER) - inverse @ (np.array(CENTER) + shift)
    image = np.stack([ndimage.affine_transform(plane, inverse, offset, order=3) for plane in pair[0]])
    mask = ndimage.affine_transform(pair[1].astype(np.float32), inverse, offset, order=1) >= 0.5
    return image, mask


def windows(*pairs: tuple[np.ndarray, np.ndarray]) -> TumorWindows:
    return cut_windows(pairs, [ALL] * len(pairs))


@pytest.mark.parametrize(
    "view", [View(True, 10.0, 0.9), View(True, -10.0, 1.1), View(True, 5.0, 1.0)], ids=str
)
def test_a_turned_copy_is_found_though_it_looks_new_by_centroid_alone(view: View) -> None:
    training = [textured_tumor(seed) for seed in range(4)]
    gallery = windows(*training)
    copy = windows(seen(training[2], view, shift=(17.3, -8.6))).patches()
    found, chosen = correlate_over_views(copy, gallery)
    by_centroid = masked_correlation(copy.images, copy.weights, gallery.patches().images)
    assert found[0].argmax() == 2
    assert found[0, 2] > 0.97
    assert VIEWS[chosen[0, 2]] == view
    assert by_centroid[0, 2] < 0.45
    assert np.delete(found[0], 2).max() < 0.5


def test_between_two_views_the_better_one_still_finds_a_copy() -> None:
    training = [textured_tumor(seed) for seed in range(2)]
    copy = windows(seen(training[0], View(True, 7.5, 1.05), shift=(0, 0))).patches()
    found, _ = correlate_over_views(copy, windows(*training))
    assert found[0, 0] > 0.8 > 0.5 > found[0, 1]


def test_the_views_are_mirrorings_rotations_and_scales() -> None:
    assert len(VIEWS) == len(set(VIEWS)) == 30
    assert {view.mirrored for view in VIEWS} == {False, True}
    assert {view.rotation_deg for view in VIEWS} == {-10, -5, 0, 5, 10}
    assert {view.scale for view in VIEWS} == {0.9, 1, 1.1}
    assert AS_IT_IS in VIEWS
    assert str(View(True, -10, 1.1)) == "mirrored, -10 deg, x 1.1"


def test_at_one_pixel_of_the_slice_a_patch_is_the_pixels_around_the_centroid() -> None:
    image = np.random.default_rng(0).random((3, 128, 128)).astype(np.float32)
    mask = np.zeros((128, 128), bool)
    mask[50:60, 70:74] = True  # its centroid is (54.5, 71.5)
    patches = windows((image, mask)).patches()
    half = PATCH_SIDE // 2
    rows, columns = slice(55 - half, 55 + half), slice(72 - half, 72 + half)
    np.testing.assert_allclose(patches.images[0], image[:, rows, columns], atol=1e-5)
    np.testing.assert_allclose(patches.weights[0], mask[rows, columns], atol=1e-5)


def test_a_mirrored_patch_is_the_patch_from_right_to_left() -> None:
    one = windows(textured_tumor(0))
    mirrored = one.patches(View(mirrored=True))
    np.testing.assert_allclose(mirrored.images, one.patches().images[..., ::-1], atol=1e-5)
    np.testing.assert_allclose(mirrored.weights, one.patches().weights[..., ::-1], atol=1e-5)


def test_beyond_the_edge_of_a_slice_is_background() -> None:
    image, mask = np.ones((3, 128, 128), np.float32), np.zeros((128, 128), bool)
    mask[:4, :4] = True
    patch = windows((image, mask)).patches().images[0, 0]
    half = PATCH_SIDE // 2
    assert not patch[: half - 3].any()
    assert not patch[:, : half - 3].any()
    np.testing.assert_allclose(patch[half + 2 :, half + 2 :], 1, atol=1e-5)


def test_one_of_several_windows_is_seen_like_among_them() -> None:
    several = windows(*(textured_tumor(seed) for seed in range(3)))
    view = View(True, 5, 0.9)
    np.testing.assert_array_equal(several.take(1).patches(view).images[0], several.patches(view).images[1])


def test_slices_without_tumor_are_refused() -> None:
    image, mask = textured_tumor(0)
    with pytest.raises(ArgumentError, match="mask: is empty"):
        windows((image, np.zeros_like(mask)))
    with pytest.raises(ArgumentError, match="slices: there are none"):
        windows()
