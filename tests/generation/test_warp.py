import json

import numpy as np
import pytest

from mcf_bundle.generation.variation import Bend, Variation
from mcf_bundle.generation.warp import Transform, pixel_factor, tumor_window, warp_donor
from tests.generation.discs import disc_case

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


def test_transform_survives_json_unchanged():
    transform = Transform(
        affine=((1 / 3, 0.1, -2.7), (1e-17, -0.9, 63.123456789012345)),
        donor_indices=(None, 4, 6),
        mirrored=True,
        scales=(0.9, 1.1),
        variation=Variation(3.3, 1.07, (0.5, -1.25), ((0.1, -0.05), (0.0, 1 / 30), (0.02, 0.0)), 0.9),
        bend=Bend((63.25, 1 / 3), ((0.1, -0.05), (0.0, 1 / 30), (0.02, 0.0))),
    )
    assert Transform.from_dict(json.loads(json.dumps(transform.to_dict()))) == transform


def test_identity_returns_the_donors_own_slices():
    donor = disc_case("donor", tumor=(50.0, 70.0, 8.0))
    warped = warp_donor(donor, Transform(IDENTITY, (2, 3, 4)), (128, 128))
    np.testing.assert_allclose(warped.image, donor.normalized([2, 3, 4]), atol=1e-4)
    np.testing.assert_array_equal(warped.mask, donor.volume.mask[2:5])
    np.testing.assert_array_equal(warped.brain, donor.brain[2:5])


def test_slice_without_donor_is_empty():
    donor = disc_case("donor", tumor=(50.0, 70.0, 8.0))
    warped = warp_donor(donor, Transform(IDENTITY, (None, 3, None)), (128, 128))
    assert not warped.image[[0, 2]].any()
    assert not warped.mask[[0, 2]].any()
    assert warped.mask[1].any()


@pytest.mark.parametrize("affine", [IDENTITY, ((0.98, 0.1, 3.0), (-0.12, 1.03, -2.0))])
def test_window_holds_the_same_pixels_as_the_whole_frame(affine):
    donor = disc_case("donor", tumor=(50.0, 70.0, 8.0))
    transform = Transform(affine, (2, 3, 4))
    window = tumor_window(donor, transform, (128, 128), margin=5)
    whole, part = (
        warp_donor(donor, transform, (128, 128)),
        warp_donor(donor, transform, (128, 128), window=window),
    )
    np.testing.assert_allclose(part.image, whole.image[(..., *window)], atol=1e-5)
    np.testing.assert_array_equal(part.mask, whole.mask[(..., *window)])
    assert part.mask.sum() == whole.mask.sum()


def test_host_frame_may_differ_in_size_from_the_donors():
    donor = disc_case("donor", tumor=(50.0, 70.0, 8.0))
    assert warp_donor(donor, Transform(IDENTITY, (2, 3, 4)), (96, 160)).image.shape == (3, 3, 96, 160)


def test_no_tumor_has_no_window():
    assert tumor_window(disc_case("donor"), Transform(IDENTITY, (None, 3, None)), (128, 128)) is None


@pytest.mark.parametrize(("size", "factor"), [(256, 1.0), (128, 0.5), (64, 0.25)])
def test_pixel_distances_scale_with_the_image(size, factor):
    assert pixel_factor((3, size, size)) == factor
