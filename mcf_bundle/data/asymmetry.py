"""How much brighter one side of the brain is than the other: a sign of a lesion that has no mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mcf_bundle.data.midline import Midline

SMOOTHING = 3.0
"""Gaussian that evens out sulci before the sides are compared, pixels at 256 x 256."""

RIM = 6
"""Width of the brain's rim that is left out, since heads are never quite symmetric, pixels at 256 x 256."""

PERCENTILE = 99.0


def flair_asymmetry(flair: NDArray[np.float32], brain: NDArray[np.bool_], midline: Midline) -> float:
    """Return how much FLAIR exceeds that of the mirrored place, in units of the brain's median.

    Args:
        flair: (H, W), float32, normalized, 0 = background.
        brain: (H, W), bool.
        midline: the mid-sagittal axis.

    Returns:
        The 99th percentile over the inner brain of both sides, 0 for a symmetric one; 0 without brain.
    """
    factor = max(flair.shape) / 256
    inner = ndimage.binary_erosion(brain, iterations=max(round(RIM * factor), 1))
    median = float(np.median(flair[brain])) if brain.any() else 0.0
    places = mirrored_places(flair.shape, midline)
    both = inner & (ndimage.map_coordinates(inner.astype(np.float32), places, order=0) > 0.5)
    if median <= 0 or not both.any():
        return 0.0
    smooth = ndimage.gaussian_filter(flair, SMOOTHING * factor)
    difference = smooth - ndimage.map_coordinates(smooth, places, order=1)
    return float(np.percentile(difference[both], PERCENTILE)) / median


def mirrored_places(shape: tuple[int, ...], midline: Midline) -> NDArray[np.float64]:
    """Return row and column of each pixel's mirror image at the midline, (2, H, W)."""
    angle = np.deg2rad(midline.angle_deg)
    across = np.array([-np.sin(angle), np.cos(angle)])
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    position = np.stack([rows - midline.row, columns - midline.column])
    distance = np.tensordot(across, position, 1)
    mirrored = position - 2 * across[:, None, None] * distance
    return mirrored + np.array([midline.row, midline.column])[:, None, None]
