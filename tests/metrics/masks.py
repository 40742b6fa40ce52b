"""Masks whose geometry is known, and random ones whose geometry is not."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage

from mcf_bundle.metrics.case_table import segmentation_row

Mask = NDArray[np.bool_]

SMALL_MASKS = st.integers(2, 3).flatmap(
    lambda axes: st.tuples(*[st.integers(1, 7)] * axes).flatmap(
        lambda shape: st.tuples(arrays(np.bool_, shape), arrays(np.bool_, shape))
    )
)


def square(start: tuple[int, int], side: int, shape: tuple[int, int] = (32, 32)) -> Mask:
    mask = np.zeros(shape, bool)
    mask[start[0] : start[0] + side, start[1] : start[1] + side] = True
    return mask


def random_pair(seed: int, shape: tuple[int, ...]) -> tuple[Mask, Mask]:
    """Two blobs that overlap in part, with holes and islands, often cut off by the image's border."""
    rng = np.random.default_rng(seed)
    center = [rng.integers(0, length) for length in shape]
    away = np.sqrt(sum((grid - at) ** 2.0 for grid, at in zip(np.indices(shape), center, strict=True)))
    pair = []
    for _ in range(2):
        noise = ndimage.gaussian_filter(rng.standard_normal(shape), 2)
        mask = rng.uniform(0.15, 0.4) * min(shape) + 4 * noise / noise.std() > away
        mask[tuple(center)] = True
        pair.append(mask)
    return pair[0], pair[1]


EMPTY, TUMOR, HALF = np.zeros((8, 8), bool), square((2, 2), 4, (8, 8)), square((2, 2), 2, (8, 8))


def row(
    patient: str, number: int | None, prediction: Mask, reference: Mask, **scoring: Any
) -> dict[str, Any]:
    return segmentation_row(prediction, reference, patient=patient, slice_number=number, **scoring)
