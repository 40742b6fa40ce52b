"""Horizontal and vertical intensity profiles of images, and how far two sets' profiles lie apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.arguments import check_whole
from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.feature_arrays import Counts, as_counts
from mcf_bundle.metrics.image_arrays import Images, as_images

AXES = {"horizontal": 2, "vertical": 3}
"""The axis that a profile is averaged over: a horizontal one runs along x and averages the rows."""


def intensity_profiles(images: Images, direction: str, *, line: int | None = None) -> NDArray[np.float64]:
    """Return the intensity along one direction of each image (the paper's Figures 8 and 9).

    Args:
        images: (N, C, H, W), [0, 1]; what lies outside is clipped, as it is when an image is stored.
        direction: "horizontal" (from left to right) or "vertical" (from top to bottom).
        line: the row (horizontal) or column (vertical) to follow; None averages over all of them.

    Returns:
        (N, C, W) if horizontal, (N, C, H) if vertical; in [0, 1].

    Raises:
        ArgumentError: see `as_images`, there is no such direction, or no such line.
    """
    if direction not in AXES:
        raise ArgumentError("direction", f"{direction!r} does not exist", f"choose one of {', '.join(AXES)}")
    axis = AXES[direction]
    array = as_images("images", images, low=0, high=1)
    if line is None:
        return np.asarray(array.mean(axis, dtype=np.float64))
    check_whole("line", line)
    if line >= array.shape[axis]:
        problem = f"expected 0 to {array.shape[axis] - 1}, got {line}"
        raise ArgumentError("line", problem, "choose a line inside the images")
    return np.asarray(array.take(line, axis), np.float64)


def mean_profile(profiles: NDArray[np.float64], counts: Counts | None = None) -> NDArray[np.float64]:
    """Return the mean profile, (N, C, L) -> (C, L), each image counted `counts` times; nan for none."""
    weights = as_counts(counts, len(profiles))
    if not weights.sum():
        return np.full(profiles.shape[1:], np.nan)
    return np.tensordot(weights, profiles, 1) / weights.sum()


def profile_distance(
    profiles: NDArray[np.float64],
    reference: NDArray[np.float64],
    *,
    counts: Counts | None = None,
    reference_counts: Counts | None = None,
) -> float:
    """Return the mean absolute difference of two sets' mean profiles, over channels and positions.

    It sees what the sets have in common at a place, head size and brightness above all. Two sets can have the
    same mean profile and share no image.

    Args:
        profiles: (N, C, L), of `intensity_profiles`.
        reference: (M, C, L), of the real images, in the same direction.
        counts: (N,), how often each image counts; None is once.
        reference_counts: (M,), likewise.

    Returns:
        In units of the intensity, [0, 1]; nan if no image counts.

    Raises:
        ArgumentError: channels or lengths differ.
    """
    if profiles.shape[1:] != reference.shape[1:]:
        problem = f"expected channels and length {profiles.shape[1:]}, got {reference.shape[1:]}"
        raise ArgumentError("reference", problem, "take both in one direction, from images of one size")
    difference = mean_profile(profiles, counts) - mean_profile(reference, reference_counts)
    return float(np.abs(difference).mean())
