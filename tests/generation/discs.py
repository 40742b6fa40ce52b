"""Disc brains with disc tumors, whose placement can be worked out by hand."""

from __future__ import annotations

import numpy as np

from mcf_bundle.data.case import Case
from mcf_bundle.data.midline import Midline
from mcf_bundle.data.normalization import IntensityScale
from mcf_bundle.data.volume import Volume

SLICES = 7
CENTER = 63.5


def disc(size, row, column, radius):
    rows, columns = np.mgrid[:size, :size]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def disc_case(
    patient,
    *,
    size=128,
    radius=40.0,
    center=(CENTER, CENTER),
    tumor=None,
    tumor_slices=(2, 3, 4),
    tissue=(100, 80, 120),
    lesion=(60, 160, 90),
    missing=(False, False, False),
    level_step=0.05,
    angle_deg=0.0,
):
    """Make a case of equal slices: a disc brain in a larger disc head, `tumor` = (row, column, radius)."""
    brain = disc(size, *center, radius)
    head = disc(size, *center, radius * 1.2)
    image = np.zeros((SLICES, 3, size, size), np.uint8)
    mask = np.zeros((SLICES, size, size), bool)
    for channel in range(3):
        image[:, channel, head] = 30
        image[:, channel, brain] = tissue[channel]
    if tumor is not None:
        spot = disc(size, *tumor)
        for index in tumor_slices:
            mask[index] = spot
            for channel in range(3):
                image[index, channel, spot] = lesion[channel]
    for channel in range(3):
        if missing[channel]:
            image[:, channel] = image[:, 1]
    return Case(
        volume=Volume(patient, "XX", tuple(range(1, SLICES + 1)), image, mask),
        scale=IntensityScale((0.0, 0.0, 0.0), (200.0, 200.0, 200.0)),
        missing=missing,
        head=np.repeat(head[None], SLICES, axis=0),
        brain=np.repeat(brain[None], SLICES, axis=0),
        level=0.5 + level_step * (np.arange(SLICES) - SLICES // 2),
        level_step=level_step,
        level_is_reliable=True,
        midline=Midline(center[0], center[1], angle_deg),
    )
