"""Where a donor's tumor may go in a host: fit the map between two heads, accept or reject the place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mcf_bundle.data.case import Case
from mcf_bundle.data.midline import Midline
from mcf_bundle.data.volume import Channel
from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.placement_rules import PlacementRules, Rejection
from mcf_bundle.generation.variation import NO_VARIATION, Bend, Variation
from mcf_bundle.generation.warp import Transform, pixel_factor, tumor_window, warp_mask

_EDGE_PERCENTILE = 3.0


def fit_transform(
    host: Case,
    host_index: int,
    donor: Case,
    donor_index: int,
    *,
    mirrored: bool,
    rules: PlacementRules,
    variation: Variation = NO_VARIATION,
) -> Transform | Rejection:
    """Fit the map that lays a donor slice over a host slice.

    The midlines become parallel, and the two brains' ends meet, along the midline and across it.
    The donor's neighbors are the slices nearest to the donor's level plus and minus the host's step, so that
    the tumor changes from slice to slice as fast as the host's anatomy.

    Args:
        host: the patient who gets the tumor.
        host_index: middle slice of the host's triplet, with a neighbor on both sides.
        donor: the patient whose tumor it is.
        donor_index: the donor's slice for the middle.
        mirrored: whether to flip the donor left to right.
        rules: thresholds; brain, fluid and midline are `accept_placement`'s.
        variation: a change on top, about the tumor's center; not counted in the scale rule.

    Returns:
        The transform, or the rejection: 'patient' (the same one), 'missing' (not the same channels),
        'level', 'empty' (no tumor or no brain in a slice) or 'scale'.

    Raises:
        ArgumentError: if the host slice has no neighbor on one side, or the donor index is not in the volume.
    """
    check_host_index(host, host_index)
    _check_donor_index(donor, donor_index)
    refusal = _refuse_pair(host, host_index, donor, donor_index, rules)
    if refusal:
        return refusal
    matrix, scales = _match_brains(
        host.brain[host_index], host.midline, donor.brain[donor_index], donor.midline, mirrored=mirrored
    )
    for scale in scales:
        if not rules.scale_range[0] <= scale <= rules.scale_range[1]:
            return Rejection("scale", scale)
    bend = None
    if variation != NO_VARIATION:
        factor = pixel_factor(host.volume.mask.shape)
        matrix, center = _vary(matrix, donor.volume.mask[donor_index], variation, factor)
        bend = Bend(center, variation.bend) if variation.bend else None
    first, second = matrix.tolist()
    return Transform(
        affine=((first[0], first[1], first[2]), (second[0], second[1], second[2])),
        donor_indices=_donor_triplet(donor, donor_index, host.level_step),
        mirrored=mirrored,
        scales=scales,
        variation=variation,
        bend=bend,
    )


def accept_placement(
    host: Case, host_index: int, donor: Case, transform: Transform, *, rules: PlacementRules
) -> Rejection | None:
    """Decide whether the tumor lies where a tumor can lie.

    All rules hold for the middle slice; the neighbors only have to be mostly in the brain.

    Args:
        host: the patient who gets the tumor.
        host_index: middle slice of the host's triplet.
        donor: the patient whose tumor it is.
        transform: from `fit_transform` for the same pair.
        rules: thresholds.

    Returns:
        None if accepted, else the rejection: 'outside' (not in the frame), 'brain', 'neighbor', 'midline',
        'csf', 'bright' or 'skull'.
    """
    shape = host.volume.mask.shape[1:]
    window = tumor_window(donor, transform, (shape[0], shape[1]))
    if window is None:
        return Rejection("outside")
    masks = [
        None if index is None else warp_mask(donor.volume.mask[index], transform, window)
        for index in transform.donor_indices
    ]
    middle = masks[1]
    if middle is None or not middle.any():
        return Rejection("outside")
    for mask, offset in ((middle, 0), (masks[0], -1), (masks[2], 1)):
        least = rules.neighbor_brain_share if offset else rules.brain_share
        if mask is not None and mask.any():
            share = float(host.brain[host_index + offset][window][mask].mean())
            if share < least:
                return Rejection("neighbor" if offset else "brain", share)
    points = np.argwhere(middle) + np.array([window[0].start, window[1].start])
    source = np.argwhere(donor.volume.mask[transform.donor_indices[1]])
    change = abs(_share_across(points, host.midline) - _share_across(source, donor.midline))
    if change > rules.midline_tolerance:
        return Rejection("midline", change)
    return _refuse_tissue(host, host_index, points, rules)


def channel_median(case: Case, index: int, channel: Channel) -> float:
    """Median of the brain's normalized intensity in a slice; nan where the slice has no brain."""
    brain = case.brain[index]
    if not brain.any():
        return float("nan")
    gray = float(np.median(case.volume.image[index, channel][brain]))
    return (gray - case.scale.background[channel]) / case.scale.span[channel]


def _refuse_tissue(
    host: Case, index: int, points: NDArray[np.int_], rules: PlacementRules
) -> Rejection | None:
    """Name what is wrong with the host's tissue at some pixels, (N, 2), or None."""
    image = host.normalized([index])[0][:, points[:, 0], points[:, 1]]
    flair = image[Channel.FLAIR] / channel_median(host, index, Channel.FLAIR)
    pre = image[Channel.PRE] / channel_median(host, index, Channel.PRE)
    dark = float(((flair < rules.csf_level) | (pre < rules.csf_level_pre)).mean())
    if dark > rules.csf_share:
        return Rejection("csf", dark)
    bright = float((flair > rules.bright_level).mean())
    if bright > rules.bright_share:
        return Rejection("bright", bright)
    head = host.head[index]
    depth = _depth(head, points) / max(np.sqrt(np.count_nonzero(head) / np.pi), 1.0)
    outermost = float(np.percentile(depth, 2))
    return Rejection("skull", outermost) if outermost < rules.skull_depth else None


def _depth(head: NDArray[np.bool_], points: NDArray[np.int_]) -> NDArray[np.float64]:
    """Distance of some pixels, (N, 2), from the edge of the head, 0 outside; the frame's edge counts."""
    # Every second pixel will do for a skull of ten, at a quarter of the time.
    stride = max(round(2 * pixel_factor(head.shape)), 1)
    depth = ndimage.distance_transform_edt(np.pad(head[::stride, ::stride], 1))[1:-1, 1:-1]
    return stride * depth[points[:, 0] // stride, points[:, 1] // stride]


def check_host_index(host: Case, index: int) -> None:
    """Raise ArgumentError unless the slice has a neighbor on both sides."""
    last = len(host.volume.mask) - 2
    if not 1 <= index <= last:
        raise ArgumentError(
            "host_index",
            f"expected a slice with two neighbors, 1 to {last}, got {index}",
            "choose hosts by the pool's rules",
        )


def _check_donor_index(donor: Case, donor_index: int) -> None:
    if not 0 <= donor_index < len(donor.volume.mask):
        raise ArgumentError(
            "donor_index",
            f"expected 0 to {len(donor.volume.mask) - 1}, got {donor_index}",
            "choose donors by the pool's rules",
        )


def _refuse_pair(
    host: Case, host_index: int, donor: Case, donor_index: int, rules: PlacementRules
) -> Rejection | None:
    """Name what rules the pair out before any geometry, or None."""
    if host.patient == donor.patient:
        return Rejection("patient")
    if host.missing != donor.missing:
        return Rejection("missing")
    distance = abs(float(host.level[host_index] - donor.level[donor_index]))
    if distance > rules.level_tolerance:
        return Rejection("level", distance)
    needed = (donor.volume.mask[donor_index], donor.brain[donor_index], host.brain[host_index])
    return None if all(plane.any() for plane in needed) else Rejection("empty")


def _match_brains(
    host_brain: NDArray[np.bool_],
    host_midline: Midline,
    donor_brain: NDArray[np.bool_],
    donor_midline: Midline,
    *,
    mirrored: bool,
) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Map from host to donor pixels, (2, 3), under which ends and widths of the brains agree; its scales."""
    host_axes, donor_axes = _axes(host_midline), _axes(donor_midline)
    host_center, host_size = _brain_extent(host_brain, host_midline)
    donor_center, donor_size = _brain_extent(donor_brain, donor_midline)
    scales = donor_size / np.maximum(host_size, 1.0)
    flip = np.array([1.0, -1.0 if mirrored else 1.0])
    linear = donor_axes.T @ np.diag(scales * flip) @ host_axes
    offset = donor_axes.T @ (donor_center - scales * flip * host_center)
    offset += _center(donor_midline) - linear @ _center(host_midline)
    return np.column_stack([linear, offset]), (float(scales[0]), float(scales[1]))


def _axes(midline: Midline) -> NDArray[np.float64]:
    """Unit vectors along and across the midline, (2, 2), rows of (row, column)."""
    angle = np.deg2rad(midline.angle_deg)
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _center(midline: Midline) -> NDArray[np.float64]:
    return np.array([midline.row, midline.column])


def _brain_extent(
    brain: NDArray[np.bool_], midline: Midline
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middle and the length of the brain, each (2,), along and across the midline, pixels.

    Percentiles in place of extremes: a thread of meninges in the brain region would move an extreme. Across,
    the middle is the brain's, not the midline: heads lean, and a patient has one midline for all slices.
    """
    position = (np.argwhere(brain) - _center(midline)) @ _axes(midline).T
    low, high = np.percentile(position, [_EDGE_PERCENTILE, 100 - _EDGE_PERCENTILE], axis=0)
    return (low + high) / 2, high - low


def _donor_triplet(donor: Case, index: int, step: float) -> tuple[int | None, int, int | None]:
    """Donor slices one host step below and above; None without tumor or beyond the ends of the stack."""
    neighbors: list[int | None] = []
    for direction in (-1, 1):
        wanted = float(donor.level[index]) + direction * step
        nearest = int(np.abs(donor.level - wanted).argmin())
        is_near = abs(float(donor.level[nearest]) - wanted) <= donor.level_step / 2 * 1.01
        neighbors.append(nearest if is_near and donor.volume.mask[nearest].any() else None)
    return neighbors[0], index, neighbors[1]


def _vary(
    matrix: NDArray[np.float64], mask: NDArray[np.bool_], variation: Variation, factor: float
) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Rotate, magnify and shift the placed tumor about its center: host pixels first take the way back.

    Returns:
        The map from host to donor pixels, (2, 3), and where the tumor's center has come to lie in the host.
    """
    linear = matrix[:, :2]
    center = np.linalg.solve(linear, np.argwhere(mask).mean(axis=0) - matrix[:, 2])
    angle = np.deg2rad(variation.rotation_deg)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    back = turn / variation.scale
    moved = center + factor * np.asarray(variation.shift)
    varied = np.column_stack([linear @ back, matrix[:, 2] + linear @ (center - back @ moved)])
    return varied, (float(moved[0]), float(moved[1]))


def _share_across(points: NDArray[np.int_], midline: Midline) -> float:
    """Share of the points, (N, 2), on the side of the midline that has fewer of them."""
    right = float(((points - _center(midline)) @ _axes(midline)[1] > 0).mean())
    return min(right, 1 - right)
