"""Overlap of two masks from three pixel counts, so that slices can be pooled by adding counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcf_bundle.metrics.masks import Mask, as_mask_pair


@dataclass(frozen=True)
class PixelCounts:
    """How many pixels each mask has, and how many both have.

    Attributes:
        prediction: pixels of the prediction.
        reference: pixels of the reference.
        common: pixels of both.
    """

    prediction: int
    reference: int
    common: int

    def __add__(self, other: PixelCounts) -> PixelCounts:
        return PixelCounts(
            self.prediction + other.prediction, self.reference + other.reference, self.common + other.common
        )


def count_pixels(prediction: Mask, reference: Mask) -> PixelCounts:
    """Count the pixels of two masks, (H, W) or (H, W, D), bool or 0 and 1; see `as_mask_pair` for errors."""
    prediction, reference = as_mask_pair(prediction, reference)
    common = int(np.count_nonzero(prediction & reference))
    return PixelCounts(int(np.count_nonzero(prediction)), int(np.count_nonzero(reference)), common)


def dice(counts: PixelCounts) -> float:
    """Return 2 |P and R| / (|P| + |R|) (Eq. 9), in [0, 1]; nan if both masks are empty."""
    total = counts.prediction + counts.reference
    return 2 * counts.common / total if total else float("nan")


def jaccard(counts: PixelCounts) -> float:
    """Return |P and R| / |P or R| (Eq. 8), in [0, 1]; nan if both masks are empty."""
    union = counts.prediction + counts.reference - counts.common
    return counts.common / union if union else float("nan")
