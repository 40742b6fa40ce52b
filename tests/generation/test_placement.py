import numpy as np
import pytest

from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.placement import (
    PlacementRules,
    Rejection,
    accept_placement,
    fit_transform,
)
from mcf_bundle.generation.variation import Variation
from mcf_bundle.generation.warp import Transform, warp_donor
from tests.generation.discs import CENTER, disc, disc_case

RULES = PlacementRules()
TUMOR = (55.0, 80.0, 9.0)


def fit(host, donor, *, mirrored=False, host_index=3, donor_index=3, rules=RULES, **more):
    return fit_transform(host, host_index, donor, donor_index, mirrored=mirrored, rules=rules, **more)


def centroid(mask):
    return np.argwhere(mask).mean(axis=0)


def test_equal_geometry_gives_the_identity():
    transform = fit(disc_case("host"), disc_case("donor", tumor=TUMOR))
    np.testing.assert_allclose(transform.matrix, [[1, 0, 0], [0, 1, 0]], atol=1e-9)
    assert transform.scales == (1.0, 1.0)
    assert transform.donor_indices == (2, 3, 4)


def test_mirrored_tumor_lands_across_the_midline():
    host, donor = disc_case("host"), disc_case("donor", tumor=TUMOR)
    transform = fit(host, donor, mirrored=True)
    mask = warp_donor(donor, transform, (128, 128)).mask
    np.testing.assert_array_equal(mask, donor.volume.mask[2:5, :, ::-1])


def test_tumor_follows_the_brains_center_and_size():
    host = disc_case("host", radius=36, center=(60.0, 70.0))
    donor = disc_case("donor", radius=40, tumor=TUMOR)
    transform = fit(host, donor)
    expected = 60 + (55 - CENTER) * 0.9, 70 + (80 - CENTER) * 0.9
    mask = warp_donor(donor, transform, (128, 128)).mask[1]
    np.testing.assert_allclose(centroid(mask), expected, atol=0.4)
    assert mask.sum() == pytest.approx(np.pi * (9 * 0.9) ** 2, rel=0.05)


def test_tumor_turns_with_the_hosts_midline():
    host, donor = disc_case("host", angle_deg=10.0), disc_case("donor", tumor=(40.0, CENTER, 9.0))
    mask = warp_donor(donor, fit(host, donor), (128, 128)).mask[1]
    # Above the center, a line that leans to larger columns below it is at smaller columns.
    angle = np.deg2rad(10.0)
    expected = CENTER - 23.5 * np.cos(angle), CENTER - 23.5 * np.sin(angle)
    np.testing.assert_allclose(centroid(mask), expected, atol=0.3)


def test_variation_moves_turns_and_magnifies_about_the_tumors_center():
    host, donor = disc_case("host"), disc_case("donor", tumor=TUMOR)
    variation = Variation(rotation_deg=30.0, scale=1.2, shift=(4.0, -6.0))
    mask = warp_donor(donor, fit(host, donor, variation=variation), (128, 128)).mask[1]
    # The shift is stated for 256 x 256, the images are 128 x 128.
    np.testing.assert_allclose(centroid(mask), (57.0, 77.0), atol=0.2)
    assert mask.sum() == pytest.approx(1.44 * donor.volume.mask[3].sum(), rel=0.05)


def test_neighbors_are_taken_at_the_hosts_step():
    host = disc_case("host", level_step=0.1)
    donor = disc_case("donor", tumor=TUMOR, tumor_slices=(1, 2, 3, 4))
    assert fit(host, donor).donor_indices == (1, 3, None)


def test_neighbor_beyond_the_stack_gets_no_tumor():
    host = disc_case("host", level_step=0.2)
    donor = disc_case("donor", tumor=TUMOR, tumor_slices=range(7))
    assert fit(host, donor).donor_indices == (None, 3, None)


@pytest.mark.parametrize(
    ("reason", "host", "donor", "donor_index"),
    [
        ("patient", {}, {"patient": "host"}, 3),
        ("missing", {}, {"missing": (True, False, False)}, 3),
        ("level", {}, {}, 4),
        ("empty", {}, {"tumor_slices": (2, 4)}, 3),
        ("scale", {"radius": 30.0}, {}, 3),
        ("scale", {}, {"radius": 31.0}, 3),
    ],
)
def test_unfit_pair_is_refused_by_name(reason, host, donor, donor_index):
    host_case = disc_case("host", **host)
    donor_case = disc_case(**{"patient": "donor", "tumor": (60.0, 75.0, 9.0), **donor})
    result = fit(host_case, donor_case, donor_index=donor_index)
    assert isinstance(result, Rejection)
    assert result.reason == reason


@pytest.mark.parametrize("indices", [{"host_index": 0}, {"host_index": 6}, {"donor_index": 7}])
def test_index_outside_the_volume_raises(indices):
    with pytest.raises(ArgumentError, match=next(iter(indices))):
        fit(disc_case("host"), disc_case("donor", tumor=TUMOR), **indices)


def test_tumor_in_plain_tissue_is_accepted():
    host, donor = disc_case("host"), disc_case("donor", tumor=TUMOR)
    assert accept_placement(host, 3, donor, fit(host, donor), rules=RULES) is None


@pytest.mark.parametrize(
    ("reason", "tumor", "spoil"),
    [
        ("brain", (CENTER, 100.0, 9.0), None),
        ("csf", TUMOR, (1, 10)),
        ("csf", TUMOR, (0, 10)),
        ("bright", TUMOR, (1, 200)),
    ],
)
def test_bad_place_is_refused_by_name(reason, tumor, spoil):
    host, donor = disc_case("host"), disc_case("donor", tumor=tumor)
    if spoil:
        channel, value = spoil
        host.volume.image[3, channel][disc(128, 55.0, 80.0, 4.0)] = value
    result = accept_placement(host, 3, donor, fit(host, donor), rules=RULES)
    assert result is not None
    assert result.reason == reason


def test_neighbor_outside_the_brain_is_refused():
    host, donor = disc_case("host"), disc_case("donor", tumor=TUMOR)
    host.brain[4] &= ~disc(128, 55.0, 80.0, 5.0)
    assert accept_placement(host, 3, donor, fit(host, donor), rules=RULES).reason == "neighbor"


def test_place_under_the_scalp_is_refused_even_if_the_brain_region_says_otherwise():
    host, donor = disc_case("host"), disc_case("donor", tumor=(CENTER, 92.0, 9.0))
    host.head[3] = disc(128, CENTER, CENTER, 40.0)
    assert accept_placement(host, 3, donor, fit(host, donor), rules=RULES).reason == "skull"


def test_change_of_the_share_across_the_midline_is_refused():
    host, donor = disc_case("host"), disc_case("donor", tumor=(CENTER, 74.0, 10.0))
    transform = fit(host, donor)
    moved = Transform(((1.0, 0.0, 0.0), (0.0, 1.0, 6.0)), transform.donor_indices)
    assert accept_placement(host, 3, donor, moved, rules=RULES).reason == "midline"


def test_tumor_beyond_the_frame_is_refused():
    host, donor = disc_case("host"), disc_case("donor", tumor=TUMOR)
    far = Transform(((1.0, 0.0, 500.0), (0.0, 1.0, 0.0)), (None, 3, None))
    assert accept_placement(host, 3, donor, far, rules=RULES).reason == "outside"
