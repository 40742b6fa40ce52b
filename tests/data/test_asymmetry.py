from __future__ import annotations

import numpy as np
import pytest

from mcf_bundle.data.asymmetry import flair_asymmetry, mirrored_places
from mcf_bundle.data.midline import Midline

MIDLINE = Midline(row=63.5, column=63.5, angle_deg=0.0)


def head() -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:128, :128]
    brain = (rows - 63.5) ** 2 + (columns - 63.5) ** 2 < 45**2
    return np.where(brain, 0.5, 0.0).astype(np.float32), brain


def test_a_symmetric_brain_has_no_asymmetry() -> None:
    flair, brain = head()
    assert flair_asymmetry(flair, brain, MIDLINE) == pytest.approx(0, abs=1e-4)


def test_a_lesion_on_one_side_counts_in_units_of_the_median_and_on_both_sides_does_not() -> None:
    flair, brain = head()
    flair[50:74, 75:99] = 0.75
    assert flair_asymmetry(flair, brain, MIDLINE) == pytest.approx(0.5, abs=0.02)
    flair[50:74, 29:53] = 0.75
    assert flair_asymmetry(flair, brain, MIDLINE) == pytest.approx(0, abs=0.02)


def test_mirroring_twice_gives_the_place_back_at_any_angle() -> None:
    midline = Midline(row=30.0, column=33.0, angle_deg=11.0)
    places = mirrored_places((64, 64), midline)
    assert np.allclose(places[:, 30, 33], (30.0, 33.0))
    upright = mirrored_places((64, 64), Midline(row=30.0, column=33.0, angle_deg=0.0))
    assert np.allclose(upright[:, 10, 40], (10.0, 26.0))


def test_no_brain_has_no_asymmetry() -> None:
    flair, brain = head()
    assert flair_asymmetry(flair, np.zeros_like(brain), MIDLINE) == 0.0
