"""Binary masks and their pixel spacing, checked before anything is computed from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcf_bundle.errors import ArgumentError

Mask = NDArray[np.bool_]


def as_mask_pair(prediction: Any, reference: Any) -> tuple[Mask, Mask]:
    """Return two masks of one shape as boolean arrays.

    Args:
        prediction: (H, W) or (H, W, D), bool, or integers that are all 0 or 1.
        reference: the same shape.

    Raises:
        ArgumentError: shapes differ, an array is neither 2D nor 3D or has no pixels, or it is no mask:
            floating point (a probability needs a threshold first) or integers other than 0 and 1.
    """
    pair = as_mask(prediction, "prediction"), as_mask(reference, "reference")
    if pair[0].shape != pair[1].shape:
        problem = f"shape {pair[0].shape} differs from the reference's {pair[1].shape}"
        raise ArgumentError("prediction", problem, "bring both onto one grid")
    return pair


def as_mask(values: Any, name: str) -> Mask:
    """Return one mask as a boolean array; see `as_mask_pair`."""
    array = np.asarray(values)
    if array.ndim not in (2, 3) or array.size == 0:
        problem = f"expected a mask of 2 or 3 axes with pixels in it, got shape {array.shape}"
        raise ArgumentError(name, problem, "pass one slice or one volume, without batch and channel axes")
    if array.dtype == np.bool_:
        return array
    if not np.issubdtype(array.dtype, np.integer):
        problem = f"expected a boolean mask, got {array.dtype}"
        raise ArgumentError(name, problem, "compare probabilities with a threshold first, as in p > 0.5")
    if array.min() < 0 or array.max() > 1:
        problem = f"expected 0 and 1, got integers from {array.min()} to {array.max()}"
        raise ArgumentError(name, problem, "choose one label, as in labels == 1, or values > 0 for 0 and 255")
    return array.astype(np.bool_)


def mask_of(image: Tensor, channel: int) -> Mask:
    """Return one channel of an image, (C, H, W[, D]) of 0 and 1 in any dtype, as a boolean array.

    Raises:
        ArgumentError: the channel is not there, or it holds other numbers, such as probabilities.
    """
    if not -len(image) <= channel < len(image):
        problem = f"there are {len(image)} channels and no number {channel}"
        raise ArgumentError("channel", problem, "choose one that is there")
    values = image[channel].detach()
    mask = values > 0.5
    if not torch.equal(mask.to(values.dtype), values):
        problem = "expected a mask of 0 and 1, got other numbers"
        raise ArgumentError("y_pred", problem, "binarize it first, with monai.transforms.AsDiscrete")
    return mask.cpu().numpy()


def as_spacing(spacing: float | Sequence[float] | None, axes: int) -> NDArray[np.float64]:
    """Return the pixel spacing of each axis, (axes,), float64; None is 1.

    Raises:
        ArgumentError: neither one number nor one per axis, or not finite and above 0.
    """
    try:
        values = np.asarray(1.0 if spacing is None else spacing, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentError("spacing", f"expected numbers, got {spacing!r}", "correct it") from error
    if values.shape not in ((), (axes,)):
        problem = f"expected one number or {axes}, one for each axis, got {spacing!r}"
        raise ArgumentError("spacing", problem, "give them in the order of the array's axes")
    if not (np.isfinite(values) & (values > 0)).all():
        raise ArgumentError("spacing", f"expected finite numbers above 0, got {spacing!r}", "correct it")
    return np.broadcast_to(values, (axes,))


def squeeze_axes(
    masks: Sequence[Mask], spacing: NDArray[np.float64]
) -> tuple[list[Mask], NDArray[np.float64]]:
    """Leave out axes of length 1, so that a volume of depth 1 is its slice; at least one axis stays."""
    shape = masks[0].shape
    kept = [axis for axis, length in enumerate(shape) if length > 1] or [len(shape) - 1]
    dropped = tuple(axis for axis in range(len(shape)) if axis not in kept)
    return [np.squeeze(mask, axis=dropped) for mask in masks], spacing[kept]
