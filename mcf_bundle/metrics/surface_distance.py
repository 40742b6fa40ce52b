"""Distances between the surfaces of two masks, and what is made of them: HD95, ASD, surface Dice.

Surfaces and distances are those of MONAI 1.6.1: a surface pixel is a mask pixel with a 4-neighbor (3D: a
6-neighbor) outside the mask or outside the image; distances are Euclidean, between pixel centers, and rounded
to float32 before percentile and mean, so that the numbers are MONAI's to the last bit. The one difference: an
axis of length 1 has no neighbors to compare with and is left out, so that a volume of depth 1 has the surface
of its slice, where MONAI takes every pixel of it for surface.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mcf_bundle.arguments import check_number
from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.masks import Mask, as_mask_pair, as_spacing, squeeze_axes


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distance of each surface pixel to the nearest one of the other mask, in the unit of the spacing.

    Attributes:
        from_prediction: (P,), float32, one of each surface pixel of the prediction.
        from_reference: (R,), float32, one of each surface pixel of the reference.
    """

    from_prediction: NDArray[np.float32]
    from_reference: NDArray[np.float32]


def surface_distances(
    prediction: Mask, reference: Mask, spacing: float | Sequence[float] | None = None
) -> SurfaceDistances:
    """Measure from each surface to the other.

    Args:
        prediction: (H, W) or (H, W, D), bool or 0 and 1; not empty.
        reference: the same shape; not empty.
        spacing: distance of neighboring pixels, one number or one for each axis; None is 1.

    Raises:
        ArgumentError: see `as_mask_pair` and `as_spacing`, or a mask is empty and has no distance.
    """
    pair = as_mask_pair(prediction, reference)
    steps = as_spacing(spacing, pair[0].ndim)
    masks, steps = squeeze_axes(pair, steps)
    points = [surface_indices(mask) * steps for mask in masks]
    for name, found in zip(("prediction", "reference"), points, strict=True):
        if not len(found):
            problem = "the mask is empty and has no surface"
            raise ArgumentError(name, problem, "use segmentation_scores, which has a policy for it")
    return SurfaceDistances(_nearest(points[0], points[1]), _nearest(points[1], points[0]))


def surface_indices(mask: Mask) -> NDArray[np.int64]:
    """Return the indices of the surface pixels of a mask, (N, axes); (0, axes) for an empty mask."""
    axes = range(mask.ndim)
    occupied = [
        np.flatnonzero(mask.any(axis=tuple(other for other in axes if other != axis))) for axis in axes
    ]
    if not len(occupied[0]):
        return np.zeros((0, mask.ndim), np.int64)
    start = np.array([positions[0] for positions in occupied])
    # One pixel of nothing around the box stands for the outside of mask and image alike.
    box = np.pad(mask[tuple(slice(positions[0], positions[-1] + 1) for positions in occupied)], 1)
    core = (slice(1, -1),) * mask.ndim
    inner = box[core].copy()
    for axis in axes:
        for side in (slice(None, -2), slice(2, None)):
            inner &= box[(*core[:axis], side, *core[axis + 1 :])]
    return np.argwhere(box[core] & ~inner) + start


def hd95(distances: SurfaceDistances) -> float:
    """Return the 95 % Hausdorff distance: the larger of the two directed 95th percentiles."""
    directed = (distances.from_prediction, distances.from_reference)
    return max(torch.quantile(torch.from_numpy(values), 0.95).item() for values in directed)


def asd(distances: SurfaceDistances) -> float:
    """Return the average symmetric surface distance: the mean over the pixels of both surfaces together.

    This is MONAI's `compute_average_surface_distance(symmetric=True)`: the larger surface counts for more.
    """
    return _mean(np.concatenate([distances.from_prediction, distances.from_reference]))


def paper_asd(distances: SurfaceDistances) -> float:
    """Return the paper's ASD (Eq. 11): the sum of the two directed means, about twice `asd`."""
    return _mean(distances.from_prediction) + _mean(distances.from_reference)


def surface_dice(distances: SurfaceDistances, tolerance: float) -> float:
    """Return the share of both surfaces' pixels that lie within `tolerance` of the other surface.

    Args:
        distances: see `surface_distances`.
        tolerance: largest distance that counts as agreement, in the unit of the spacing, 0 or more.

    Raises:
        ArgumentError: the tolerance is negative or not finite.
    """
    check_number("tolerance", tolerance, least=0)
    both = np.concatenate([distances.from_prediction, distances.from_reference])
    return float((both <= tolerance).mean())


def percent_of_head_length(distance_pixels: float, head_length_pixels: float) -> float:
    """Return a distance in pixels as percent of the head's length, for images without known spacing.

    Args:
        distance_pixels: the distance, pixels.
        head_length_pixels: from forehead to back of the head in the same grid, pixels, above 0.

    Raises:
        ArgumentError: the head's length is not finite and above 0.
    """
    check_number("head_length_pixels", head_length_pixels, above=0)
    return 100.0 * distance_pixels / head_length_pixels


def _nearest(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float32]:
    # A tree that is asked once is not worth balancing.
    tree = cKDTree(others, leafsize=32, balanced_tree=False, compact_nodes=False)
    return np.asarray(tree.query(points)[0], np.float32)


def _mean(values: NDArray[np.float32]) -> float:
    return torch.from_numpy(values).mean().item()
