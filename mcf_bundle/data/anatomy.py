"""Where head and brain are in a FLAIR volume, by thresholds and morphology, without learned weights."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mcf_bundle.data.raster import closed, depth, dilate, filled, heaviest_part, opened, resample_planes

WORKING_SIZE = 128
"""Longer side, in pixels, of the grid on which the masks are made; every radius below is in its pixels."""

VOLUME_FRACTION, SLICE_FRACTION = 0.20, 0.35
"""Head threshold as a fraction of the 97th percentile of the volume and of the slice; the smaller holds."""

SKULL_DEPTH = 0.08
"""Thickness of scalp and skull in radii of the slice's head."""

BRAIN_FRACTIONS = (0.55, 0.65, 0.75)
"""Brain threshold as a fraction of the deep median, raised while too much of the rim gets in."""

MAX_RIM_SHARE = 0.6
"""Share of the outer rim that may be brighter than the brain threshold."""

REFERENCE_CEILING = 1.1
"""Largest deep median of a slice, relative to the volume's median of them."""

ORBIT_BRIGHTNESS = 1.4
"""Least brightness of orbital fat relative to the deep median."""

MAX_GROWTH = 2.0
"""Pixels by which a slice's brain may reach beyond the next one's toward the middle of the head."""

MIN_OVERLAP = 0.5
"""Share of a part's area that must lie within that reach."""


def head_mask(flair: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Find the head, skin included, in every slice.

    Each slice is smoothed (Gaussian, 0.8 pixels of the working grid) and cut at the smaller of 0.20 x the
    97th percentile of the volume and 0.35 x that of the slice, but not below twice the noise of the corners;
    then opened (1), filled, reduced to its largest part, closed (5), filled and opened (4).

    Args:
        flair: (S, H, W), any real dtype, FLAIR of one patient in stored or normalized gray levels; the
            corners' median counts as background, whatever its value.

    Returns:
        (S, H, W), bool; empty in slices without a head, empty throughout for a constant or empty volume.
    """
    shape = np.asarray(flair).shape
    result = np.zeros(shape, bool)
    if not result.size:
        return result
    small = _working_planes(flair)
    small = ndimage.gaussian_filter(small, (0, 0.8, 0.8))
    corners = _corners(small)
    small = small - np.median(corners)
    noise = float(np.median(np.percentile(corners, 95, axis=1)) - np.median(corners))
    bright = float(np.percentile(small, 97))
    floor = max(2.0 * noise + 0.01 * float(small.max()), 1e-6)
    masks = np.zeros(small.shape, bool)
    for index, plane in enumerate(small):
        fraction = min(VOLUME_FRACTION * bright, SLICE_FRACTION * float(np.percentile(plane, 97)))
        mask = heaviest_part(filled(opened(plane > max(fraction, floor), 1.0)))
        mask = filled(closed(mask, 5.0))
        masks[index] = heaviest_part(opened(mask, 4.0))
    return _restored(masks, shape)


def brain_region(flair: NDArray[np.generic], head: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find the region of brain, ventricles and tumor in every slice.

    Inside the head and farther from its edge than 0.08 of its radius, tissue brighter than 0.55 of the median
    of the deep pixels is kept (0.65 or 0.75 where more than 0.6 of the outer rim is that bright) and opened
    (2). The slice whose heaviest part in depth weighs most is the anchor; from there, down and up, the parts
    that lie for the most part within the next region toward the anchor are kept: both temporal lobes and the
    cerebellum below, both hemispheres above, but neither face nor neck. Each slice is then closed (7) and
    filled. Below the anchor, what is over 1.4 times the deep median on both sides of the front third (lowest
    rows: the face looks up) counts as orbital fat and is left out.

    Args:
        flair: (S, H, W), as for `head_mask`.
        head: (S, H, W), bool, its result.

    Returns:
        (S, H, W), bool, inside the head; empty where the head is and in slices beyond the brain.
    """
    shape = np.asarray(flair).shape
    if not math.prod(shape) or not head.any():
        return np.zeros(shape, bool)
    small = _working_planes(flair)
    small = small - np.median(_corners(small))
    heads = resample_planes(head, small.shape[1:]) > 0.5
    depths = np.stack([np.minimum(depth(mask), _radius(mask)) for mask in heads])
    references = _references(small, heads, depths)
    tissues = [
        _tissue(plane, inside, _radius(head_plane), reference)
        for plane, inside, head_plane, reference in zip(small, depths, heads, references, strict=True)
    ]
    weights = [
        float(inside[heaviest_part(tissue, inside)].sum())
        for tissue, inside in zip(tissues, depths, strict=True)
    ]
    anchor = int(np.argmax(weights))
    masks = np.zeros_like(heads)
    for index in range(anchor):
        tissues[index] &= ~_orbits(small[index], heads[index], references[index])
    masks[anchor] = _solid(heaviest_part(tissues[anchor], depths[anchor]), depths[anchor], heads[anchor])
    for order in (range(anchor - 1, -1, -1), range(anchor + 1, len(masks))):
        above = masks[anchor]
        for index in order:
            parts = _parts_within(tissues[index], dilate(above, MAX_GROWTH))
            masks[index] = _solid(parts, depths[index], heads[index])
            above = masks[index]
    return _restored(masks, shape) & head


def _radius(mask: NDArray[np.bool_]) -> float:
    return math.sqrt(np.count_nonzero(mask) / math.pi)


def _references(
    small: NDArray[np.float32], heads: NDArray[np.bool_], depths: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Median of every slice's deep pixels, (S,), nan without any; a bright tumor lifts it only so far."""
    medians = np.full(len(small), math.nan)
    for index, (plane, head, inside) in enumerate(zip(small, heads, depths, strict=True)):
        deep = inside > 0.35 * max(_radius(head), 3.0)
        if deep.any():
            medians[index] = np.median(plane[deep])
    if np.isnan(medians).all():
        return medians
    return np.minimum(medians, REFERENCE_CEILING * np.nanmedian(medians))


def _tissue(
    plane: NDArray[np.float32], inside: NDArray[np.float64], radius: float, reference: float
) -> NDArray[np.bool_]:
    if math.isnan(reference):
        return np.zeros(plane.shape, bool)
    core = inside > SKULL_DEPTH * radius
    rim = core & (inside < 2.0 * SKULL_DEPTH * radius)
    for fraction in BRAIN_FRACTIONS:
        tissue = core & (plane > fraction * reference)
        if np.count_nonzero(tissue & rim) <= MAX_RIM_SHARE * np.count_nonzero(rim):
            break
    return opened(tissue, 2.0)


def _orbits(plane: NDArray[np.float32], head: NDArray[np.bool_], reference: float) -> NDArray[np.bool_]:
    """Find what is bright on both sides in the front third of a head whose face looks up: orbital fat."""
    rows, columns = np.nonzero(head)
    if math.isnan(reference) or not rows.size:
        return np.zeros(head.shape, bool)
    bright = head & (plane > ORBIT_BRIGHTNESS * reference)
    bright[round(rows.min() + (rows.max() - rows.min()) / 3) :] = False
    mirrored = np.zeros_like(bright)
    source = np.round(columns.min() + columns.max() - np.arange(head.shape[1])).astype(int)
    valid = (source >= 0) & (source < head.shape[1])
    mirrored[:, valid] = bright[:, source[valid]]
    return dilate(opened(bright & dilate(mirrored, 3.0), 1.0), 1.0)


def _parts_within(tissue: NDArray[np.bool_], limit: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the connected parts that lie mostly inside a limit, cut to the limit."""
    labels, count = ndimage.label(tissue)
    area = np.bincount(labels.ravel(), minlength=count + 1)
    shared = np.bincount(labels[limit], minlength=count + 1)
    kept = shared > MIN_OVERLAP * area
    kept[0] = False
    return kept[labels] & limit


def _solid(
    tissue: NDArray[np.bool_], inside: NDArray[np.float64], head: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Close sulci and ventricles without reaching the skull."""
    return filled(closed(tissue, 7.0)) & (inside > SKULL_DEPTH * _radius(head))


def _working_planes(flair: NDArray[np.generic]) -> NDArray[np.float32]:
    _, rows, columns = np.asarray(flair).shape
    scale = WORKING_SIZE / max(rows, columns)
    return resample_planes(flair, (max(round(rows * scale), 1), max(round(columns * scale), 1)))


def _corners(small: NDArray[np.float32]) -> NDArray[np.float32]:
    """Collect the four corners of every plane, (S, n), 1/16 of each side."""
    rows, columns = (max(side // 16, 1) for side in small.shape[1:])
    parts = [
        small[:, r, c]
        for r in (slice(0, rows), slice(-rows, None))
        for c in (slice(0, columns), slice(-columns, None))
    ]
    return np.concatenate([part.reshape(len(small), -1) for part in parts], axis=1)


def _restored(masks: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return resample_planes(masks, (shape[1], shape[2])) > 0.5
