"""Whether a slice shows the whole head in every channel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def frame_contact(head: NDArray[np.bool_]) -> float:
    """Measure the longest contact of a head with one side of the frame, relative to that side.

    Args:
        head: (H, W), bool.

    Returns:
        A share in [0, 1]; 0 for an empty mask.
    """
    return float(max(side.mean() for side in (head[0], head[-1], head[:, 0], head[:, -1])))


def black_share(image: NDArray[np.uint8], head: NDArray[np.bool_]) -> float:
    """Measure how much of a head is black in the channel in which most is.

    Args:
        image: (C, H, W), uint8, stored gray levels.
        head: (H, W), bool.

    Returns:
        The share of pixels with gray level 0, in [0, 1]; 1 for an empty head.
    """
    return float((image[:, head] == 0).mean(axis=1).max()) if head.any() else 1.0
