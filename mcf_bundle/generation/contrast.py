"""How a tumor stands out from the tissue around it: figures on one slice, in units of the brain's median."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mcf_bundle.data.volume import Channel
from mcf_bundle.generation.warp import pixel_factor

RING = (4.0, 14.0)
"""Distance from the tumor of the ring that it is compared with, pixels at 256 x 256."""

RIM = 3.0
"""Width of the rim on either side of the tumor's edge, pixels at 256 x 256."""

Limits = tuple[float, float]
"""Smallest and largest accepted figure."""


def _default_limits() -> dict[str, Limits]:
    return {
        "flair_contrast": (0.10, 1.20),
        "flair_rim": (0.10, 0.80),
        "pre_rim": (-0.30, 0.42),
        "post_rim": (-0.34, 0.48),
    }


@dataclass(frozen=True)
class ContrastLimits:
    """Range of each figure of `tumor_figures`; a figure without an entry is not limited.

    The defaults are about the 1st and 99th percentiles of real tumors in the LGG set. The floor of FLAIR's
    contrast refuses about 5 % of them, mostly cysts. T1 contrast is near 0 in a quarter: it has no limit.

    Attributes:
        ranges: from the figure's name to its limits, both inclusive.
    """

    ranges: dict[str, Limits] = field(default_factory=_default_limits)

    def broken(self, figures: dict[str, float]) -> tuple[str, ...]:
        """Name the figures that are outside their limits; nan is outside, a figure that is absent is not."""
        names = [name for name in self.ranges if name in figures]
        return tuple(n for n in names if not self.ranges[n][0] <= figures[n] <= self.ranges[n][1])


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
