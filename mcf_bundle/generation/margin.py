"""Grow a mask by a margin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.morphology import isotropic_dilation

from mcf_bundle.generation.warp import pixel_factor


def grow(mask: NDArray[np.bool_], margin: float, *, factor: float | None = None) -> NDArray[np.bool_]:
    """Return the pixels within a distance of the mask.

    Args:
        mask: (H, W), bool.
        margin: pixels at 256 x 256, inclusive.
        factor: pixels per pixel of a 256 x 256 image; by default from the shape, to be given for a part.

    Returns:
        (H, W), bool, a new array; empty for an empty mask.
    """
    factor = pixel_factor(mask.shape) if factor is None else factor
    # scipy's distance to nothing is no distance, so an empty mask goes its own way.
    return isotropic_dilation(mask, margin * factor) if mask.any() else mask.copy()
