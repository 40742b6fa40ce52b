"""Depth inside the parts of a phantom brain.

Every function takes a patient's measures, the head coordinates x (to the right) and y (to the back) of a
slice's pixels in units of half the head's length, both (H, W) float32, and the level of the slice, 0 to 1.
It returns the depth in reference pixels, (H, W) float32, negative outside; where a level lacks the part the
depth is negative throughout.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.data.phantom.head import Head
from mcf_bundle.data.phantom.shapes import blend_union, ellipse_depth, level_window, ramp, stroke_depth

Array = NDArray[np.float32]

_OUTSIDE = np.float32(-99.0)
_HORN = [(0.03, -0.07), (0.045, -0.18), (0.09, -0.28), (0.16, -0.34)]
_BODY = [
    (0.17, -0.35),
    (0.11, -0.26),
    (0.078, -0.12),
    (0.075, 0.02),
    (0.095, 0.12),
    (0.15, 0.22),
    (0.21, 0.3),
]
_ATRIUM = [(0.09, 0.12), (0.14, 0.18), (0.21, 0.26), (0.26, 0.34), (0.265, 0.45)]


def cerebrum_depth(head: Head, x: Array, y: Array, inner: Array, level: float) -> Array:
    """Depth inside the cerebrum; toward the base its lobes come apart."""
    if level >= 0.54:
        return inner
    half = np.float32(head.length / 2)
    wide = head.aspect / 0.8
    mirrored = np.abs(x)
    lobes = [
        # (x, y), radii, level, half height: temporal, frontal base, occipital, middle.
        ((0.43 * wide, 0.0), (0.31 * wide, 0.44), 0.43, 0.21),
        ((0.22 * wide, -0.42), (0.38 * wide, 0.52), 0.55, 0.17),
        ((0.31 * wide, 0.40), (0.50 * wide, 0.56), 0.58, 0.25),
        ((0.0, 0.0), (0.62 * wide, 0.66), 0.60, 0.19),
    ]
    depth = np.full_like(x, _OUTSIDE)
    for center, (rx, ry), middle, height in lobes:
        grow = level_window(min(level, middle), middle, height)
        lobe = ellipse_depth(mirrored, y, center, (rx * grow, ry * grow)) * half
        depth = blend_union(depth, lobe, 3.0)
    return np.minimum(depth, inner)


def cerebellum_depth(head: Head, x: Array, y: Array, inner: Array, level: float) -> Array:
    """Depth inside the cerebellum."""
    half = np.float32(head.length / 2)
    grow = level_window(level, 0.27, 0.19)
    # Towards the top only the vermis is left, between the occipital lobes.
    rx = 0.60 * head.aspect / 0.8 * grow * (1 - 0.5 * ramp(level, 0.33, 0.46))
    lobes = ellipse_depth(np.abs(x), y, (0.40 * rx, 0.45), (0.60 * rx, 0.36 * grow)) * half
    vermis = ellipse_depth(x, y, (0, 0.47), (0.5 * rx, 0.31 * grow)) * half
    return np.minimum(blend_union(lobes, vermis, 5.0), inner - np.float32(2.0))


def stem_depth(head: Head, x: Array, y: Array, level: float) -> Array:
    """Depth inside medulla, pons or midbrain."""
    half = np.float32(head.length / 2)
    if level > 0.50:
        return np.full_like(x, _OUTSIDE)
    pons = level_window(level, 0.30, 0.10)
    rx = 0.085 + 0.085 * pons + 0.06 * ramp(level, 0.36, 0.44)
    ry = 0.075 + 0.065 * pons + 0.03 * ramp(level, 0.36, 0.44)
    return ellipse_depth(x, y, (0, 0.16 - 0.08 * ramp(level, 0.15, 0.3)), (rx, ry)) * half


def ventricles_depth(head: Head, x: Array, y: Array, level: float) -> Array:
    """Depth inside the four ventricles."""
    left, right = head.ventricle_sides
    side = np.where(x < 0, np.float32(left), np.float32(right))
    mirrored = np.abs(x)
    paths = [
        # points, half widths, level, half height: frontal horn, body, atrium, temporal horn.
        (_HORN, [0.016, 0.038, 0.045, 0.022], 0.575, 0.085),
        (_BODY, [0.018, 0.036, 0.038, 0.032, 0.034, 0.04, 0.022], 0.665, 0.07),
        (_ATRIUM, [0.014, 0.036, 0.052, 0.04, 0.012], 0.575, 0.085),
        ([(0.36, -0.10), (0.37, 0.0), (0.34, 0.12)], [0.012, 0.022, 0.015], 0.43, 0.06),
    ]
    depth = np.full_like(x, _OUTSIDE)
    for points, radii, middle, height in paths:
        grow = level_window(level, middle, height)
        if grow > 0:
            shrink = head.ventricle * grow
            depth = np.maximum(depth, stroke_depth(mirrored, y, points, [r * shrink for r in radii]))
    depth = depth + (side - np.float32(1)) * np.float32(0.03)
    third = level_window(level, 0.53, 0.075) * head.ventricle
    fourth = level_window(level, 0.29, 0.085) * head.ventricle
    if third > 0:
        walls = [0.012 * third, 0.02 * third]
        depth = np.maximum(depth, stroke_depth(x, y, [(0, -0.05), (0, 0.15)], walls))
    if fourth > 0:
        roof = [(0, 0.24), (0, 0.31)]
        depth = np.maximum(depth, stroke_depth(x, y, roof, [0.06 * fourth, 0.03 * fourth]))
    return depth * np.float32(head.length / 2)


def cisterns_depth(head: Head, x: Array, y: Array, level: float) -> Array:
    """Depth inside the fluid around the midbrain and above the sella."""
    mirrored = np.abs(x)
    base, ring = level_window(level, 0.43, 0.07), level_window(level, 0.43, 0.065)
    depth = np.full_like(x, -1.0)
    if base > 0:
        star = [(0.0, -0.17), (0.05, -0.08), (0.16, -0.10), (0.26, -0.16)]
        depth = stroke_depth(mirrored, y, star, [0.026 * base, 0.04 * base, 0.016 * base, 0.008 * base])
    if ring > 0:
        arc = [(0.10, -0.07), (0.20, 0.02), (0.19, 0.14), (0.09, 0.22), (0.0, 0.24)]
        walls = [r * ring for r in (0.014, 0.008, 0.012, 0.016, 0.034)]
        depth = np.maximum(depth, stroke_depth(mirrored, y, arc, walls))
    return depth * np.float32(head.length / 2)


def deep_gray_depth(head: Head, x: Array, y: Array, level: float) -> Array:
    """Depth inside thalamus, putamen and head of the caudate."""
    grow = level_window(level, 0.555, 0.1)
    if grow <= 0:
        return np.full_like(x, _OUTSIDE)
    mirrored = np.abs(x)
    nuclei = [
        # Thalamus, putamen, head of the caudate.
        ((0.115, 0.06), (0.085, 0.15), 0.35),
        ((0.29, -0.10), (0.055, 0.17), -0.22),
        ((0.155, -0.22), (0.05, 0.10), 0.30),
    ]
    depth = np.full_like(x, -1.0)
    for center, (rx, ry), angle in nuclei:
        depth = np.maximum(depth, ellipse_depth(mirrored, y, center, (rx * grow, ry * grow), angle))
    return depth * np.float32(head.length / 2)
