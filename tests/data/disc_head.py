"""Heads of discs whose geometry is known by construction: scalp ring, dark skull ring, brain disc."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.data.volume import Volume

SCALP, SKULL, BRAIN, NUCLEUS, TUMOR = 220.0, 15.0, 100.0, 40.0, 180.0


def plane(
    size: int,
    radius: float,
    *,
    center: tuple[float, float] = (0.0, 0.0),
    angle_deg: float = 0.0,
    nucleus: float = 0.0,
) -> NDArray[np.float64]:
    """One slice: an ellipse 1.25 times as long as wide, turned, with two dark nuclei in its front half."""
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    row, column = np.meshgrid(axis - center[0], axis - center[1], indexing="ij")
    turn = np.radians(angle_deg)
    along = row * np.cos(turn) + column * np.sin(turn)
    across = -row * np.sin(turn) + column * np.cos(turn)
    distance = np.hypot(along / 1.1, across / 0.88)
    image = np.where(distance < radius, SCALP, 0.0)
    image[distance < 0.93 * radius] = SKULL
    image[distance < 0.85 * radius] = BRAIN
    for side in (-1, 1):
        near = np.hypot(along + 0.3 * radius, across - side * 0.25 * radius) < nucleus * radius
        image[near] = NUCLEUS
    return image


def flair_of(
    size: int = 64,
    *,
    count: int = 24,
    empty: int = 2,
    start: float = 0.0,
    stop: float = 1.0,
    center: tuple[float, float] = (0.0, 0.0),
    angle_deg: float = 0.0,
) -> NDArray[np.uint8]:
    """Slices at even levels from start to stop: largest at 0.5, nuclei about 0.6, empty ones on top."""
    slices = []
    for level in np.linspace(start, stop, count):
        radius = 0.8 * np.sqrt(max(1.0 - (1.6 * (level - 0.5)) ** 2, 0.05))
        nucleus = max(0.28 - 2.0 * abs(level - 0.6), 0.0)
        slices.append(plane(size, radius, center=center, angle_deg=angle_deg, nucleus=nucleus))
    slices += [np.zeros((size, size))] * empty
    return np.stack(slices).astype(np.uint8)


def volume_of(patient: str, flair: NDArray[np.uint8], tumor: tuple[int, ...] = (), radius: int = 5) -> Volume:
    """A patient with bright discs of tumor in some slices; the other channels are darker copies of FLAIR."""
    flair = flair.copy()
    count, rows, columns = flair.shape
    row, column = np.ogrid[:rows, :columns]
    mask = np.zeros(flair.shape, bool)
    for index in tumor:
        mask[index] = (row - rows // 2) ** 2 + (column - columns // 2 - 8) ** 2 <= radius**2
    flair[mask] = int(TUMOR)
    half = (flair // 2 + 1).astype(np.uint8) * (flair > 0)
    image = np.stack([half, flair, half], axis=1).astype(np.uint8)
    return Volume(patient, "CS", tuple(range(1, count + 1)), image, mask)
