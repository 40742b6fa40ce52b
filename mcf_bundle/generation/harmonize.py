"""Match a donor tumor's intensities to the host's tissue, and soften its edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mcf_bundle.generation.margin import grow
from mcf_bundle.generation.warp import pixel_factor

TISSUE_SIGMA = 20.0
"""Standard deviation of the neighborhood that a gain is taken from, pixels at 256 x 256."""

LESION_MARGIN = 4.0
"""Tissue this near to the donor's tumor may be edema and is left out, pixels at 256 x 256."""

EDGE_SIGMA = 2.0
"""Width of the fade outside the tumor's edge, pixels at 256 x 256."""

GAIN_RANGE = (0.25, 4.0)
"""Gains are cut to this range: beyond it the tissue statistics are wrong, not the scanner."""

_LEAST_MEAN = 1e-3
_RATIO_RANGE = (0.05, 20.0)
_PRIOR = 0.02


def harmonize(
    donor_slices: NDArray[np.float32],
    donor_lesion: NDArray[np.bool_],
    donor_tissue: NDArray[np.bool_],
    host_slices: NDArray[np.float32],
    host_tissue: NDArray[np.bool_],
    *,
    contrast: float = 1.0,
    factor: float | None = None,
) -> NDArray[np.float32]:
    """Transfer the donor's ratio of tumor to nearby tissue to the host, each slice and channel by itself.

    Each pixel becomes (donor / (Gaussian-weighted mean of the donor's tissue around it)) ** contrast x (the
    same mean of the host's). Where little tissue is near, the mean leans on the median of all tissue of the
    slice.

    Args:
        donor_slices: (N, C, H, W), float32, the donor in the host's frame, normalized, 0 = background.
        donor_lesion: (N, H, W), bool, the donor's tumor; it and 4 pixels around it do not count as tissue.
        donor_tissue: (N, H, W), bool, the donor's brain without fluid.
        host_slices: (N, C, H, W), float32, normalized, 0 = background.
        host_tissue: (N, H, W), bool, the host's brain without fluid.
        contrast: 1 keeps the donor's ratios; less makes the tumor fainter, more makes it stand out.
        factor: pixels per pixel of a 256 x 256 image; by default from the shape, to be given for a part.

    Returns:
        (N, C, H, W), float32, in the host's normalized intensities, not clipped. A slice in which one of the
        two has no tissue keeps the donor's intensities.
    """
    factor = pixel_factor(donor_slices.shape) if factor is None else factor
    result = np.empty_like(donor_slices, dtype=np.float32)
    for position, donor in enumerate(donor_slices):
        tissue = donor_tissue[position] & ~grow(donor_lesion[position], LESION_MARGIN, factor=factor)
        gain, mean = _local_gain(
            donor, tissue, host_slices[position], host_tissue[position], TISSUE_SIGMA * factor
        )
        result[position] = donor * gain
        if contrast != 1:
            result[position] *= np.clip(donor / mean, *_RATIO_RANGE) ** (contrast - 1)
    return result


def soft_alpha(
    mask: NDArray[np.bool_], sigma: float = EDGE_SIGMA, *, factor: float | None = None
) -> NDArray[np.float32]:
    """Weight of the donor at each pixel: 1 in the mask, a Gaussian of the distance to it outside.

    What the mask says is then exactly what was painted in full, with the tumor's own edge as the donor shows
    it. The halo outside brings in what lay around the tumor in the donor, which is no tumor, and fades out
    within three sigma, where the weight is exactly 0. A mask smoothed by a Gaussian instead, 1/2 on the edge,
    mixes host into the tumor and costs contrast and steepness of the rim.

    Args:
        mask: (N, H, W), bool.
        sigma: pixels at 256 x 256.
        factor: pixels per pixel of a 256 x 256 image; by default from the shape, to be given for a part.

    Returns:
        (N, H, W), float32, [0, 1]; zero for an empty slice, the mask itself for sigma 0.
    """
    factor = pixel_factor(mask.shape) if factor is None else factor
    alpha = mask.astype(np.float32)
    width = sigma * factor
    for position, plane in enumerate(mask):
        if plane.any() and width > 0:
            distance = ndimage.distance_transform_edt(~plane)
            alpha[position] = np.where(distance <= 3 * width, np.exp(-0.5 * (distance / width) ** 2), 0.0)
    return alpha


def _local_gain(
    donor: NDArray[np.float32],
    donor_tissue: NDArray[np.bool_],
    host: NDArray[np.float32],
    host_tissue: NDArray[np.bool_],
    sigma: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Host's over donor's local tissue mean, within `GAIN_RANGE`, and the donor's; (C, H, W), float32.

    Without tissue the gain is 1, and the donor counts as its own mean.
    """
    if not (donor_tissue.any() and host_tissue.any()):
        return np.ones_like(donor), np.maximum(donor, _LEAST_MEAN)
    # The means vary so slowly that blocks of a fifth of sigma carry them, at a tenth of the time.
    block = max(int(sigma / 5), 1)
    host_mean = _local_mean(host, host_tissue, sigma, block)
    donor_mean = np.maximum(_local_mean(donor, donor_tissue, sigma, block), _LEAST_MEAN).astype(np.float32)
    gain = np.clip(host_mean / donor_mean, *GAIN_RANGE).astype(np.float32)
    for axis in (1, 2):
        gain, donor_mean = (_interpolate(map_, donor.shape[axis], block, axis) for map_ in (gain, donor_mean))
    return gain, donor_mean


def _local_mean(
    image: NDArray[np.float32], tissue: NDArray[np.bool_], sigma: float, block: int
) -> NDArray[np.float32]:
    """Gaussian mean over the tissue of (C, H, W) at the centers of blocks, (C, h, w)."""
    weight = tissue.astype(np.float32)
    medians = np.median(image[:, tissue], axis=1)[:, None, None]
    sums = _block_means(np.concatenate([image * weight, weight[None]]), block)
    ndimage.gaussian_filter(
        sums, (0, sigma / block, sigma / block), output=sums, mode="constant", truncate=3.0
    )
    return (sums[:-1] + _PRIOR * medians) / (sums[-1] + _PRIOR)


def _block_means(image: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    """Means over square blocks of (C, H, W); zeros fill the last ones."""
    channels, rows, columns = image.shape
    padded = np.pad(image, ((0, 0), (0, -rows % block), (0, -columns % block)))
    parts = padded.reshape(channels, padded.shape[1] // block, block, padded.shape[2] // block, block)
    return parts.mean(axis=(2, 4))


def _interpolate(coarse: NDArray[np.float32], size: int, block: int, axis: int) -> NDArray[np.float32]:
    """Interpolate block values along an axis at `size` pixels, linearly between the blocks' centers."""
    position = np.clip((np.arange(size) - (block - 1) / 2) / block, 0, coarse.shape[axis] - 1)
    low = np.floor(position).astype(int)
    high = np.minimum(low + 1, coarse.shape[axis] - 1)
    shape = [1] * coarse.ndim
    shape[axis] = size
    share = (position - low).astype(np.float32).reshape(shape)
    return coarse.take(low, axis) * (1 - share) + coarse.take(high, axis) * share
