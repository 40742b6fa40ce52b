"""Depth inside simple planar shapes: positive inside, negative outside, in the units of the coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Point = tuple[float, float]


def ellipse_depth(x: Array, y: Array, center: Point, radii: Point, angle: float = 0.0) -> Array:
    """Approximate the depth inside an ellipse, exact on its rim.

    Args:
        x: column coordinates, any shape.
        y: row coordinates, same shape.
        center: (x, y) of the middle.
        radii: half axes along x and y before the turn; a radius at or below 0 gives a depth of -1 everywhere.
        angle: turn in radians, from x towards y.

    Returns:
        Depth, the shape of ``x``, float32.
    """
    if min(radii) <= 0:
        return np.full_like(x, -1.0)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    dx, dy = x - np.float32(center[0]), y - np.float32(center[1])
    u, v = (dx * cos + dy * sin) / np.float32(radii[0]), (dy * cos - dx * sin) / np.float32(radii[1])
    return (1 - np.sqrt(u * u + v * v)) * np.float32(min(radii))


def stroke_depth(x: Array, y: Array, points: Sequence[Point], radii: Sequence[float]) -> Array:
    """Give the depth inside a line of varying half width.

    Args:
        x: column coordinates, any shape.
        y: row coordinates, same shape.
        points: at least two (x, y), joined by straight segments.
        radii: half width at each point, same length as ``points``.

    Returns:
        Depth, the shape of ``x``, float32.
    """
    depth = np.full_like(x, -np.inf)
    joints = list(zip(points, radii, strict=True))
    for (start, r0), (end, r1) in pairwise(joints):
        sx, sy = np.float32(end[0] - start[0]), np.float32(end[1] - start[1])
        dx, dy = x - np.float32(start[0]), y - np.float32(start[1])
        along = np.clip((dx * sx + dy * sy) / (sx * sx + sy * sy), 0, 1)
        distance = np.hypot(dx - along * sx, dy - along * sy)
        depth = np.maximum(depth, np.float32(r0) + along * np.float32(r1 - r0) - distance)
    return depth


def blend_union(first: Array, second: Array, softness: float) -> Array:
    """Join two depths so that the seam is rounded over about ``softness``."""
    gap = np.clip(0.5 + (first - second) / np.float32(2 * softness), 0, 1)
    return second + (first - second) * gap + np.float32(softness) * gap * (1 - gap)


def level_window(level: float, center: float, half_height: float) -> float:
    """Give the relative radius (0 to 1) at a level of a body that is round along the head's axis."""
    return float(np.sqrt(max(0.0, 1 - ((level - center) / half_height) ** 2)))


def ramp(level: float, start: float, end: float) -> float:
    """Rise smoothly from 0 at ``start`` to 1 at ``end``; falls if ``end`` lies below ``start``."""
    t = min(1.0, max(0.0, (level - start) / (end - start)))
    return t * t * (3 - 2 * t)
