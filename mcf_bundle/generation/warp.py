"""The map that carries a donor's tumor into a host's frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mcf_bundle.data.case import Case
from mcf_bundle.generation.variation import Bend, Variation

REFERENCE_SIZE = 256
"""Image size, in pixels, that every pixel distance of placement is stated for."""

SHARP_MARGIN = 8.0
"""How far around the tumor a donor's intensities are resampled by cubic splines, pixels at 256 x 256."""

_SPLINE_MARGIN = 12

Window = tuple[slice, slice]
"""Rows and columns of a part of an image."""


def pixel_factor(shape: tuple[int, ...]) -> float:
    """Return pixels of an image of this shape (..., H, W) per pixel of a 256 x 256 image."""
    return max(shape[-2:]) / REFERENCE_SIZE


@dataclass(frozen=True)
class Transform:
    """How a donor's triplet is laid over a host's.

    Attributes:
        affine: 2 x 3, maps (row, column, 1) in the host's frame to (row, column) in the donor's, pixels.
        bend: how the outline is changed in the host's frame, before `affine` maps it; None = not at all.
        donor_indices: donor slice for the host's previous, middle and next slice; None where the donor has
            no tumor at that level.
        mirrored: whether the donor is flipped left to right.
        scales: donor pixels per host pixel along and across the midline, before the variation.
        variation: what was drawn: `affine` and `bend` hold its geometry already, its contrast is `compose`'s.
    """

    affine: tuple[tuple[float, float, float], tuple[float, float, float]]
    donor_indices: tuple[int | None, int, int | None]
    mirrored: bool = False
    scales: tuple[float, float] = (1.0, 1.0)
    variation: Variation = field(default_factory=Variation)
    bend: Bend | None = None

    def to_donor(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map points (..., 2) of the host's frame, rows and columns in pixels, to the donor's."""
        points = points if self.bend is None else self.bend.undo(points)
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]

    def to_host(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map points (..., 2) of the donor's frame to the host's."""
        placed: NDArray[np.float64] = (points - self.matrix[:, 2]) @ np.linalg.inv(self.matrix[:, :2]).T
        return placed if self.bend is None else self.bend.apply(placed)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The affine map as (2, 3), float64."""
        return np.asarray(self.affine, np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers that survive JSON unchanged; `bend` only where there is one."""
        fields: dict[str, Any] = {
            "affine": [list(row) for row in self.affine],
            "donor_indices": list(self.donor_indices),
            "mirrored": self.mirrored,
            "scales": list(self.scales),
            "variation": self.variation.to_dict(),
        }
        return fields if self.bend is None else {**fields, "bend": self.bend.to_dict()}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Transform:
        """Rebuild a transform from `to_dict`; KeyError or ValueError where a part is missing."""
        first, second = (tuple(float(value) for value in row) for row in fields["affine"])
        before, middle, after = fields["donor_indices"]
        along, across = fields["scales"]
        bend = fields.get("bend")
        return cls(
            affine=((first[0], first[1], first[2]), (second[0], second[1], second[2])),
            donor_indices=(before, int(middle), after),
            mirrored=bool(fields["mirrored"]),
            scales=(float(along), float(across)),
            variation=Variation.from_dict(fields["variation"]),
            bend=None if bend is None else Bend.from_dict(bend),
        )


class WarpedDonor(NamedTuple):
    """A donor's triplet in the host's frame; the slice axis is previous, middle, next.

    Where the donor has no tumor at a level, its slice is zero and False throughout.

    Attributes:
        image: (3, 3, h, w), float32, the donor's normalized intensities, 0 = background.
        mask: (3, h, w), bool.
        brain: (3, h, w), bool, the donor's brain.
    """

    image: NDArray[np.float32]
    mask: NDArray[np.bool_]
    brain: NDArray[np.bool_]


def warp_donor(
    donor: Case, transform: Transform, shape: tuple[int, int], *, window: Window | None = None
) -> WarpedDonor:
    """Resample a donor's triplet into the host's frame: intensities by cubic, masks by linear interpolation.

    Cubic because linear interpolation smooths the texture of the tumor, which gives composites away. Tissue
    farther than `SHARP_MARGIN` from it only lends its mean, and is resampled linearly, which is faster.

    Args:
        donor: the patient whose tumor is carried over.
        transform: from `fit_transform`, for this host and donor.
        shape: (H, W) of the host's slices.
        window: part of the host's frame to compute, bounds within the frame; the whole frame by default.

    Returns:
        Three slices of the window's size (h, w).
    """
    window = window or (slice(0, shape[0]), slice(0, shape[1]))
    size = (window[0].stop - window[0].start, window[1].stop - window[1].start)
    margin = SHARP_MARGIN * pixel_factor(shape)
    sharp = _overlap(window, tumor_window(donor, transform, shape, margin=margin))
    channels = donor.volume.image.shape[1]
    image = np.zeros((3, channels, *size), np.float32)
    mask, brain = np.zeros((3, *size), bool), np.zeros((3, *size), bool)
    for position, index in enumerate(transform.donor_indices):
        if index is None:
            continue
        mask[position] = warp_mask(donor.volume.mask[index], transform, window)
        brain[position] = warp_mask(donor.brain[index], transform, window)
        image[position] = _warp_image(donor, index, transform, window, order=1)
        if sharp is not None:
            inside = tuple(
                slice(s.start - w.start, s.stop - w.start) for s, w in zip(sharp, window, strict=True)
            )
            image[position][(..., *inside)] = _warp_image(donor, index, transform, sharp, order=3)
    return WarpedDonor(image, mask, brain)


def warp_mask(mask: NDArray[np.bool_], transform: Transform, window: Window) -> NDArray[np.bool_]:
    """Resample one of the donor's masks (H, W), bool, into a window of the host's: linear, cut at 1/2."""
    grid = _Grid.of(transform, window, mask.shape)
    return grid.sample(mask[grid.source].astype(np.float32), order=1) >= 0.5


def tumor_window(
    donor: Case, transform: Transform, shape: tuple[int, int], *, margin: float = 0.0
) -> Window | None:
    """Find the box around the donor's tumor in the host's frame.

    Args:
        donor: the patient whose tumor is carried over.
        transform: from `fit_transform`.
        shape: (H, W) of the host's slices.
        margin: pixels added on every side.

    Returns:
        Rows and columns, cut to the frame, around the tumor in all slices that the transform names; None if
        there is no tumor or it lies outside the frame.
    """
    used = [index for index in transform.donor_indices if index is not None]
    points = np.argwhere(donor.volume.mask[used].any(axis=0))
    if not len(points):
        return None
    placed = transform.to_host(points.astype(np.float64))
    low = np.maximum(np.floor(placed.min(axis=0) - 1 - margin), 0).astype(int)
    high = np.minimum(np.ceil(placed.max(axis=0) + 2 + margin), shape).astype(int)
    if (high <= low).any():
        return None
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))


def _warp_image(
    donor: Case, index: int, transform: Transform, window: Window, *, order: int
) -> NDArray[np.float32]:
    """Resample one of the donor's slices, normalized, into a window of the host's: (C, h, w), float32."""
    image = donor.volume.image[index]
    grid = _Grid.of(transform, window, image.shape[1:])
    part = donor.scale.normalize(image[(slice(None), *grid.source)])
    return np.stack([grid.sample(plane, order=order) for plane in part])


def _overlap(window: Window, other: Window | None) -> Window | None:
    """Intersect two windows; None where nothing is left."""
    if other is None:
        return None
    rows, columns = (
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(window, other, strict=True)
    )
    return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None


class _Grid(NamedTuple):
    """Where the pixels of a window of the host's lie in the donor's frame.

    Attributes:
        source: the part of the donor's frame that they are interpolated from.
        linear: (2, 2), from steps in the host's frame to steps in the donor's.
        offset: (2,), the window's first pixel in the source part.
        size: (h, w) of the window.
        bent: (2, h, w), rows and columns of all pixels in the source part where the map is not linear.
    """

    source: Window
    linear: NDArray[np.float64]
    offset: NDArray[np.float64]
    size: tuple[int, int]
    bent: NDArray[np.float64] | None

    @classmethod
    def of(cls, transform: Transform, window: Window, shape: tuple[int, ...]) -> _Grid:
        rows, columns = window
        size = (rows.stop - rows.start, columns.stop - columns.start)
        linear = transform.matrix[:, :2]
        offset = transform.matrix[:, 2] + linear @ (rows.start, columns.start)
        points = offset + np.array([[0, 0], [0, size[1]], [size[0], 0], size], float) @ linear.T
        if transform.bend is not None:
            pixels = np.moveaxis(np.asarray(np.mgrid[window], np.float64), 0, -1)
            points = transform.to_donor(pixels).reshape(-1, 2)
        low = np.clip(np.floor(points.min(axis=0)).astype(int) - _SPLINE_MARGIN, 0, np.array(shape) - 1)
        high = np.clip(np.ceil(points.max(axis=0)).astype(int) + _SPLINE_MARGIN, low + 1, shape)
        source = (slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])))
        bent = None if transform.bend is None else (points - low).T.reshape(2, *size)
        return cls(source, linear, offset - low, size, bent)

    def sample(self, part: NDArray[np.float32], *, order: int) -> NDArray[np.float32]:
        """Interpolate the source part (h', w') of a slice at the window's pixels: (h, w), 0 outside."""
        if self.bent is not None:
            bent: NDArray[np.float32] = ndimage.map_coordinates(
                part, self.bent, output=np.float32, order=order
            )
            return bent
        return ndimage.affine_transform(
            part, self.linear, self.offset, output_shape=self.size, output=np.float32, order=order
        )
