"""The mid-sagittal axis of a head, in the plane of its slices."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mcf_bundle.data.raster import cropped, resample_planes

MAX_ANGLE_DEG = 14.0
"""Largest tilt of the head that is looked for."""

PLANE_SIZE = 96
"""Side of the square grid on which the mirror correlation is computed."""

BLUR = 2.0
"""Gaussian blur of that grid, in its steps: turning a plane by interpolation then blurs it no further."""

MAX_PLANES = 12
"""Number of slices, evenly spaced in the fuller half of the head, that vote."""


@dataclass(frozen=True)
class Midline:
    """A line in pixel coordinates (row, column), one a patient.

    Attributes:
        row: row of the head's center, pixels.
        column: column of the head's center on the line, pixels.
        angle_deg: rotation of the line from the vertical, degrees, positive towards larger columns below the
            center.
    """

    row: float
    column: float
    angle_deg: float


def find_midline(flair: NDArray[np.generic], head: NDArray[np.bool_]) -> Midline:
    """Find the axis about which the head's FLAIR slices look most like their mirror images.

    Up to twelve slices with a large head are cut to the head and divided by their median. For each angle the
    planes are turned about the center of the heads, and the correlation of every plane with its mirror image
    is computed at all columns at once; angles are tried in steps of 2 degrees, then of 0.5, and a parabola
    through the best three gives the fraction; likewise for the column.

    Args:
        flair: (S, H, W), any real dtype, FLAIR of one patient in stored or normalized gray levels.
        head: (S, H, W), bool, see `head_mask`.

    Returns:
        The axis, with an angle in [-14, 14] degrees; the image's center and angle 0 where no slice has a
        head.
    """
    _, rows, columns = head.shape
    chosen = _full_slices(head)
    if not chosen.size:
        return Midline((rows - 1) / 2, (columns - 1) / 2, 0.0)
    planes, (row, column), pixels_per_step = _centered_planes(flair[chosen], head[chosen])
    coarse = np.arange(-MAX_ANGLE_DEG, MAX_ANGLE_DEG + 0.1, 2.0)
    best = float(coarse[np.argmax([_mirror_score(planes, angle)[0] for angle in coarse])])
    fine = np.arange(best - 2.0, best + 2.1, 0.5)
    fine = fine[np.abs(fine) <= MAX_ANGLE_DEG]
    scores = np.array([_mirror_score(planes, angle)[0] for angle in fine])
    angle = float(fine[0] + 0.5 * _parabola_peak(scores))
    shift = _mirror_score(planes, angle)[1] * pixels_per_step
    radians = math.radians(angle)
    # The offset was found in the upright planes: in the image it points across the line.
    return Midline(row - shift * math.sin(radians), column + shift * math.cos(radians), angle)


def _full_slices(head: NDArray[np.bool_]) -> NDArray[np.int_]:
    """Choose slices with over 0.6 of the largest head area, at most MAX_PLANES, evenly spaced."""
    area = head.sum(axis=(1, 2))
    if not area.any():
        return np.zeros(0, int)
    full = np.flatnonzero(area > 0.6 * area.max())
    return full[np.unique(np.linspace(0, len(full) - 1, min(MAX_PLANES, len(full))).round().astype(int))]


def _centered_planes(
    flair: NDArray[np.generic], head: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], tuple[float, float], float]:
    """Cut a square that holds the heads: (n, 96, 96), its center in pixels, and pixels per step."""
    where = np.argwhere(head.any(axis=0))
    row, column = np.argwhere(head)[:, 1:].mean(axis=0).round().astype(int).tolist()
    reach = math.ceil(float(np.linalg.norm(where - (row, column), axis=1).max())) + 1
    level = np.asarray(flair, np.float32)
    level = level if head.all() else level - np.median(level[~head])
    medians = np.array(
        [max(float(np.median(plane[mask])), 1e-6) for plane, mask in zip(level, head, strict=True)]
    )
    value = np.clip(level / medians[:, None, None], 0.0, 2.0) * head
    side = 2 * reach + 1
    square = cropped(
        value.astype(np.float32), (row - reach, row + reach + 1), (column - reach, column + reach + 1)
    )
    planes = ndimage.gaussian_filter(resample_planes(square, (PLANE_SIZE, PLANE_SIZE)), (0, BLUR, BLUR))
    return planes, (float(row), float(column)), side / PLANE_SIZE


def _mirror_score(planes: NDArray[np.float32], angle_deg: float) -> tuple[float, float]:
    """Correlate the planes, turned upright, with their mirror images: best value and its column offset."""
    radians = math.radians(angle_deg)
    turn = np.array([[math.cos(radians), -math.sin(radians)], [math.sin(radians), math.cos(radians)]])
    middle = np.full(2, (PLANE_SIZE - 1) / 2)
    total = np.zeros(2 * PLANE_SIZE)
    for plane in planes:
        upright = ndimage.affine_transform(plane, turn, offset=middle - turn @ middle, order=1)
        spectrum = np.fft.rfft(upright, 2 * PLANE_SIZE, axis=1)
        energy = float((upright**2).sum())
        # Convolving a row with itself correlates it with its mirror image about every half column.
        total += np.fft.irfft((spectrum**2).sum(axis=0), 2 * PLANE_SIZE) / max(energy, 1e-12)
    window = np.arange(PLANE_SIZE // 2, 3 * PLANE_SIZE // 2)
    values = total[window] / len(planes)
    best = _parabola_peak(values)
    return float(values.max()), (window[0] + best - (PLANE_SIZE - 1)) / 2


def _parabola_peak(values: NDArray[np.float64]) -> float:
    """Position of the maximum, between samples where it has a neighbor on both sides."""
    best = int(np.argmax(values))
    if not 0 < best < len(values) - 1:
        return float(best)
    below, peak, above = values[best - 1 : best + 2]
    curvature = below - 2.0 * peak + above
    return float(best + 0.5 * (below - above) / curvature) if curvature < 0 else float(best)
