"""How close a slice comes to the nearest training slice of somebody else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import adaptive_avg_pool2d

from mcf_bundle.data.case import Case

THUMBNAIL = 32
"""Side of the reduced slices that are compared, pixels."""


def thumbnail(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reduce a slice to a unit vector whose dot products are Pearson correlations.

    Args:
        image: (C, H, W), float32, normalized.

    Returns:
        (C * 32 * 32,), float32, mean 0 and norm 1; zeros for a constant slice.
    """
    small = adaptive_avg_pool2d(torch.from_numpy(np.ascontiguousarray(image)), THUMBNAIL).numpy()
    vector = (small - small.mean()).ravel()
    norm = float(np.linalg.norm(vector))
    return (vector / norm if norm > 0 else vector).astype(np.float32)


class SliceGallery:
    """All slices of the training patients, to search for near copies.

    Args:
        cases: the training patients.
    """

    def __init__(self, cases: Sequence[Case]) -> None:
        self.patients = np.array([case.patient for case in cases for _ in case.listed])
        vectors = [thumbnail(image) for case in cases for image in case.normalized(case.listed)]
        self.vectors = np.stack(vectors) if vectors else np.zeros((0, 1), np.float32)

    def nearest(self, image: NDArray[np.float32], *, left_out: Sequence[str]) -> float:
        """Return the highest Pearson correlation to a slice of another patient; -1 if there is none.

        Args:
            image: (C, H, W), float32, normalized.
            left_out: names of patients who do not count.
        """
        kept = ~np.isin(self.patients, list(left_out))
        if not kept.any():
            return -1.0
        return float((self.vectors @ thumbnail(image))[kept].max())
