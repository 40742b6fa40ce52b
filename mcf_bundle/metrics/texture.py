"""How rough a tumor's tissue and its edge are, beside the tissue around it: figures on one slice.

A tumor that was warped by interpolation is too smooth, and one that was painted has another edge than one
that grew. Both are invisible at a glance and plain in these figures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mcf_bundle.arguments import check_number
from mcf_bundle.data.volume import Channel
from mcf_bundle.errors import ArgumentError

SIGMA = 1.5
"""Width of the Gaussian that is taken off, in the image's own pixels: what is left is its finest detail."""

EDGE = 2.0
"""Half width of the band along the edge, in the image's own pixels; what lies deeper is the tumor's core."""

RING = (4.0, 14.0)
"""Distance from the tumor of the tissue that it is compared with, pixels at 256 x 256."""

MIN_PIXELS = 16
"""Fewer pixels of core, band or ring give no figure."""

KINDS = ("texture", "edge_texture", "edge_slope")
"""What is measured in each sequence, see `texture_figures`."""

TEXTURE_FIGURES = tuple(f"{channel.name.lower()}_{kind}" for channel in Channel for kind in KINDS)
"""Names of the figures, those of one sequence after those of the other."""


def high_frequency(image: NDArray[np.floating], *, sigma: float = SIGMA) -> NDArray[np.float32]:
    """Return an image minus its Gaussian-smoothed self, (H, W), float32, in the image's unit.

    Args:
        image: (H, W), any real dtype.
        sigma: width of the Gaussian, pixels; the border is mirrored.
    """
    check_number("sigma", sigma, above=0)
    array = np.asarray(image, np.float32)
    return array - ndimage.gaussian_filter(array, sigma)


def high_frequency_sd(
    image: NDArray[np.floating], region: NDArray[np.bool_], *, sigma: float = SIGMA
) -> float:
    """Return the standard deviation of `high_frequency` over a region, in the image's unit.

    White noise of SD s gives s sqrt(1 - 2 g(0) + sum g^2) with the Gaussian's weights g.

    Args:
        image: (H, W), any real dtype.
        region: (H, W), bool.
        sigma: see `high_frequency`.

    Returns:
        The SD; nan for fewer than `MIN_PIXELS` pixels.
    """
    return _sd(high_frequency(image, sigma=sigma), region)


def texture_figures(
    image: NDArray[np.floating],
    mask: NDArray[np.bool_],
    brain: NDArray[np.bool_],
    *,
    factor: float = 1.0,
    missing: tuple[bool, ...] = (False, False, False),
) -> dict[str, float]:
    """Measure the texture of one slice's tumor and of its edge.

    Of each sequence: `texture`, the high-frequency SD in the tumor's core over that in the ring of brain
    around it; `edge_texture`, the same of the band along the edge; `edge_slope`, the mean gradient along
    the edge, in units of the ring's median, a pixel.

    Args:
        image: (3, H, W), normalized, 0 = background, ordered as `Channel`.
        mask: (H, W), bool.
        brain: (H, W), bool.
        factor: pixels of this image in a pixel at 256 x 256, for the ring.
        missing: sequences that are copies of FLAIR; they get nan.

    Returns:
        `TEXTURE_FIGURES` by name; nan where core, band or ring is too small or without texture.

    Raises:
        ArgumentError: the shapes do not fit.
    """
    if image.ndim != 3 or len(image) != len(Channel) or not image.shape[1:] == mask.shape == brain.shape:
        problem = f"expected (3, H, W) with mask and brain (H, W), got {image.shape}, {mask.shape}"
        raise ArgumentError("image", f"{problem}, {brain.shape}", "pass one slice")
    core, band, ring = _regions(mask, brain, factor)
    figures: dict[str, float] = {}
    for channel in Channel:
        values = _channel_figures(np.asarray(image[channel], np.float32), core, band, ring)
        if missing[channel]:
            values = (float("nan"),) * len(KINDS)
        figures |= {f"{channel.name.lower()}_{kind}": v for kind, v in zip(KINDS, values, strict=True)}
    return figures


def _channel_figures(
    image: NDArray[np.float32], core: NDArray[np.bool_], band: NDArray[np.bool_], ring: NDArray[np.bool_]
) -> tuple[float, ...]:
    detail = high_frequency(image)
    around, unit = _sd(detail, ring), float(np.median(image[ring])) if ring.any() else 0.0
    slope = ndimage.gaussian_gradient_magnitude(image, 1.0)
    return (
        _over(_sd(detail, core), around),
        _over(_sd(detail, band), around),
        _over(float(slope[band].mean()) if band.sum() >= MIN_PIXELS else float("nan"), unit),
    )


def _regions(
    mask: NDArray[np.bool_], brain: NDArray[np.bool_], factor: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Core, band along the edge (cut to the brain outside) and ring; all empty for an empty mask."""
    if not mask.any():
        return mask, mask, mask
    inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    band = (mask & (inside <= EDGE)) | (brain & ~mask & (outside <= EDGE))
    low, high = (edge * factor for edge in RING)
    ring = brain & (outside >= max(low, EDGE + 1)) & (outside <= max(high, EDGE + 3))
    return mask & (inside > EDGE), band, ring


def _sd(detail: NDArray[np.float32], region: NDArray[np.bool_]) -> float:
    if region.sum() < MIN_PIXELS:
        return float("nan")
    return float(detail[region].std(dtype=np.float64))


def _over(value: float, unit: float) -> float:
    return value / unit if unit > 0 else float("nan")
