"""Plane-wise morphology and resampling of stacks of slices."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage


def resample_planes(stack: NDArray[np.generic], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Resample every plane to another shape, bilinear, low-passed where it shrinks.

    Args:
        stack: (S, H, W), any real dtype or bool.
        shape: rows and columns of the result.

    Returns:
        (S, *shape), float32, in the units of the input; pixel areas are matched, not pixel centers.
    """
    planes = torch.from_numpy(np.ascontiguousarray(stack, dtype=np.float32))[:, None]
    if tuple(planes.shape[-2:]) == shape or not len(planes):
        return np.zeros((len(planes), *shape), np.float32) if not len(planes) else planes[:, 0].numpy()
    resampled = torch.nn.functional.interpolate(planes, size=shape, mode="bilinear", antialias=True)
    return resampled[:, 0].numpy()


def cropped(
    stack: NDArray[np.float32], rows: tuple[int, int], columns: tuple[int, int]
) -> NDArray[np.float32]:
    """Cut a box out of every plane, zero where it reaches beyond the frame.

    Args:
        stack: (S, H, W), float32.
        rows: first row and the row after the last, either may lie outside the frame.
        columns: likewise.

    Returns:
        (S, rows[1] - rows[0], columns[1] - columns[0]), float32.
    """
    (top, bottom), (left, right) = rows, columns
    result = np.zeros((len(stack), bottom - top, right - left), np.float32)
    inside = stack[:, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    row, column = max(-top, 0), max(-left, 0)
    result[:, row : row + inside.shape[1], column : column + inside.shape[2]] = inside
    return result


def depth(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Measure how far each pixel of a plane lies inside a mask.

    Args:
        mask: (H, W), bool.

    Returns:
        (H, W), float64, pixels to the nearest pixel outside, 0 outside; infinite where nothing is outside.
        The image's frame is not an edge: a head that is cut by the frame is deep there.
    """
    if mask.all():
        return np.full(mask.shape, np.inf)
    return ndimage.distance_transform_edt(mask)


def dilate(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Grow a plane's mask (H, W) by a disc of some pixels; an empty mask stays empty."""
    result = np.zeros_like(mask)
    window = _window(mask, math.ceil(radius))
    result[window] = depth(~mask[window]) <= radius
    return result


def erode(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Shrink a plane's mask (H, W) by a disc of some pixels; the frame does not eat into it."""
    result = np.zeros_like(mask)
    window = _window(mask, 1)
    result[window] = depth(mask[window]) > radius
    return result


def _window(mask: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """Find the part of a plane that holds a mask and a margin around it: less to compute, same result."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return slice(0), slice(0)
    return (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + margin + 1),
        slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + margin + 1),
    )


def opened(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Remove what is narrower than a disc: `erode`, then `dilate`."""
    return dilate(erode(mask, radius), radius)


def closed(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Bridge gaps that are narrower than a disc: `dilate`, then `erode`, as if the frame were far away."""
    margin = math.ceil(radius) + 1
    return erode(dilate(np.pad(mask, margin), radius), radius)[margin:-margin, margin:-margin]


def filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill what a plane's mask (H, W) encloses; a bay that is open to the frame stays open."""
    labels, count = ndimage.label(~mask)
    if not count:
        return mask
    outside = np.zeros(count + 1, bool)
    for border in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        outside[border] = True
    outside[0] = False
    return ~outside[labels]


def heaviest_part(mask: NDArray[np.bool_], weight: NDArray[np.generic] | None = None) -> NDArray[np.bool_]:
    """Keep the connected part of a plane's mask (4-neighbors) with the largest area or weight.

    Args:
        mask: (H, W), bool.
        weight: (H, W), what each pixel counts; 1 if None.

    Returns:
        (H, W), bool; empty where the mask is empty, the first part in reading order among equals.
    """
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    flat_weight = None if weight is None else weight.ravel()
    totals = np.bincount(labels.ravel(), weights=flat_weight, minlength=count + 1)
    totals[0] = -np.inf if weight is not None else -1
    return labels == int(totals.argmax())
