"""Intensity profiles against ramps whose profile is known."""

from __future__ import annotations

import numpy as np
import pytest

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.profiles import intensity_profiles, mean_profile, profile_distance

ACROSS = np.linspace(0, 1, 5)
RAMP = np.broadcast_to(ACROSS, (2, 3, 4, 5)).astype(np.float32)
"""Two images, 4 rows x 5 columns, brighter to the right."""


def test_a_ramp_to_the_right_rises_along_x_and_is_flat_along_y() -> None:
    horizontal, vertical = (intensity_profiles(RAMP, name) for name in ("horizontal", "vertical"))
    np.testing.assert_allclose(horizontal, np.broadcast_to(ACROSS, (2, 3, 5)))
    np.testing.assert_allclose(vertical, np.full((2, 3, 4), 0.5))


def test_one_line_can_be_followed() -> None:
    np.testing.assert_allclose(intensity_profiles(RAMP, "vertical", line=4), np.ones((2, 3, 4)))
    np.testing.assert_allclose(intensity_profiles(RAMP, "horizontal", line=0)[1, 2], ACROSS)


def test_the_distance_of_a_brighter_set_is_the_difference() -> None:
    dark, bright = (intensity_profiles(RAMP * scale, "horizontal") for scale in (0.4, 0.8))
    assert profile_distance(bright, dark) == pytest.approx(0.4 * 0.5)
    assert profile_distance(dark, dark) == 0


def test_the_distance_is_that_of_means_not_of_pairs() -> None:
    profiles = intensity_profiles(np.stack([RAMP[0], 1 - RAMP[0]]), "horizontal")
    assert profile_distance(profiles, profiles[::-1]) == 0
    assert profile_distance(profiles[:1], profiles[1:]) == pytest.approx(np.abs(1 - 2 * ACROSS).mean())


def test_counts_are_repeated_images() -> None:
    profiles, counts = np.random.default_rng(0).random((4, 3, 5)), np.array([2, 0, 1, 3])
    np.testing.assert_allclose(mean_profile(profiles, counts), np.repeat(profiles, counts, axis=0).mean(0))
    assert np.isnan(profile_distance(profiles, profiles, counts=np.zeros(4, int)))


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ArgumentError, match="direction: 'diagonal' does not exist"):
        intensity_profiles(RAMP, "diagonal")
    with pytest.raises(ArgumentError, match="line: expected 0 to 3, got 4"):
        intensity_profiles(RAMP, "horizontal", line=4)
    horizontal, vertical = (intensity_profiles(RAMP, name) for name in ("horizontal", "vertical"))
    with pytest.raises(ArgumentError, match="reference: expected channels and length"):
        profile_distance(horizontal, vertical)
