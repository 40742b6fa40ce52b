"""Alignment of a patient's stack of slices to a mean stack along the head's axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.data.raster import cropped, resample_planes

PLANE_SIZE = 24
"""Side of the planes of the template, in the head's frame."""

GRID = np.linspace(-0.3, 1.3, 97)
"""Levels of the template's planes."""

SCALE_LIMITS = (0.6, 1.4)
"""Stretch of a patient's stack about its middle, relative to what the head's extent says."""

SHIFT_LIMIT = 0.2
"""Largest shift of a patient's stack, in levels."""

TIE_BREAK = 1e-4
"""Correlation that a stretch or shift by 1 must gain: a stack without any landmark stays where it is."""


@dataclass(frozen=True, eq=False)
class HeadStack:
    """Planes of a patient, (S, 24 * 24), with the position of each slice in the head's extent, (S,)."""

    planes: NDArray[np.float64]
    position: NDArray[np.float64]


def levels_of(position: NDArray[np.float64], scale: float, shift: float) -> NDArray[np.float64]:
    """Turn positions (S,) in the head's extent into levels (S,), stretched about the middle and shifted."""
    return 0.5 + scale * (position - 0.5) + shift


def position_in_head(head: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Position of each slice in the extent of the head (slices with over a tenth of the largest area)."""
    count = len(head)
    area = head.sum(axis=(1, 2))
    present = np.flatnonzero(area > 0.1 * area.max()) if area.any() else np.arange(count)
    if not count:
        return np.zeros(0)
    return (np.arange(count) - present[0]) / max(int(present[-1] - present[0]), 1)


def head_stack(flair: NDArray[np.generic], head: NDArray[np.bool_]) -> HeadStack:
    """Resample a patient's slices to 24 x 24 in the box around the heads of the fuller slices."""
    gray = np.asarray(flair, np.float32)
    area = head.sum(axis=(1, 2))
    footprint = head[area >= 0.6 * area.max()].mean(axis=0) >= 0.5
    background = float(np.median(gray[~head])) if not head.all() else 0.0
    median = max(float(np.median(gray[head])) - background, 1e-6)
    value = np.clip((gray - background) / median, 0.0, 2.5) * head
    planes = resample_planes(cropped(value, *_box(footprint)), (PLANE_SIZE, PLANE_SIZE))
    return HeadStack(planes.reshape(len(planes), -1).astype(np.float64), position_in_head(head))


def _box(footprint: NDArray[np.bool_]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns of a footprint with a margin of a twentieth; the frame for an empty one."""
    sides = []
    for axis in (0, 1):
        inside = np.flatnonzero(footprint.any(axis=1 - axis))
        first, stop = (int(inside[0]), int(inside[-1]) + 1) if inside.size else (0, footprint.shape[axis])
        margin = round(0.05 * (stop - first))
        sides.append((first - margin, stop + margin))
    return sides[0], sides[1]


def align(
    stack: HeadStack, template: NDArray[np.float64], covered: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """Find stretch and shift of a stack with the largest correlation: (scale, shift, correlation)."""
    scores = _Scores(stack, template, covered)
    scale, shift = 1.0, 0.0
    reach = ((SCALE_LIMITS[1] - SCALE_LIMITS[0]) / 2, SHIFT_LIMIT)
    correlation = 0.0
    for count, shrink in ((21, 1.0), (9, 0.1), (9, 0.025)):
        scales = np.clip(scale + reach[0] * shrink * np.linspace(-1, 1, count), *SCALE_LIMITS)
        shifts = np.clip(shift + reach[1] * shrink * np.linspace(-1, 1, count), -SHIFT_LIMIT, SHIFT_LIMIT)
        pairs = np.stack(np.meshgrid(scales, shifts, indexing="ij"), axis=-1).reshape(-1, 2)
        values = scores(pairs)
        best = int(np.argmax(values - TIE_BREAK * (np.abs(pairs[:, 0] - 1.0) + np.abs(pairs[:, 1]))))
        (scale, shift), correlation = pairs[best].tolist(), float(values[best])
    return scale, shift, correlation


class _Scores:
    """Correlation of a stack with a template for many alignments at once.

    Planes between two of the template's levels are linear in both, so every sum that a correlation needs
    follows from inner products that are computed once.
    """

    def __init__(self, stack: HeadStack, template: NDArray[np.float64], covered: NDArray[np.bool_]) -> None:
        self.position, self.covered = stack.position, covered
        # Without BLAS: the same bits on any number of threads.
        self.cross = np.einsum("sp,tp->st", stack.planes, template)
        self.own_sum, self.own_square = stack.planes.sum(axis=1), (stack.planes**2).sum(axis=1)
        self.sum, self.square = template.sum(axis=1), (template**2).sum(axis=1)
        self.neighbor = (template[:-1] * template[1:]).sum(axis=1)
        self.size = template.shape[1]

    def __call__(self, pairs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Correlate for (n, 2) pairs of scale and shift: (n,), 0 where too little of the stack is covered."""
        level = 0.5 + pairs[:, :1] * (self.position - 0.5) + pairs[:, 1:]
        index = (level - GRID[0]) / (GRID[1] - GRID[0])
        low = np.clip(np.floor(index).astype(int), 0, len(GRID) - 2)
        f = np.clip(index - low, 0.0, 1.0)
        valid = (index >= 0) & (index <= len(GRID) - 1) & self.covered[low] & self.covered[low + 1]
        slices = np.arange(len(self.position))
        cross = (1 - f) * self.cross[slices, low] + f * self.cross[slices, low + 1]
        total = (1 - f) * self.sum[low] + f * self.sum[low + 1]
        square = (
            (1 - f) ** 2 * self.square[low]
            + f**2 * self.square[low + 1]
            + 2 * f * (1 - f) * self.neighbor[low]
        )
        n = np.maximum(valid.sum(axis=1), 1) * self.size
        mean, own_mean = (total * valid).sum(axis=1) / n, (self.own_sum * valid).sum(axis=1) / n
        covariance = (cross * valid).sum(axis=1) / n - mean * own_mean
        variance = (square * valid).sum(axis=1) / n - mean**2
        own_variance = (self.own_square * valid).sum(axis=1) / n - own_mean**2
        correlation = covariance / np.sqrt(np.maximum(variance * own_variance, 1e-12))
        return np.where(valid.sum(axis=1) >= 0.5 * len(self.position), correlation, 0.0)
