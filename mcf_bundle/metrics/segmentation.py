"""Scores of one predicted mask against its reference, 2D or 3D.

The mask is the FLAIR abnormality, tumor and edema together, as in the LGG set.
"""

from __future__ import annotations

from collections.abc import Sequence

from mcf_bundle.arguments import check_number
from mcf_bundle.metrics.empty_masks import EmptyPolicy, as_empty_policy, empty_scores, image_diagonal
from mcf_bundle.metrics.masks import Mask, as_mask_pair
from mcf_bundle.metrics.overlap import count_pixels, dice, jaccard
from mcf_bundle.metrics.surface_distance import (
    asd,
    hd95,
    paper_asd,
    surface_dice,
    surface_distances,
)

OVERLAPS = ("dice", "jaccard")
DISTANCES = ("hd95", "asd")


def overlap_scores(
    prediction: Mask, reference: Mask, *, empty: str = EmptyPolicy.PENALIZE
) -> dict[str, float]:
    """Return `dice` and `jaccard` of a pair of masks; see `segmentation_scores`."""
    counts, policy = count_pixels(prediction, reference), as_empty_policy(empty)
    if counts.prediction and counts.reference:
        return {"dice": dice(counts), "jaccard": jaccard(counts)}
    scores = empty_scores(counts, policy, diagonal=0.0)
    return {name: scores[name] for name in OVERLAPS}


def segmentation_scores(
    prediction: Mask,
    reference: Mask,
    *,
    spacing_mm: float | Sequence[float] | None = None,
    empty: str = EmptyPolicy.PENALIZE,
    tolerance: float | None = None,
    with_paper_asd: bool = False,
) -> dict[str, float]:
    """Score one predicted FLAIR-abnormality mask (edema included) against its reference.

    Args:
        prediction: (H, W) or (H, W, D), bool, or integers 0 and 1.
        reference: the same shape.
        spacing_mm: one number or one for each axis; None means unknown, and distances are in pixels.
        empty: what empty masks score. `penalize`: both empty 1, 1, 0, 0; one empty 0, 0, and the image's
            diagonal for either distance. `exclude`: nan if any side is empty. See `EmptyPolicy`.
        tolerance: adds `surface_dice` at this distance, in the unit of the distances.
        with_paper_asd: adds `paper_asd`, the sum of two means (Eq. 11).

    Returns:
        `dice` and `jaccard` in [0, 1]; `hd95` and `asd` in mm, without `spacing_mm` in pixels.

    Raises:
        ArgumentError: shapes differ, an array is no mask, or an argument is out of range.

    >>> import numpy as np
    >>> mask = np.zeros((8, 8), bool)
    >>> mask[2:5, 2:5] = True
    >>> segmentation_scores(np.roll(mask, 3, axis=1), mask, spacing_mm=2.0)
    {'dice': 0.0, 'jaccard': 0.0, 'hd95': 6.0, 'asd': 4.0}
    """
    prediction, reference = as_mask_pair(prediction, reference)
    policy, counts = as_empty_policy(empty), count_pixels(prediction, reference)
    if tolerance is not None:
        check_number("tolerance", tolerance, least=0)
    names = [*OVERLAPS, *DISTANCES]
    names += ["surface_dice"] * (tolerance is not None) + ["paper_asd"] * with_paper_asd
    if not (counts.prediction and counts.reference):
        scores = empty_scores(counts, policy, image_diagonal(prediction.shape, spacing_mm))
        return {name: scores[name] for name in names}
    found = surface_distances(prediction, reference, spacing_mm)
    result = {"dice": dice(counts), "jaccard": jaccard(counts), "hd95": hd95(found), "asd": asd(found)}
    if tolerance is not None:
        result["surface_dice"] = surface_dice(found, tolerance)
    if with_paper_asd:
        result["paper_asd"] = paper_asd(found)
    return result
