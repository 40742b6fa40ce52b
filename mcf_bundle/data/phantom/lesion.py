"""Tumor of a phantom: where it lies, its irregular shape and what it does to each channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mcf_bundle.data.phantom.anatomy import Bulge
from mcf_bundle.data.phantom.noise import smooth_noise

Array = NDArray[np.float32]

_MARGIN = 2.0
_LARGEST_SHARE = 0.38
_SMALLEST_PART = 0.2
_SMALLEST_AREA = 160


@dataclass(frozen=True)
class Lesion:
    """What distinguishes one patient's tumor.

    Attributes:
        center: (x, y) in head coordinates.
        level: level of the middle.
        area: area in the middle slice, reference pixels.
        half_slices: half extent in slices.
        crosses: whether it may pass the midline.
        roughness: weight of the irregularity against the distance from the middle.
        flair, pre: intensity over that of the tissue below it.
        enhancement: added after contrast where the tumor enhances, 0 for none.
        rim: whether the rim enhances rather than the core.
        core: radius of the part inside that enhances or is fluid, share of the tumor's radius.
        cyst: how much of the core is fluid, 0 for none.
    """

    center: tuple[float, float]
    level: float
    area: float
    half_slices: float
    crosses: bool
    roughness: float
    flair: float
    pre: float
    enhancement: float
    rim: bool
    core: float
    cyst: float


def draw_lesion(rng: np.random.Generator, slices: int) -> Lesion:
    """Draw a patient's tumor for a volume of ``slices`` slices.

    The level is drawn below or above the middle of the brain, never in it, so that the other half of the
    brain stays free over several slices.
    """
    level = rng.uniform(0.41, 0.52) if rng.random() < 0.45 else rng.uniform(0.70, 0.80)
    side = rng.choice([-1.0, 1.0])
    crosses = rng.random() < 0.2
    across = rng.uniform(0.10, 0.2) if crosses else rng.uniform(0.28, 0.42)
    if level < 0.6:
        along = rng.uniform(-0.22, 0.08)
        across = max(across, 0.34)
    else:
        along = rng.uniform(-0.42, 0.35)
    area = float(np.clip(np.exp(rng.normal(np.log(2300), 0.65)), 500, 6200))
    radius_slices = np.sqrt(area / np.pi) / 27 * 3.7 * slices / 24
    return Lesion(
        center=(side * across, along),
        level=level,
        area=area,
        half_slices=float(np.clip(radius_slices * rng.uniform(0.85, 1.15), 2.8, 0.155 * slices)),
        crosses=bool(crosses),
        roughness=rng.uniform(0.2, 0.36),
        flair=rng.uniform(1.35, 1.85),
        pre=rng.uniform(0.72, 0.88),
        enhancement=rng.uniform(0.5, 1.0) if rng.random() < 0.45 else 0.0,
        rim=bool(rng.random() < 0.5),
        core=rng.uniform(0.3, 0.55),
        cyst=rng.uniform(0.6, 1.0) if rng.random() < 0.3 else 0.0,
    )


def bulge_of(lesion: Lesion, half_length: float, slices: int) -> Bulge:
    """Give the mass effect of a tumor in a head of ``half_length`` reference pixels."""
    radius = float(np.sqrt(lesion.area / np.pi)) / half_length
    half_height = 1.3 * lesion.half_slices / slices
    return Bulge(lesion.center, lesion.level, radius, half_height, min(0.28, 0.9 * radius))


def lesion_offset(lesion: Lesion, x: Array, y: Array, levels: Array, half_length: float) -> Array:
    """Measure how far each pixel lies from the middle of a tumor.

    Args:
        lesion: the tumor.
        x: head coordinate across (S, H, W).
        y: head coordinate to the back (S, H, W).
        levels: level of each slice (S,), evenly spaced.
        half_length: half the head's length in reference pixels.

    Returns:
        Distance (S, H, W), float32, in radii of the tumor along each axis; 1 is about its edge.
    """
    radius = np.float32(np.sqrt(lesion.area / np.pi) / half_length)
    height = (levels - np.float32(lesion.level)) / np.float32((levels[1] - levels[0]) * lesion.half_slices)
    dx, dy = x - np.float32(lesion.center[0]), y - np.float32(lesion.center[1])
    return np.sqrt((dx * dx + dy * dy) / radius**2 + (height * height)[:, None, None])


def lesion_mask(
    lesion: Lesion,
    x: Array,
    offset: Array,
    levels: Array,
    room: Array,
    scale: float,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Grow the tumor into the tissue around its middle.

    Args:
        lesion: the tumor.
        x: head coordinate across (S, H, W).
        offset: distance from the tumor's middle in its radii, from ``lesion_offset`` (S, H, W).
        levels: level of each slice (S,).
        room: depth inside tissue that a tumor may take, (S, H, W), reference pixels.
        scale: pixels for each reference pixel.
        rng: source of the irregularity.

    Returns:
        Mask (S, H, W), one body, in a slice at most a few parts; never empty where there is room.
    """
    cell = 21 * scale
    shape = (x.shape[0], x.shape[1], x.shape[2])
    coarse = smooth_noise(rng, shape, (2.0, cell, cell))
    fine = smooth_noise(rng, shape, (1.2, cell / 3, cell / 3))
    rough = np.float32(lesion.roughness)
    field = 1 - offset + rough * (0.85 * coarse + 0.22 * fine)
    allowed = room > _MARGIN
    if not lesion.crosses:
        allowed &= x * np.float32(np.sign(lesion.center[0])) > 0.03
    allowed &= (np.abs(levels - lesion.level) < 1.05 * lesion.half_slices * (levels[1] - levels[0]))[
        :, None, None
    ]
    field = np.where(allowed, field, -np.inf)
    wanted = int(lesion.area * scale**2 * 2 * lesion.half_slices * 0.62)
    wanted = max(1, min(wanted, int(_LARGEST_SHARE * np.count_nonzero(allowed))))
    threshold = np.partition(field.ravel(), -wanted)[-wanted]
    body = _largest_part(field >= threshold)
    return _tidy(body, allowed, _SMALLEST_AREA * scale**2)


def _largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return parts == sizes.argmax()


def _tidy(body: NDArray[np.bool_], allowed: NDArray[np.bool_], smallest: float) -> NDArray[np.bool_]:
    """Close small gaps slice by slice and drop slices below ``smallest`` pixels, as a reader does."""
    tidy = np.zeros_like(body)
    for index in np.flatnonzero(body.any(axis=(1, 2))):
        closed = ndimage.binary_fill_holes(ndimage.binary_closing(body[index], iterations=2) | body[index])
        parts, _ = ndimage.label(closed & (allowed[index] | body[index]))
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        tidy[index] = (sizes > _SMALLEST_PART * sizes.max())[parts]
    areas = np.count_nonzero(tidy, axis=(1, 2))
    tidy[areas < min(smallest, areas.max())] = False
    return tidy


def paint_lesion(
    channels: Array,
    mask: NDArray[np.bool_],
    lesion: Lesion,
    offset: Array,
    grain: Array,
    scale: float,
) -> None:
    """Paint the tumor of one slice over its tissue.

    Args:
        channels: (3, H, W), float32, white matter about 1; changed in place.
        mask: tumor of the slice (H, W); without any pixel nothing happens.
        lesion: the tumor.
        offset: distance from the tumor's middle (H, W), in radii of the tumor; 1 is about its edge.
        grain: (3, H, W) smooth noise of unit variance, its texture.
        scale: pixels for each reference pixel.
    """
    if not mask.any():
        return
    depth = (ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)).astype(np.float32)
    depth = depth / np.float32(scale)
    alpha = np.clip(0.5 + (depth + 0.5 * grain[1]) / np.float32(5.5), 0, 1)
    alpha = alpha * alpha * (3 - 2 * alpha)
    deep = np.clip(depth / 12, 0, 1)
    coarse = ndimage.gaussian_filter(grain[0] + grain[1] + grain[2], 5 * scale)
    coarse *= np.float32(1 / (coarse.std() + 1e-6))
    core_depth = (lesion.core - offset) * np.float32(np.sqrt(lesion.area / np.pi)) + 1.6 * coarse
    texture = 1 + 0.045 * grain[0] + 0.07 * coarse
    swollen = (lesion.flair - 0.12 + 0.24 * deep) * texture
    pre = (lesion.pre + 0.04 - 0.08 * deep) * (1 - 0.03 * grain[0] - 0.03 * coarse)
    # Swelling closes sulci: fluid below the tumor counts as tissue, mostly.
    base = np.maximum(channels, np.float32(0.72))
    targets = [
        np.minimum(base[0], 1.0) * pre,
        np.minimum(base[1], 1.1) * swollen,
        np.minimum(base[2], 1.0) * (pre + 0.02),
    ]
    if lesion.cyst > 0:
        core = np.clip(0.5 + (core_depth + 3 * (1 - lesion.cyst)) / 5, 0, 1) * np.clip((depth - 3) / 4, 0, 1)
        core *= np.float32(lesion.cyst)
        for target, value in zip(targets, (0.45, 0.75, 0.48), strict=True):
            target += core * (value - target)
    if lesion.enhancement > 0:
        shell = 1 - np.abs(core_depth) / 3 if lesion.rim else 0.5 + core_depth / 5
        patchy = np.clip(0.6 + 0.35 * grain[0] + 0.35 * coarse, 0, 1) * np.clip((depth - 2) / 4, 0, 1)
        targets[2] += np.float32(lesion.enhancement) * np.clip(shell, 0, 1) * patchy
    for channel, target in zip(channels, targets, strict=True):
        channel += alpha * (target - channel)
