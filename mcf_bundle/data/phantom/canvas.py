"""Three-channel slice on which tissues are painted one over the other, with soft edges."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Tissue(IntEnum):
    """Row of a tissue in an intensity table and its number in a label map."""

    AIR = 0
    FAT = 1
    MUSCLE = 2
    BONE = 3
    MARROW = 4
    CSF = 5
    DURA = 6
    GRAY = 7
    WHITE = 8
    DEEP_GRAY = 9
    CEREBELLUM = 10
    MUCOSA = 11
    VITREOUS = 12
    VESSEL = 13
    SKIN = 14


# Pre-contrast, FLAIR, post-contrast; white matter is 1.
_TYPICAL = {
    Tissue.AIR: (0.02, 0.02, 0.02),
    Tissue.FAT: (2.30, 1.95, 2.20),
    Tissue.MUSCLE: (0.70, 0.62, 0.85),
    Tissue.BONE: (0.13, 0.12, 0.14),
    Tissue.MARROW: (0.85, 0.42, 0.90),
    Tissue.CSF: (0.24, 0.22, 0.26),
    Tissue.DURA: (0.40, 0.32, 0.75),
    Tissue.GRAY: (0.80, 1.12, 0.87),
    Tissue.WHITE: (1.00, 1.00, 1.00),
    Tissue.DEEP_GRAY: (0.88, 1.06, 0.92),
    Tissue.CEREBELLUM: (0.90, 1.04, 0.95),
    Tissue.MUCOSA: (0.75, 1.30, 1.70),
    Tissue.VITREOUS: (0.30, 0.20, 0.32),
    Tissue.VESSEL: (0.26, 0.20, 2.10),
    Tissue.SKIN: (1.10, 0.90, 1.20),
}


def draw_intensities(rng: np.random.Generator) -> Array:
    """Draw a scanner's contrast: (tissues, 3) float32; white matter is 1 and FLAIR fluid stays below 0.35."""
    table = np.array([_TYPICAL[tissue] for tissue in Tissue], np.float64)
    table[Tissue.FAT] *= rng.uniform(0.75, 1.2, 3)
    table[Tissue.GRAY] = 1 + (table[Tissue.GRAY] - 1) * rng.uniform(0.7, 1.25)
    table[Tissue.CSF] *= rng.uniform(0.8, 1.35, 3)
    table[Tissue.MARROW] *= rng.uniform(0.6, 1.2)
    return table.astype(np.float32)


def coverage(depth: Array, scale: float, softness: float = 1.0) -> Array:
    """Share of each pixel on the inner side of an edge.

    Args:
        depth: depth inside the shape in reference pixels.
        scale: pixels for each reference pixel.
        softness: width of the edge in pixels.

    Returns:
        Shape of ``depth``, float32, [0, 1].
    """
    return np.clip(0.5 + depth * np.float32(scale / softness), 0, 1)


def line_coverage(distance: Array, half_width: Array | float, scale: float) -> Array:
    """Share of each pixel covered by a line, right also for lines thinner than a pixel.

    Args:
        distance: distance to the middle of the line in reference pixels, not negative.
        half_width: half width of the line in reference pixels; at or below 0 nothing is covered.
        scale: pixels for each reference pixel.

    Returns:
        Shape of ``distance``, float32, [0, 1].
    """
    distance = distance * np.float32(scale)
    half_width = np.asarray(half_width, np.float32) * np.float32(scale)
    overlap = np.minimum(distance + 0.5, half_width) - np.maximum(distance - 0.5, -half_width)
    return np.clip(overlap, 0, 1)


class Canvas:
    """A slice being painted.

    Args:
        intensities: (tissues, 3) table.
        size: rows and columns.

    Attributes:
        channels: (3, H, W) float32, white matter about 1.
        labels: (H, W) uint8, the ``Tissue`` that fills most of each pixel.
    """

    def __init__(self, intensities: Array, size: int) -> None:
        self._intensities = intensities
        self.channels = np.empty((3, size, size), np.float32)
        self.channels[:] = intensities[Tissue.AIR][:, None, None]
        self.labels = np.zeros((size, size), np.uint8)

    def paint(self, tissue: Tissue, alpha: Array) -> None:
        """Cover the slice with a tissue; ``alpha`` (H, W) in [0, 1] says how densely."""
        for channel, value in zip(self.channels, self._intensities[tissue], strict=True):
            channel += alpha * (value - channel)
        self.labels[alpha > 0.5] = tissue
