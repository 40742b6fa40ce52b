"""Images as the metrics of image quality take them: checked once, float32, [0, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mcf_bundle.errors import ArgumentError

Images = NDArray[np.floating] | torch.Tensor
"""(N, C, H, W), float32 or float64; the intensity range is the function's."""


FAR_OUTSIDE = 20
"""Vessels and noise reach a few widths out of the range of normalized tissue, 8-bit levels a hundred."""


def as_images(
    name: str, values: Any, *, low: float, high: float, least: int = 1, clip: bool = True
) -> NDArray[np.float32]:
    """Check a stack of images and return it in float32.

    Args:
        name: the argument's name, for the message.
        values: see `Images`.
        low: intensity of the background.
        high: intensity of bright tissue.
        least: smallest number of images.
        clip: whether pixels outside the range are set to its ends.

    Raises:
        ArgumentError: it is not (N, C, H, W) of float32 or float64, has fewer images, holds nan or inf, or
            reaches so far outside the range that it must be in another one.
    """
    array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    if array.dtype not in (np.float32, np.float64) or array.ndim != 4 or not array[0:1].size:
        problem = f"expected float32 (N, C, H, W), got {array.dtype} {array.shape}"
        raise ArgumentError(name, problem, "normalize and stack the images first")
    if len(array) < least:
        raise ArgumentError(name, f"expected {least} images or more, got {len(array)}", "use more images")
    if not np.isfinite(array).all():
        raise ArgumentError(name, "holds nan or inf", "leave out the image, or repair it")
    margin = FAR_OUTSIDE * (high - low)
    if array.min() < low - margin or array.max() > high + margin:
        problem = f"expected intensities from {low:g} to {high:g}, got {array.min():g} to {array.max():g}"
        raise ArgumentError(name, problem, "normalize the images first")
    return np.asarray(np.clip(array, low, high) if clip else array, np.float32)
