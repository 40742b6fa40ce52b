"""Feature arrays as the metrics of image quality take them: checked once, float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mcf_bundle.errors import ArgumentError

Features = NDArray[np.floating] | torch.Tensor
"""(N, D), float32 or float64, one row a case; numpy, or torch on any device."""

Counts = NDArray[np.integer]
"""(N,), how often each case counts; a resample has some cases twice and others not at all."""


def as_features(name: str, values: Any, *, least: int = 2) -> NDArray[np.float64]:
    """Check an array of features and return it in float64.

    Args:
        name: the argument's name, for the message.
        values: see `Features`.
        least: smallest number of cases.

    Raises:
        ArgumentError: it is not (N, D) of float32 or float64, has fewer cases, or numbers that are not
            finite.
    """
    array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    if array.dtype not in (np.float32, np.float64):
        problem = f"expected float32 or float64, got {array.dtype}"
        raise ArgumentError(name, problem, "take the features as the extractor gives them")
    if array.ndim != 2 or not array.shape[1]:
        problem = f"expected features (N, D), got the shape {array.shape}"
        raise ArgumentError(name, problem, "give one row a case")
    if len(array) < least:
        problem = f"expected {least} cases or more, got {len(array)}"
        raise ArgumentError(name, problem, "use more images, or another metric")
    if not np.isfinite(array).all():
        bad = int(np.flatnonzero(~np.isfinite(array).all(1))[0])
        raise ArgumentError(name, f"row {bad} holds nan or inf", "check the image that it comes from")
    return array.astype(np.float64)


def as_feature_pair(
    features: Any, reference: Any, *, least: int = 2
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Check two arrays of features of the same extractor, see `as_features`.

    Raises:
        ArgumentError: one of them is not acceptable, or their dimensions differ.
    """
    pair = as_features("features", features, least=least), as_features("reference", reference, least=least)
    if pair[0].shape[1] != pair[1].shape[1]:
        problem = f"has {pair[1].shape[1]} features a case, features has {pair[0].shape[1]}"
        raise ArgumentError("reference", problem, "use the same extractor for both")
    return pair


def as_counts(counts: Counts | None, cases: int) -> NDArray[np.int64]:
    """Return how often each case counts: as given, or once each for None."""
    return np.ones(cases, np.int64) if counts is None else np.asarray(counts, np.int64)
