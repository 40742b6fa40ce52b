"""Tumors aligned by their centroids and compared over mirroring, rotation and scale.

A copy of a training tumor that is turned a little looks new where patches are laid over each other as they
are. So every training tumor is seen in 30 ways, and the best one counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.memorization import masked_correlation

PATCH_SIDE = 64
"""Pixels of a patch along each side."""

PATCH_EXTENT = 128
"""Side of the square around the centroid that a patch shows, pixels at 256 x 256."""

_REFERENCE_SIZE = 256
_SPLINE_MARGIN = 4


class View(NamedTuple):
    """A way to see a tumor: mirrored left to right, then turned and magnified about its centroid.

    Attributes:
        mirrored: whether left and right are exchanged.
        rotation_deg: rotation from rows towards columns, degrees.
        scale: magnification.
    """

    mirrored: bool = False
    rotation_deg: float = 0.0
    scale: float = 1.0

    def __str__(self) -> str:
        """Return the words of a table, such as 'mirrored, -10 deg, x 1.1'."""
        words = ["mirrored"] if self.mirrored else []
        return ", ".join([*words, f"{self.rotation_deg:+g} deg", f"x {self.scale:g}"])

    @property
    def source_matrix(self) -> NDArray[np.float64]:
        """Map from an offset in the view, (rows, columns), to the offset in the slice, (2, 2)."""
        angle = np.deg2rad(self.rotation_deg)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return np.diag([1.0, -1.0 if self.mirrored else 1.0]) @ turn.T / self.scale


AS_IT_IS = View()

VIEWS = tuple(View(*view) for view in product((False, True), (-10.0, -5.0, 0.0, 5.0, 10.0), (0.9, 1.0, 1.1)))
"""The ways in which training tumors are compared."""


@dataclass(frozen=True, eq=False)
class TumorWindows:
    """The surroundings of some tumors, ready to be seen in any view.

    Attributes:
        images: (N, C, S, S), float32, smoothed as the patches' coarser pixels need; 0 outside the slice.
        weights: (N, S, S), float32, [0, 1], the masks, likewise.
        centers: (N, 2), row and column of each centroid in its window.
        step: pixels of the slice per pixel of a patch.
        acquired: (N, C), bool, channels that are no copies of another.
    """

    images: NDArray[np.float32]
    weights: NDArray[np.float32]
    centers: NDArray[np.float32]
    step: float
    acquired: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: int) -> TumorWindows:
        """Return one of them, as windows again."""
        one = slice(index, index + 1)
        return TumorWindows(
            self.images[one], self.weights[one], self.centers[one], self.step, self.acquired[one]
        )

    def patches(self, view: View = AS_IT_IS) -> Patches:
        """Sample all windows in a view, by cubic interpolation, their masks by linear."""
        offsets = (np.arange(PATCH_SIDE) - (PATCH_SIDE - 1) / 2) * self.step
        grid = np.stack(np.meshgrid(offsets, offsets, indexing="ij"), axis=-1) @ view.source_matrix.T
        places = self.centers[:, None, None] + grid.astype(np.float32)
        # grid_sample wants (x, y), with the window's edges at -1 and 1.
        normalized = torch.from_numpy((2 * places[..., ::-1] + 1) / self.images.shape[-1] - 1)
        images, weights = torch.from_numpy(self.images), torch.from_numpy(self.weights)[:, None]
        sample = functional.grid_sample
        return Patches(
            sample(images, normalized, mode="bicubic", align_corners=False).numpy(),
            sample(weights, normalized, mode="bilinear", align_corners=False)[:, 0].numpy(),
            self.acquired,
        )


class Patches(NamedTuple):
    """Tumors seen in one view.

    Attributes:
        images: (N, C, 64, 64), float32, normalized, 0 = background.
        weights: (N, 64, 64), float32, [0, 1], how far each pixel lies in the mask.
        acquired: (N, C), bool, channels that are no copies of another.
    """

    images: NDArray[np.float32]
    weights: NDArray[np.float32]
    acquired: NDArray[np.bool_]


def join_patches(*parts: Patches) -> Patches:
    """Return the tumors of all parts, one part after the other."""
    return Patches(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def cut_windows(
    slices: Iterable[tuple[NDArray[np.float32], NDArray[np.bool_]]], acquired: Sequence[Sequence[bool]]
) -> TumorWindows:
    """Cut the surroundings of tumors out of their slices.

    Args:
        slices: image, (C, H, W), float32, normalized, 0 = background, and mask, (H, W), bool, not empty; all
            of one size.
        acquired: (N, C), for each slice the channels that are no copies of another.

    Raises:
        ArgumentError: there are none, or a mask is empty.
    """
    cut = [_cut(image, mask) for image, mask in slices]
    if not cut:
        raise ArgumentError("slices", "there are none", "give one or more with a tumor")
    images, weights, centers, steps = zip(*cut, strict=True)
    return TumorWindows(
        np.stack(images), np.stack(weights), np.stack(centers), steps[0], np.asarray(acquired, bool)
    )


def _cut(
    image: NDArray[np.float32], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], float]:
    """Return window, mask and centroid in it, and the step."""
    if not mask.any():
        raise ArgumentError("mask", "is empty, so there is no tumor to compare", "leave the slice out")
    step = PATCH_EXTENT / PATCH_SIDE * max(mask.shape) / _REFERENCE_SIZE
    # Half the diagonal of the patch as the smallest view magnifies it, so that no view reaches outside.
    half = int(np.ceil(PATCH_SIDE * step / 2**0.5 / min(view.scale for view in VIEWS))) + _SPLINE_MARGIN
    centroid = np.argwhere(mask).mean(axis=0)
    corner = np.floor(centroid).astype(int) - half
    sigma = max(0.0, (step - 1) / 2)
    planes = [_smooth(_window(plane, corner, 2 * half + 2), sigma) for plane in (*image, mask)]
    return np.stack(planes[:-1]), planes[-1], (centroid - corner).astype(np.float32), step


def _window(
    plane: NDArray[np.float32] | NDArray[np.bool_], corner: NDArray[np.int_], side: int
) -> NDArray[np.float32]:
    """Copy a square out of a plane, (H, W); 0 outside."""
    window = np.zeros((side, side), np.float32)
    low, high = np.maximum(corner, 0), np.minimum(corner + side, plane.shape)
    inside = tuple(slice(a, b) for a, b in zip(low - corner, high - corner, strict=True))
    window[inside] = plane[low[0] : high[0], low[1] : high[1]]
    return window


def _smooth(plane: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return ndimage.gaussian_filter(plane, sigma, mode="constant") if sigma else plane


def correlate_over_views(
    queries: Patches, gallery: TumorWindows, views: Sequence[View] = VIEWS
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Correlate tumors with each training tumor in each view, and keep the best view of each pair.

    Args:
        queries: N tumors, as they are.
        gallery: G training tumors.
        views: ways to see the training tumors.

    Returns:
        The highest correlation, (N, G), see `masked_correlation`, and the position of its view, (N, G).
    """
    best = np.full((len(queries.images), len(gallery)), -np.inf, np.float32)
    chosen = np.zeros(best.shape, np.intp)
    for number, view in enumerate(views):
        seen = gallery.patches(view)
        found = masked_correlation(
            queries.images,
            queries.weights,
            seen.images,
            acquired=queries.acquired,
            gallery_acquired=gallery.acquired,
        )
        better = found > best
        best[better], chosen[better] = found[better], number
    return best, chosen
