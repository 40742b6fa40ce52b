"""CarveMix on discs: the paper's rule for the region, and what a mixed triplet holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mcf_bundle.study.set_carve_mix import carve, carve_threshold, mix, signed_distance
from tests.generation.disc_rows import MIDDLE, disc_cases

rows, columns = np.mgrid[:64, :64]
radii = np.hypot(rows - 32, columns - 32)
DISC: NDArray[np.bool_] = radii <= 10
CASES = disc_cases(hosts=2)


def test_the_distance_is_signed_and_that_of_a_disc() -> None:
    distance = signed_distance(DISC)
    assert ((distance < 0) == DISC).all()
    np.testing.assert_allclose(distance, radii - 10, atol=1.5)


@pytest.mark.parametrize("fraction", [-1.0, -0.5, 0.0, 0.5, 1.0])
def test_the_region_of_a_disc_is_a_disc_of_the_drawn_size(fraction: float) -> None:
    """A disc of radius 10: threshold 5 inside gives radius 5, 10 outside gives 20."""
    region = carve(DISC, carve_threshold(signed_distance(DISC), fraction))
    radius = 10 - 5 * fraction if fraction > 0 else 10 - 10 * fraction
    assert region[radii <= radius - 1.6].all()
    assert not region[radii >= radius + 1.6].any()


def test_a_uniform_fraction_is_the_paper_s_mixture_of_two_uniforms() -> None:
    generator = np.random.default_rng(0)
    distance = np.array([-8.0, 3.0])
    drawn = np.array([carve_threshold(distance, value) for value in generator.uniform(-1, 1, 40_000)])
    inner, outer = drawn[drawn < 0], drawn[drawn >= 0]
    assert len(inner) / len(drawn) == pytest.approx(0.5, abs=0.01)
    assert (inner.min(), outer.max()) == (pytest.approx(-4, abs=0.01), pytest.approx(8, abs=0.01))
    assert (inner.mean(), outer.mean()) == (pytest.approx(-2, abs=0.05), pytest.approx(4, abs=0.1))


def test_nothing_is_carved_from_a_slice_without_tumor() -> None:
    assert not carve(np.zeros((8, 8), bool), 5.0).any()


@pytest.mark.parametrize("fraction", [-0.9, -0.1, 0.4, 1.0])
def test_outside_the_region_a_mixed_triplet_is_its_host_s(fraction: float) -> None:
    host, donor = CASES["h0"], CASES["d0"]
    mixed = mix(host, MIDDLE, donor, MIDDLE, fraction)
    stored = host.volume.image[MIDDLE - 1 : MIDDLE + 2]
    outside = np.broadcast_to(~mixed.region[:, None], stored.shape)
    np.testing.assert_array_equal(mixed.images[outside], stored[outside])
    kept = host.volume.mask[MIDDLE - 1 : MIDDLE + 2]
    np.testing.assert_array_equal(mixed.masks[~mixed.region], kept[~mixed.region])
    assert mixed.masks[1].any()


def test_inside_the_region_is_the_donor_on_the_host_s_scale() -> None:
    host, donor = CASES["h0"], CASES["d0"]
    mixed = mix(host, MIDDLE, donor, MIDDLE, -0.5)
    # The discs' heads share their center, so that nothing moves.
    expected = host.scale.denormalize(donor.normalized([MIDDLE]))[0]
    inside = np.broadcast_to(mixed.region[1], expected.shape)
    np.testing.assert_array_equal(mixed.images[1][inside], expected[inside])
    np.testing.assert_array_equal(mixed.masks[1][mixed.region[1]], donor.volume.mask[MIDDLE][mixed.region[1]])


def test_a_tumor_moves_with_its_head() -> None:
    host, donor = CASES["h0"], CASES["d0"]
    shift = (5, -3)
    moved = replace(
        donor,
        head=np.roll(donor.head, shift, (1, 2)),
        volume=replace(
            donor.volume,
            image=np.roll(donor.volume.image, shift, (2, 3)),
            mask=np.roll(donor.volume.mask, shift, (1, 2)),
        ),
    )
    one, other = (mix(host, MIDDLE, case, MIDDLE, 0.3) for case in (donor, moved))
    for name in ("images", "masks", "region"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
