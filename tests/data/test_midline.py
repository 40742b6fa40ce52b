from __future__ import annotations

import numpy as np
import pytest

from mcf_bundle.data.anatomy import head_mask
from mcf_bundle.data.midline import Midline, find_midline
from tests.data.disc_head import flair_of


def midline_of(flair: np.ndarray) -> Midline:
    return find_midline(flair, head_mask(flair))


@pytest.mark.parametrize("angle_deg", [-13.0, -6.5, -0.7, 0.0, 3.3, 10.0])
@pytest.mark.parametrize(("size", "tolerance_deg"), [(64, 0.8), (128, 0.5)])
def test_the_tilt_of_an_ellipse_is_found_below_a_degree(size, tolerance_deg, angle_deg):
    # The builder turns rows towards columns: larger columns below the center, as the angle's sign says.
    found = midline_of(flair_of(size, angle_deg=angle_deg))
    assert found.angle_deg == pytest.approx(angle_deg, abs=tolerance_deg)


def test_the_line_passes_through_the_center_of_a_shifted_head():
    found = midline_of(flair_of(128, center=(0.05, -0.1), angle_deg=8.0))
    center = (63.5 + 0.05 * 64, 63.5 - 0.1 * 64)
    slope = np.tan(np.radians(found.angle_deg))
    assert found.column + (center[0] - found.row) * slope == pytest.approx(center[1], abs=0.7)


def test_a_mirrored_head_has_the_opposite_angle():
    flair = flair_of(96, center=(0.0, 0.08), angle_deg=5.0)
    straight, mirrored = midline_of(flair), midline_of(flair[:, :, ::-1])
    assert mirrored.angle_deg == pytest.approx(-straight.angle_deg, abs=1e-3)
    assert mirrored.column == pytest.approx(95 - straight.column, abs=1e-3)


def test_a_volume_without_a_head_has_an_upright_line_in_the_middle():
    flair = np.zeros((4, 32, 48), np.uint8)
    assert find_midline(flair, np.zeros(flair.shape, bool)) == Midline(15.5, 23.5, 0.0)


def test_one_slice_is_enough():
    flair = flair_of(64, angle_deg=4.0)[12:13]
    assert midline_of(flair).angle_deg == pytest.approx(4.0, abs=0.5)


def test_the_angle_never_leaves_its_range():
    assert abs(midline_of(flair_of(64, angle_deg=30.0)).angle_deg) <= 14.0
