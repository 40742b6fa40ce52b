"""How a tumor stands out from the tissue around it: figures on one slice, in units of the brain's median."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mcf_bundle.arguments import check_fields, check_range
from mcf_bundle.data.volume import Channel
from mcf_bundle.generation.warp import pixel_factor

RING = (4.0, 14.0)
"""Distance from the tumor of the ring that it is compared with, pixels at 256 x 256."""

RIM = 3.0
"""Width of the rim on either side of the tumor's edge, pixels at 256 x 256."""

Limits = tuple[float | None, float | None]
"""Smallest and largest accepted figure; None where a side is free."""

check_limits = partial(check_range, free_sides=True)
"""Refuse what are no limits, see `check_range`."""


def to_interval(limits: Limits) -> tuple[float, float]:
    """Return limits with -inf and inf for their free sides."""
    low, high = limits
    return -np.inf if low is None else low, np.inf if high is None else high


def broken_limits(ranges: Mapping[str, tuple[float, float]], figures: Mapping[str, float]) -> tuple[str, ...]:
    """Name the figures outside their inclusive range; nan is outside, a figure that is absent is not."""
    return tuple(
        name for name, (low, high) in ranges.items() if name in figures and not low <= figures[name] <= high
    )


@dataclass(frozen=True)
class ContrastLimits:
    """Limits of each figure of `tumor_figures`, both inclusive; None where the figure is not limited.

    The defaults are about the 1st and 99th percentiles of real tumors in the LGG set. The floor of FLAIR's
    contrast refuses about 5 % of them, mostly cysts. T1 contrast is near 0 in a quarter: it has no limit.

    Attributes:
        flair_contrast: limits of the FLAIR contrast to the ring.
        flair_rim: limits of the FLAIR step at the edge.
        pre_rim: limits of the pre-contrast step at the edge.
        post_rim: limits of the post-contrast step at the edge.

    Raises:
        ArgumentError: a field is neither None nor a pair of limits.
    """

    flair_contrast: Limits | None = (0.10, 1.20)
    flair_rim: Limits | None = (0.10, 0.80)
    pre_rim: Limits | None = (-0.30, 0.42)
    post_rim: Limits | None = (-0.34, 0.48)

    def __post_init__(self) -> None:
        check_fields(self, {name: check_limits for name, limits in vars(self).items() if limits is not None})

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Limits of the figures that have any."""
        return {name: to_interval(limits) for name, limits in vars(self).items() if limits is not None}

    def broken(self, figures: Mapping[str, float]) -> tuple[str, ...]:
        """Name the figures that are outside their limits, see `broken_limits`."""
        return broken_limits(self.ranges, figures)


def contrast_to_ring(image: NDArray[np.float32], mask: NDArray[np.bool_], brain: NDArray[np.bool_]) -> float:
    """Mean of the tumor minus mean of the ring around it, over the median of the brain without the tumor.

    The ring is the brain 4 to 14 pixels from the tumor (at 256 x 256, scaled to the image's size).

    Args:
        image: (H, W), float32, one channel, normalized, 0 = background.
        mask: (H, W), bool, the tumor.
        brain: (H, W), bool.

    Returns:
        The contrast; nan if the mask, the ring or the rest of the brain is empty or the median not positive.
    """
    distance = _distance(mask, RING[1])
    low, high = (edge * pixel_factor(mask.shape) for edge in RING)
    ring = brain & (distance >= low) & (distance <= max(high, low + 1))
    return _difference(image, mask, ring, brain & ~mask)


def rim_step(image: NDArray[np.float32], mask: NDArray[np.bool_], brain: NDArray[np.bool_]) -> float:
    """Mean just inside the tumor's edge minus mean just outside, over the median of the brain without it.

    Either rim is 3 pixels wide (at 256 x 256, scaled to the image's size, at least 1); the outer one is cut
    to the brain.

    Args:
        image: (H, W), float32, one channel, normalized, 0 = background.
        mask: (H, W), bool, the tumor.
        brain: (H, W), bool.

    Returns:
        The step; nan if the mask, the outer rim or the rest of the brain is empty or the median not positive.
    """
    width = max(RIM * pixel_factor(mask.shape), 1.0)
    distance = _distance(mask, RIM)
    return _difference(
        image,
        mask & (distance >= -width),
        brain & ~mask & (distance <= width),
        brain & ~mask,
    )


def tumor_figures(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_],
    brain: NDArray[np.bool_],
    *,
    missing: tuple[bool, ...] = (False, False, False),
) -> dict[str, float]:
    """Measure one slice's tumor.

    Args:
        image: (3, H, W), float32, normalized, 0 = background, ordered as `Channel`.
        mask: (H, W), bool.
        brain: (H, W), bool.
        missing: channels that are copies of FLAIR; they get no figure.

    Returns:
        'flair_contrast', 'flair_rim', 'pre_rim', 'post_rim' (see `contrast_to_ring`, `rim_step`), nan where
        undefined.
    """
    figures = {"flair_contrast": contrast_to_ring(image[Channel.FLAIR], mask, brain)}
    for channel in (Channel.FLAIR, Channel.PRE, Channel.POST):
        if channel is Channel.FLAIR or not missing[channel]:
            figures[f"{channel.name.lower()}_rim"] = rim_step(image[channel], mask, brain)
    return figures


def _distance(mask: NDArray[np.bool_], reach: float) -> NDArray[np.float64]:
    """Signed distance to the mask's edge, (H, W), pixels: positive outside, negative inside, never 0.

    Beyond twice `reach` (pixels at 256 x 256) it is infinite, and for an empty mask everywhere.
    """
    distance = np.full(mask.shape, np.inf)
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    if not len(rows):
        return distance
    margin = int(np.ceil(2 * reach * pixel_factor(mask.shape))) + 2
    window = (
        slice(max(rows[0] - margin, 0), rows[-1] + margin + 1),
        slice(max(columns[0] - margin, 0), columns[-1] + margin + 1),
    )
    part = mask[window]
    outside = ndimage.distance_transform_edt(~part)
    inside = np.inf if part.all() else ndimage.distance_transform_edt(part)
    distance[window] = np.where(part, -inside, outside)
    return distance


def _difference(
    image: NDArray[np.float32],
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    tissue: NDArray[np.bool_],
) -> float:
    """Mean over `first` minus mean over `second`, in units of the median over `tissue`."""
    if not (first.any() and second.any() and tissue.any()):
        return float("nan")
    unit = float(np.median(image[tissue]))
    if unit <= 0:
        return float("nan")
    return (float(image[first].mean()) - float(image[second].mean())) / unit
