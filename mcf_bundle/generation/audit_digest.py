"""Slices reduced to what a memorization audit compares: tumors in patches, heads as thumbnails, features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from mcf_bundle.data.triplet_dataset import to_network_range
from mcf_bundle.generation.audit_slices import AuditSlice
from mcf_bundle.metrics.extractors import BLOCK
from mcf_bundle.metrics.memorization_views import Patches, TumorWindows, View, cut_windows, join_patches

THUMBNAIL = 64
"""Side of the reduced heads that are compared, pixels."""

MIRRORED = (View(), View(mirrored=True))
"""Views for whole slices and for features, which change little with a small turn or scale."""

Extract = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From images, (N, 3, H, W), float32, network range, to features, (N, D)."""


@dataclass(frozen=True, eq=False)
class Heads:
    """N slices as heads.

    Attributes:
        names: patient and number of each slice.
        thumbnails: (N, 3, 64, 64), float32, normalized, means of areas.
        whole: (N, 64, 64), float32, [0, 1], how far each pixel lies in the head.
        outside: the same without the grown mask.
        acquired: (N, 3), bool, channels that are no copies of FLAIR.
        features: (N, D), of the slices as they are.
        outside_features: (N, D), with the grown mask filled by the medians of the rest of the head.
    """

    names: list[tuple[str, int]]
    thumbnails: NDArray[np.float32]
    whole: NDArray[np.float32]
    outside: NDArray[np.float32]
    acquired: NDArray[np.bool_]
    features: NDArray[np.float32]
    outside_features: NDArray[np.float32]


def digest_heads(slices: Iterable[AuditSlice], extract: Extract) -> Heads:
    """Reduce slices to heads, a block at a time; none of them is kept.

    Args:
        slices: one or more.
        extract: the extractor's features.
    """
    names, acquired = [], []
    arrays: list[list[NDArray[np.float32]]] = [[], [], [], [], []]
    for block in _blocks(slices):
        images = np.stack([item.image for item in block])
        outside = [item.outside for item in block]
        filled = np.stack([_fill(item, rest) for item, rest in zip(block, outside, strict=True)])
        features = extract(to_network_range(images))
        parts = (
            _reduce(images),
            _reduce(np.stack([item.head for item in block])[:, None])[:, 0],
            _reduce(np.stack(outside)[:, None])[:, 0],
            features,
            # Where no slice has a mask nothing was filled, and the features are the same.
            features if filled.tobytes() == images.tobytes() else extract(to_network_range(filled)),
        )
        for array, part in zip(arrays, parts, strict=True):
            array.append(part)
        names += [(item.patient, item.slice) for item in block]
        acquired += [item.acquired for item in block]
    thumbnails, whole, rest, plain, without = (np.concatenate(array) for array in arrays)
    return Heads(names, thumbnails, whole, rest, np.array(acquired, bool), plain, without)


def tumor_windows(slices: Iterable[AuditSlice]) -> TumorWindows:
    """Cut the tumors out of slices that all have one."""
    acquired: list[tuple[bool, ...]] = []

    def pairs() -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
        for item in slices:
            acquired.append(item.acquired)
            yield item.image, item.mask

    return cut_windows(pairs(), acquired)


def tumor_patches(slices: Iterable[AuditSlice]) -> Patches:
    """Sample the tumors of slices as they are; a block at a time, since their windows are larger."""
    return join_patches(*(tumor_windows(block).patches() for block in _blocks(slices)))


def tumor_features(patches: Patches, extract: Extract) -> NDArray[np.float32]:
    """Extract features of what lies in the masks, on a black background, (N, D)."""
    images = patches.images * patches.weights[:, None]
    parts = [extract(to_network_range(images[i : i + BLOCK])) for i in range(0, len(images), BLOCK)]
    return np.concatenate(parts)


def _blocks(slices: Iterable[AuditSlice]) -> Iterator[list[AuditSlice]]:
    remaining = iter(slices)
    while block := list(islice(remaining, BLOCK)):
        yield block


def _reduce(images: NDArray[np.generic]) -> NDArray[np.float32]:
    """Average the pixels of (N, C, H, W) in 64 x 64 areas."""
    values = torch.from_numpy(images.astype(np.float32))
    return functional.adaptive_avg_pool2d(values, THUMBNAIL).numpy()


def _fill(item: AuditSlice, outside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return a slice whose grown mask shows the medians of the rest of the head."""
    hole = item.head & ~outside
    if not hole.any() or not outside.any():
        return item.image
    medians = np.median(item.image[:, outside], axis=1)
    return np.where(hole, medians[:, None, None], item.image).astype(np.float32)
