"""Intensity scale of a volume: background mode to 0, bright tissue to 1, per patient and channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BRIGHT_PERCENTILE = 99.5
"""Percentile of the foreground that becomes 1."""


@dataclass(frozen=True)
class IntensityScale:
    """Affine map between stored gray levels and normalized intensity, one pair a channel.

    Attributes:
        background: gray level that becomes 0, one a channel.
        span: gray levels between 0 and 1, one a channel, positive.
    """

    background: tuple[float, ...]
    span: tuple[float, ...]

    def normalize(self, image: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
        """Map stored gray levels (..., C, H, W) to float32, about [0, 1]; the brightest 0.5 % exceed 1."""
        background, span = self._columns()
        result = image.astype(np.float32)
        result -= background
        result /= span
        return result

    def denormalize(self, image: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Map normalized intensity (..., C, H, W) back to gray levels: uint8, rounded, cut to [0, 255]."""
        background, span = self._columns()
        return np.clip(np.rint(image * span + background), 0, 255).astype(np.uint8)

    def _columns(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        background = np.asarray(self.background, np.float32)[:, None, None]
        return background, np.asarray(self.span, np.float32)[:, None, None]


def estimate_intensity_scale(image: NDArray[np.uint8]) -> IntensityScale:
    """Estimate a volume's scale from its histogram.

    The background of a channel is the most frequent gray level among the four borders of all slices
    (three LGG patients have a pre-contrast background of 61 to 103, so black is not assumed); bright tissue
    is the 99.5th percentile of what is brighter than the background by more than a twentieth of the range.

    Args:
        image: (S, C, H, W), uint8, stored gray levels of one patient.

    Returns:
        The scale; a channel without contrast gets span 1.
    """
    background, span = [], []
    for channel in np.moveaxis(image, 1, 0):
        border = np.concatenate(
            [
                channel[:, :4].ravel(),
                channel[:, -4:].ravel(),
                channel[..., :4].ravel(),
                channel[..., -4:].ravel(),
            ]
        )
        mode = int(np.bincount(border, minlength=256).argmax())
        threshold = mode + max(2.0, 0.05 * (float(channel.max()) - mode))
        foreground = channel[channel > threshold]
        bright = float(np.percentile(foreground, BRIGHT_PERCENTILE)) if foreground.size else mode + 1.0
        background.append(float(mode))
        span.append(max(bright - mode, 1.0))
    return IntensityScale(tuple(background), tuple(span))
