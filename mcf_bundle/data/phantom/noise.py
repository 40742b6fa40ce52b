"""Seeded smooth random fields, the irregularity of everything in a phantom head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

Array = NDArray[np.float32]


def _spline_weights(length: int, cell: float) -> Array:
    """Cubic B-spline weights (length, knots), each row of unit Euclidean norm."""
    position = np.arange(length) / cell
    knots = int(np.ceil(length / cell)) + 3
    distance = np.abs(position[:, None] - np.arange(knots)[None] + 1)
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    weights = np.where(distance < 1, near, far)
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], cells: tuple[float, ...]) -> Array:
    """Draw Gaussian noise that varies on the scale of ``cells``.

    Args:
        rng: where the knots' values come from.
        shape: shape of the field, any number of axes.
        cells: distance between knots along each axis, in elements. Fields of two sizes whose cells scale
            with them take the same knots, so they show the same pattern.

    Returns:
        Array of ``shape``, float32, mean 0 and variance 1 at every position.
    """
    weights = [_spline_weights(length, cell) for length, cell in zip(shape, cells, strict=True)]
    field = rng.standard_normal([w.shape[1] for w in weights], dtype=np.float32)
    for matrix in weights:
        # The first axis is contracted and its result goes last: after all axes the order is the old one.
        # A sparse product, because a dense one rounds differently with the number of threads.
        rest = field.shape[1:]
        rows = sparse.csr_array(matrix) @ field.reshape(len(field), -1)
        field = np.ascontiguousarray(rows.T).reshape(*rest, len(matrix))
    return field


def ring_noise(rng: np.random.Generator, slices: int, length: int, cells: tuple[float, float]) -> Array:
    """Draw smooth noise (slices, length), float32, variance 1, whose second axis closes to a ring."""
    overlap = length // 6
    line = smooth_noise(rng, (slices, length + overlap), cells)
    ring = line[:, :length].copy()
    share = np.linspace(0, 1, overlap, endpoint=False, dtype=np.float32)
    ring[:, :overlap] = np.sqrt(share) * line[:, :overlap] + np.sqrt(1 - share) * line[:, length:]
    return ring


def fold_texture(rng: np.random.Generator, slices: int, length: int, depth: int, spacing: float) -> Array:
    """Draw a field whose zero lines run like sulci: inwards, about ``spacing`` apart, wandering.

    Args:
        rng: source of the noise.
        slices: number of slices; neighbors are correlated.
        length: elements along the cortex, periodic.
        depth: elements from the surface inwards.
        spacing: mean distance of two zero lines along the cortex, in elements.

    Returns:
        Array (slices, length, depth), float32, about unit variance.
    """
    field = rng.standard_normal((slices, length, depth), dtype=np.float32)
    field = ndimage.gaussian_filter1d(field, 0.45, axis=0, mode="nearest")
    field = ndimage.gaussian_filter1d(field, 0.45 * spacing, axis=2, mode="nearest")
    fine = ndimage.gaussian_filter1d(field, 0.34 * spacing, axis=1, mode="wrap")
    coarse = ndimage.gaussian_filter1d(field, 0.68 * spacing, axis=1, mode="wrap")
    folds = fine - coarse
    return (folds / folds.std()).astype(np.float32)
