"""What a score is worth where the prediction, the reference or both have no pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import numpy as np

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.masks import as_spacing
from mcf_bundle.metrics.overlap import PixelCounts


class EmptyPolicy(StrEnum):
    """What an empty mask scores.

    PENALIZE: both empty is perfect agreement, one empty is the worst value there is. A model that misses a
    tumor never looks better for it.
    EXCLUDE: nan if any side is empty; whoever takes a mean has to say how many were left out. A model that
    misses its hard tumors looks better for it, so comparisons refuse this policy.
    """

    PENALIZE = "penalize"
    EXCLUDE = "exclude"


def as_empty_policy(policy: str) -> EmptyPolicy:
    """Return the policy of that name.

    Raises:
        ArgumentError: there is none.
    """
    try:
        return EmptyPolicy(policy)
    except ValueError as error:
        names = ", ".join(EmptyPolicy)
        raise ArgumentError("empty", f"expected one of {names}, got {policy!r}", "choose one") from error


def image_diagonal(shape: Sequence[int], spacing: float | Sequence[float] | None = None) -> float:
    """Return the length of an image's diagonal in the unit of the spacing, above any distance in it.

    Args:
        shape: pixels of each axis; axes of length 1 do not count, unless all are.
        spacing: one number or one for each axis; None is 1.
    """
    steps = as_spacing(spacing, len(shape))
    extent = np.asarray(shape, np.float64) * steps
    long = [axis for axis, length in enumerate(shape) if length > 1] or [len(shape) - 1]
    return float(np.linalg.norm(extent[long]))


def empty_scores(counts: PixelCounts, policy: EmptyPolicy, diagonal: float) -> Mapping[str, float]:
    """Return the scores of a pair in which at least one mask is empty.

    Args:
        counts: pixels of the two masks.
        policy: see `EmptyPolicy`.
        diagonal: see `image_diagonal`.

    Returns:
        `dice`, `jaccard`, `surface_dice`, `hd95`, `asd` and `paper_asd` (a sum of two means, so that its
        worst value is twice the diagonal).
    """
    if policy is EmptyPolicy.EXCLUDE:
        agreement = distance = float("nan")
    elif counts.prediction or counts.reference:
        agreement, distance = 0.0, diagonal
    else:
        agreement, distance = 1.0, 0.0
    overlaps = dict.fromkeys(("dice", "jaccard", "surface_dice"), agreement)
    return {**overlaps, "hd95": distance, "asd": distance, "paper_asd": 2 * distance}
