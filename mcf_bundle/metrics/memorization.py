"""How alike images are to training images: correlation under a mask, cosine of features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.errors import ArgumentError

FLAT = 1e-5
"""Variance under a mask, in units of the mean square, below which a channel counts as constant."""


def masked_correlation(
    images: NDArray[np.float32],
    masks: NDArray[np.float32],
    gallery: NDArray[np.float32],
    *,
    acquired: NDArray[np.bool_] | None = None,
    gallery_acquired: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Correlate each image with each one of a gallery, under the image's own mask.

    Pearson's coefficient of each channel, averaged over the channels that were acquired in both. A gain or an
    offset of a channel changes nothing, so a copy in other gray levels is still a copy, and what the channels
    have in common (FLAIR bright, T1 dark) does not count as alike.

    Args:
        images: (N, C, H, W), float32.
        masks: (N, H, W), bool or float32, weight of each pixel, [0, 1].
        gallery: (G, C, H, W), float32, in the frame of the images.
        acquired: (N, C), bool, channels that are no copies of another; None is all.
        gallery_acquired: (G, C), bool, likewise.

    Returns:
        (N, G), float32, [-1, 1]. A channel that is constant under the mask counts as 0, in either image; an
        empty mask gives nan, and so does a pair without a common channel.

    Raises:
        ArgumentError: the shapes do not belong together.
    """
    _check_shapes(images, masks, gallery)
    count, channels = images.shape[:2]
    weights = masks.reshape(count, -1).astype(np.float32)
    total = weights.sum(1, keepdims=True)
    weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    used = np.ones((count, channels), bool) if acquired is None else acquired
    gallery_used = np.ones((len(gallery), channels), bool) if gallery_acquired is None else gallery_acquired
    shared = used.astype(np.float32) @ gallery_used.T.astype(np.float32)
    found = np.zeros((count, len(gallery)), np.float32)
    for channel in range(channels):
        pairs = used[:, [channel]] & gallery_used[:, channel]
        x, y = images[:, channel].reshape(count, -1), gallery[:, channel].reshape(len(gallery), -1)
        found += pairs * _weighted_pearson(x, weights, y)
    found = np.divide(found, shared, out=np.full_like(found, np.nan), where=shared > 0)
    return np.where(total > 0, found, np.float32(np.nan))


def _weighted_pearson(
    x: NDArray[np.float32], weights: NDArray[np.float32], y: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Correlate rows of (N, D) with rows of (G, D); the weights of a row, (N, D), sum to 1, or are all 0."""
    square = (weights * x * x).sum(1)
    x = x - (weights * x).sum(1, keepdims=True)
    x_variance = (weights * x * x).sum(1)
    # The sums of y under each mask are matrix products; its own mean is taken off first for their precision.
    y = y - y.mean(1, keepdims=True)
    covariance = (weights * x) @ y.T
    y_square = weights @ (y * y).T
    y_variance = y_square - (weights @ y.T) ** 2
    varies = (x_variance > FLAT * square)[:, None] & (y_variance > FLAT * y_square)
    scale = np.sqrt(x_variance[:, None] * np.where(varies, y_variance, 1))
    correlation = np.divide(covariance, scale, out=np.zeros_like(covariance), where=varies & (scale > 0))
    return np.clip(correlation, -1, 1)


def cosine_similarity(features: NDArray[np.float32], gallery: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cosine of each feature vector with each one of a gallery.

    Args:
        features: (N, D).
        gallery: (G, D), of the same extractor.

    Returns:
        (N, G), float32, [-1, 1]; 0 for a vector of zeros. The nearest neighbor has the highest.

    Raises:
        ArgumentError: the dimensions differ.
    """
    if features.ndim != 2 or gallery.ndim != 2 or features.shape[1] != gallery.shape[1]:
        problem = f"expected (N, D) and (G, D), got {features.shape} and {gallery.shape}"
        raise ArgumentError("gallery", problem, "take both from one extractor")
    return np.clip(_unit(features) @ _unit(gallery).T, -1, 1)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors, np.float32), where=length > 0)


def _check_shapes(
    images: NDArray[np.float32], masks: NDArray[np.float32], gallery: NDArray[np.float32]
) -> None:
    fits = images.ndim == gallery.ndim == 4 and images.shape[1:] == gallery.shape[1:]
    if not fits:
        problem = f"expected (G, C, H, W) like the images, {images.shape}, got {gallery.shape}"
        raise ArgumentError("gallery", problem, "bring both to one frame")
    if masks.shape != (images.shape[0], *images.shape[2:]):
        problem = f"expected one (H, W) for each image, {images.shape}, got {masks.shape}"
        raise ArgumentError("masks", problem, "give each image its mask")
