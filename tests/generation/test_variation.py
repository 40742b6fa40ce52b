"""Varying a tumor: what is drawn stays in its limits, and pixels go where the arithmetic says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.composite import compose
from mcf_bundle.generation.placement import PlacementRules, fit_transform
from mcf_bundle.generation.variation import NO_VARIATION, Bend, Variation, VariationRules
from mcf_bundle.generation.warp import Transform, tumor_window, warp_donor
from tests.generation.discs import disc_case

TUMOR = (60.0, 70.0, 10.0)
LOBED = ((0.0, 0.0), (0.0, 0.0), (0.3, 0.0))
"""Four lobes: the radius is 1.3 times along the axes, .7 times along the diagonals."""


def fit(variation: Variation) -> Transform:
    """Lay the disc donor's tumor over a host of the same anatomy."""
    host, donor = disc_case("host"), disc_case("donor", tumor=TUMOR)
    found = fit_transform(host, 3, donor, 3, mirrored=False, rules=PlacementRules(), variation=variation)
    assert isinstance(found, Transform)
    return found


def test_draws_fill_their_limits_and_stay_inside() -> None:
    rules = VariationRules(rotation_deg=20, scale=0.2, shift=5, bend=0.3, contrast=0.25)
    drawn = [rules.draw(np.random.default_rng(seed)) for seed in range(400)]
    ranges = {
        "turn": ([item.rotation_deg for item in drawn], 0, 20),
        "scale": ([item.scale for item in drawn], 1, 0.2),
        "down": ([item.shift[0] for item in drawn], 0, 5),
        "right": ([item.shift[1] for item in drawn], 0, 5),
        "contrast": ([item.contrast for item in drawn], 1, 0.25),
    }
    for name, (values, middle, most) in ranges.items():
        offsets = np.abs(np.array(values) - middle)
        assert 0.95 * most < offsets.max() <= most, name
        assert np.mean(values) == pytest.approx(middle, abs=0.15 * most), name
    # The largest change of the radius at any angle, from all orders together.
    angle = np.linspace(0, 2 * np.pi, 720)
    circle = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    change = [np.abs(np.linalg.norm(Bend((0, 0), d.bend).apply(circle), axis=-1) - 1).max() for d in drawn]
    assert max(change) <= 0.3
    assert max(change) > 0.25
    assert np.median(change) > 0.1


def test_limits_of_zero_draw_nothing() -> None:
    rules = VariationRules(rotation_deg=0, scale=0, shift=0)
    assert rules.draw(np.random.default_rng(0)) == NO_VARIATION


def test_bends_are_undone() -> None:
    bend = Bend((3.0, -2.0), ((0.1, -0.05), (0.02, 0.08), (-0.1, 0.0)))
    points = np.random.default_rng(0).uniform(-30, 30, (50, 2))
    np.testing.assert_allclose(bend.undo(bend.apply(points)), points, atol=1e-9)
    np.testing.assert_allclose(bend.apply(np.array([3.0, -2.0])), [3.0, -2.0])


def test_a_disc_grows_lobes_where_the_bend_says() -> None:
    transform = fit(Variation(bend=LOBED))
    mask = warp_donor(disc_case("donor", tumor=TUMOR), transform, (128, 128)).mask[1]
    assert mask[60, 70 + 12]
    assert not mask[60, 70 + 14]
    assert mask[60 - 12, 70]
    diagonal = round(7 / np.sqrt(2))
    assert mask[60 + diagonal - 1, 70 + diagonal - 1]
    assert not mask[60 + diagonal + 2, 70 + diagonal + 2]
    # The area of r(angle) = R (1 + a cos 4 angle) is pi R^2 (1 + a^2 / 2).
    plain = warp_donor(disc_case("donor", tumor=TUMOR), fit(NO_VARIATION), (128, 128)).mask[1]
    assert mask.sum() == pytest.approx(plain.sum() * (1 + 0.3**2 / 2), rel=0.03)


def test_a_bend_follows_turn_size_and_shift() -> None:
    variation = Variation(rotation_deg=0.0, scale=1.2, shift=(8.0, -12.0), bend=LOBED)
    transform = fit(variation)
    assert transform.bend is not None
    # The shift is stated for 256 x 256, the images are 128 x 128.
    np.testing.assert_allclose(transform.bend.center, (64.0, 64.0), atol=0.2)
    mask = warp_donor(disc_case("donor", tumor=TUMOR), transform, (128, 128)).mask[1]
    assert mask[64, 64 + 15]
    assert not mask[64, 64 + 17]


def test_points_go_there_and_back() -> None:
    transform = fit(Variation(25.0, 0.9, (4.0, 3.0), ((0.1, 0.0), (0.0, -0.1), (0.05, 0.05))))
    points = np.random.default_rng(0).uniform(30, 90, (40, 2))
    np.testing.assert_allclose(transform.to_host(transform.to_donor(points)), points, atol=1e-9)


def test_a_window_of_a_bent_tumor_holds_the_same_pixels_as_the_whole_frame() -> None:
    donor = disc_case("donor", tumor=TUMOR)
    transform = fit(Variation(25.0, 1.1, (4.0, 3.0), LOBED))
    window = tumor_window(donor, transform, (128, 128), margin=5)
    assert window is not None
    whole = warp_donor(donor, transform, (128, 128))
    part = warp_donor(donor, transform, (128, 128), window=window)
    np.testing.assert_allclose(part.image, whole.image[(..., *window)], atol=1e-4)
    np.testing.assert_array_equal(part.mask, whole.mask[(..., *window)])
    assert part.mask.sum() == whole.mask.sum()


@pytest.mark.parametrize("contrast", [0.5, 0.8, 1.25])
def test_contrast_is_the_exponent_of_the_ratio_to_the_tissue(contrast: float) -> None:
    host = disc_case("host", tissue=(100, 90, 110))
    image = compose(host, 3, disc_case("donor", tumor=TUMOR), fit(Variation(contrast=contrast))).image
    # Lesion over tissue of the donor: 60 / 100, 160 / 80, 90 / 120; the host's tissue in grays of 200.
    ratio, tissue = np.array([0.6, 2.0, 0.75]), np.array([100, 90, 110]) / 200
    np.testing.assert_allclose(image[1, :, 60, 70], tissue * ratio**contrast, rtol=0.02)


def test_a_transform_without_bend_and_contrast_is_written_as_before_they_were_varied() -> None:
    fields = fit(Variation(3.0, 1.1, (1.0, 2.0))).to_dict()
    assert set(fields) == {"affine", "donor_indices", "mirrored", "scales", "variation"}
    assert set(fields["variation"]) == {"rotation_deg", "scale", "shift"}
    assert Transform.from_dict(json.loads(json.dumps(fields))) == fit(Variation(3.0, 1.1, (1.0, 2.0)))


def test_a_bend_with_missing_orders_is_refused() -> None:
    with pytest.raises(ValueError, match="3 pairs of amplitudes, got 1"):
        Bend.from_dict({"center": [1, 2], "modes": [[0.1, 0.2]]})


@pytest.mark.parametrize(("name", "value"), [("bend", 0.6), ("contrast", 1.0), ("first_use", "yes")])
def test_values_outside_their_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(ArgumentError, match=name):
        VariationRules(**{name: value})  # type: ignore[arg-type]
