"""Named augmentations of the samples of `TripletDataset`, built from MONAI's transforms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import (
    Compose,
    MaskIntensityd,
    RandAdjustContrastd,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandRotated,
    RandScaleIntensityd,
    RandScaleIntensityFixedMeand,
    RandSimulateLowResolutiond,
    RandZoomd,
    Resized,
    SpatialPadd,
)

from mcf_bundle.arguments import check_count
from mcf_bundle.errors import ArgumentError

SLICES, MASK, FOREGROUND = "slices", "mask", "foreground"
"""Keys while a sample is augmented: all channels of image and context, the mask, what is no background."""

ALL = (SLICES, MASK)

FOREGROUND_SD = 0.18
"""Standard deviation of normalized intensity over the head, the unit of nnU-Net's noise.

The mean over LGG slices; eight of ten lie between .14 and .25.
"""

Step = Callable[[Any], Any]


def make_augmentation(name: str, *, size: int | None = None) -> Compose:
    """Make the transform of a name, from sample to sample of `TripletDataset`.

    Image, context and mask share every spatial change, image and context every change of intensity. What is
    exactly background (-1) stays so, and background fills what comes in from outside the frame.

    Args:
        name: a key of `AUGMENTATIONS`: `none`, `flip` (left to right, probability one half), or `strong`,
            nnU-Net's for 2D (Isensee et al., Nature Methods 2021, v2's probabilities and ranges; elastic
            deformation is off there too). Differences: all channels share the draws of brightness, contrast
            and gamma, since they are one scanner's; brightness is multiplied above the background.
        size: side in pixels of the square that a slice is resized to first, its longer side by area and the
            rest filled with background; None keeps the size.

    Returns:
        A transform of the keys `image`, `context` and `mask`, which it returns as plain float32 tensors of
        the same ranges (the mask of 0 and 1); all other keys pass.

    Raises:
        ArgumentError: there is no augmentation of that name, or the size is no number of pixels.
    """
    if name not in AUGMENTATIONS:
        problem = f"{name!r} does not exist"
        raise ArgumentError("augmentation", problem, f"choose one of {', '.join(AUGMENTATIONS)}")
    if size is not None:
        check_count("size", size)
    return Compose([_join, *_resizing(size), *AUGMENTATIONS[name](), _split])


def _none() -> Sequence[Step]:
    return []


def _flip() -> Sequence[Step]:
    return [RandFlipd(ALL, prob=0.5, spatial_axis=1)]


def _strong() -> Sequence[Step]:
    modes = ("bilinear", "nearest")
    return [
        RandRotated(ALL, range_x=math.pi, prob=0.2, mode=modes, padding_mode="zeros"),
        RandZoomd(ALL, min_zoom=0.7, max_zoom=1.4, prob=0.2, mode=modes, padding_mode="constant"),
        _mark_foreground,
        # nnU-Net draws a variance and takes it for the standard deviation.
        RandGaussianNoised(SLICES, prob=0.1, std=0.1 * FOREGROUND_SD),
        RandGaussianSmoothd(SLICES, prob=0.2, sigma_x=(0.5, 1.0), sigma_y=(0.5, 1.0)),
        RandScaleIntensityd(SLICES, prob=0.15, factors=(-0.25, 0.25)),
        RandScaleIntensityFixedMeand(SLICES, prob=0.15, factors=(-0.25, 0.25), preserve_range=True),
        RandSimulateLowResolutiond(SLICES, prob=0.25, zoom_range=(0.5, 1.0), upsample_mode="bicubic"),
        RandAdjustContrastd(SLICES, prob=0.1, gamma=(0.7, 1.5), invert_image=True, retain_stats=True),
        RandAdjustContrastd(SLICES, prob=0.3, gamma=(0.7, 1.5), retain_stats=True),
        # As nnU-Net does where images are normalized inside a mask: gamma would move the background.
        MaskIntensityd(SLICES, mask_key=FOREGROUND),
        RandFlipd(ALL, prob=0.5, spatial_axis=0),
        RandFlipd(ALL, prob=0.5, spatial_axis=1),
    ]


AUGMENTATIONS: Mapping[str, Callable[[], Sequence[Step]]] = {"none": _none, "flip": _flip, "strong": _strong}
"""Steps by name."""


def _resizing(size: int | None) -> Sequence[Step]:
    if size is None:
        return []
    return [
        Resized(ALL, size, size_mode="longest", mode=("area", "nearest-exact")),
        SpatialPadd(ALL, (size, size)),
    ]


def _join(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Put image and context into one tensor with background 0, which padding and gamma expect."""
    slices = torch.cat([sample["image"], sample["context"]])
    return {**sample, SLICES: (slices + 1) / 2, "channels": len(sample["image"])}


def _mark_foreground(sample: Mapping[str, Any]) -> dict[str, Any]:
    return {**sample, FOREGROUND: sample[SLICES] != 0}


def _split(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `_join`."""
    kept = {key: value for key, value in sample.items() if key not in (SLICES, FOREGROUND, "channels")}
    slices = torch.as_tensor(sample[SLICES]).as_subclass(torch.Tensor) * 2 - 1
    image, context = slices[: sample["channels"]], slices[sample["channels"] :]
    return {**kept, "image": image, "context": context, MASK: sample[MASK].as_subclass(torch.Tensor)}
