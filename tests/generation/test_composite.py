import numpy as np
import pytest

from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.composite import check_composite, compose
from mcf_bundle.generation.placement import PlacementRules, fit_transform
from mcf_bundle.generation.warp import Transform
from tests.generation.discs import CENTER, disc, disc_case

TUMOR = (55.0, 78.0, 9.0)


def pair(**host):
    host, donor = (
        disc_case("host", **host),
        disc_case("donor", tumor=TUMOR, missing=host.get("missing", (False,) * 3)),
    )
    transform = fit_transform(host, 3, donor, 3, mirrored=False, rules=PlacementRules())
    return host, donor, transform


def test_replaced_tumor_has_the_donors_ratio_to_tissue():
    host, donor, transform = pair(tissue=(50, 120, 60))
    composite = compose(host, 3, donor, transform)
    np.testing.assert_array_equal(composite.mask, donor.volume.mask[2:5])
    # Donor ratios 60/100, 160/80, 90/120 times the host's tissue, on a scale of 200 gray levels.
    np.testing.assert_allclose(composite.image[1, :, 55, 78], (0.15, 1.2, 0.225), rtol=1e-3)
    far = ~disc(128, 55.0, 78.0, 9 + 3 + 1)
    assert not composite.contribution[..., far].any()
    assert composite.image.dtype == np.float32


def test_tissue_around_the_tumor_stays_the_hosts_on_constant_tissue():
    host, donor, transform = pair(tissue=(50, 120, 60))
    composite = compose(host, 3, donor, transform)
    ring = disc(128, 55.0, 78.0, 14) & ~disc(128, 55.0, 78.0, 11.5)
    np.testing.assert_allclose(composite.image[1, :, ring], composite.host[1, :, ring], rtol=0.02)


def test_add_is_the_host_plus_the_donor_in_the_mask():
    host, donor, transform = pair(tissue=(50, 120, 60))
    composite = compose(host, 3, donor, transform, blend="add", harmonized=False)
    expected = donor.normalized([3])[0] * donor.volume.mask[3]
    np.testing.assert_allclose(composite.contribution[1], expected, atol=1e-4)


@pytest.mark.parametrize("blend", ["replace", "add"])
def test_without_donor_tumor_the_contribution_is_zero(blend):
    host, donor = disc_case("host"), disc_case("donor")
    transform = Transform(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), (None, 3, None))
    composite = compose(host, 3, donor, transform, blend=blend)
    assert not composite.contribution.any()
    assert not composite.mask.any()
    np.testing.assert_array_equal(composite.image, host.normalized([2, 3, 4]))


@pytest.mark.parametrize("blend", ["replace", "add"])
def test_neighbor_without_donor_keeps_the_host(blend):
    host, donor, transform = pair()
    only = Transform(transform.affine, (None, 3, 4))
    composite = compose(host, 3, donor, only, blend=blend)
    assert not composite.contribution[0].any()
    assert composite.mask[1].any()


@pytest.mark.parametrize("blend", ["replace", "add"])
def test_missing_channels_stay_copies_of_flair(blend):
    host, donor, transform = pair(missing=(True, False, True))
    image = compose(host, 3, donor, transform, blend=blend).image
    np.testing.assert_array_equal(image[:, 0], image[:, 1])
    np.testing.assert_array_equal(image[:, 2], image[:, 1])


def test_mask_and_contribution_end_at_the_hosts_brain():
    host, donor = disc_case("host"), disc_case("donor", tumor=(CENTER, 98.0, 9.0))
    transform = fit_transform(host, 3, donor, 3, mirrored=False, rules=PlacementRules())
    composite = compose(host, 3, donor, transform)
    assert 0 < composite.mask[1].sum() < donor.volume.mask[3].sum()
    assert not (composite.mask & ~host.brain[2:5]).any()
    assert not composite.contribution[1, :, ~host.brain[3]].any()


def test_hole_of_the_tumor_is_painted_but_not_in_the_mask():
    host, donor, transform = pair()
    hole = disc(128, 55.0, 78.0, 5.0)
    donor.volume.mask[:, hole] = False
    donor.volume.image[3, 1, hole] = 10
    composite = compose(host, 3, donor, transform)
    assert not composite.mask[1, 55, 78]
    assert composite.image[1, 1, 55, 78] == pytest.approx(0.05, rel=0.05)


def test_size_256_and_64_give_the_same_composite_up_to_sampling():
    tumors = {}
    for size in (64, 256):
        factor = size / 128
        middle = (size - 1) / 2
        cases = [
            disc_case(
                name,
                size=size,
                radius=40 * factor,
                center=(middle, middle),
                tissue=tissue,
                tumor=None if name == "host" else (middle - 8 * factor, middle + 15 * factor, 9 * factor),
            )
            for name, tissue in (("host", (50, 120, 60)), ("donor", (100, 80, 120)))
        ]
        transform = fit_transform(cases[0], 3, cases[1], 3, mirrored=False, rules=PlacementRules())
        composite = compose(cases[0], 3, cases[1], transform)
        tumors[size] = composite.image[1][:, composite.mask[1]].mean(axis=1)
    np.testing.assert_allclose(tumors[64], tumors[256], rtol=0.02)


def test_check_passes_a_clear_tumor_and_names_what_a_flat_one_lacks():
    host, donor, transform = pair()
    weak = disc_case("weak", tumor=TUMOR, lesion=(100, 80, 120))
    # Edges of the discs ring a little under cubic interpolation; the identity has none.
    good = check_composite(compose(host, 3, donor, transform), host, 3)
    assert good.figures["flair_contrast"] == pytest.approx(1.0, rel=0.02)
    flat = check_composite(compose(host, 3, weak, transform), host, 3)
    assert not flat.passed
    assert flat.reasons == ("flair_contrast", "flair_rim")


def test_composition_is_repeatable_to_the_bit():
    first, second = (compose(host, 3, donor, transform).image for host, donor, transform in (pair(), pair()))
    assert first.tobytes() == second.tobytes()


def test_unknown_blend_raises():
    host, donor, transform = pair()
    with pytest.raises(ArgumentError, match="blend"):
        compose(host, 3, donor, transform, blend="mix")
