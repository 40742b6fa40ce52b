"""The scores of one pair of masks, and what empty masks are worth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.segmentation import overlap_scores, segmentation_scores
from tests.metrics.masks import SMALL_MASKS, Mask, random_pair, square

EMPTY, FULL = np.zeros((30, 40), bool), square((3, 3), 5, (30, 40))
NAN = float("nan")
OPTIONS: dict[str, Any] = {"tolerance": 2.0, "with_paper_asd": True}
NAMES = ["dice", "jaccard", "hd95", "asd", "surface_dice", "paper_asd"]


@pytest.mark.parametrize("spacing", [None, 2.0])
@pytest.mark.parametrize(
    ("prediction", "reference", "empty", "expected"),
    [
        (EMPTY, EMPTY, "penalize", [1, 1, 0, 0, 1, 0]),
        (EMPTY, FULL, "penalize", [0, 0, 50, 50, 0, 100]),
        (FULL, EMPTY, "penalize", [0, 0, 50, 50, 0, 100]),
        (FULL, FULL, "penalize", [1, 1, 0, 0, 1, 0]),
        (EMPTY, EMPTY, "exclude", [NAN] * 6),
        (EMPTY, FULL, "exclude", [NAN] * 6),
        (FULL, EMPTY, "exclude", [NAN] * 6),
        (FULL, FULL, "exclude", [1, 1, 0, 0, 1, 0]),
    ],
)
def test_empty_masks_score_what_the_policy_says(
    prediction: Mask, reference: Mask, empty: str, expected: list[float], spacing: float | None
) -> None:
    scores = segmentation_scores(prediction, reference, empty=empty, spacing_mm=spacing, **OPTIONS)
    step = np.array([1, 1, spacing or 1, spacing or 1, 1, spacing or 1])
    assert list(scores) == NAMES
    assert list(scores.values()) == pytest.approx(expected * step, nan_ok=True)
    overlap = overlap_scores(prediction, reference, empty=empty)
    assert list(overlap.values()) == pytest.approx(expected[:2], nan_ok=True)


def test_missing_is_penalized_unless_the_call_says_otherwise() -> None:
    assert segmentation_scores(EMPTY, FULL) == {"dice": 0, "jaccard": 0, "hd95": 50, "asd": 50}


@settings(deadline=None)
@given(SMALL_MASKS)
def test_no_mask_scores_below_a_miss(pair: tuple[Mask, Mask]) -> None:
    prediction, reference = pair
    reference[(0,) * reference.ndim] = True
    missed = segmentation_scores(np.zeros_like(prediction), reference, **OPTIONS)
    scores = segmentation_scores(prediction, reference, **OPTIONS)
    for name in ("dice", "jaccard", "surface_dice"):
        assert missed[name] <= scores[name]
    for name in ("hd95", "asd", "paper_asd"):
        assert missed[name] >= scores[name]


def test_only_what_was_asked_for_is_there() -> None:
    pair = random_pair(0, (16, 16))
    assert list(segmentation_scores(*pair)) == NAMES[:4]
    assert list(segmentation_scores(*pair, tolerance=0)) == NAMES[:5]
    assert list(segmentation_scores(*pair, with_paper_asd=True)) == [*NAMES[:4], "paper_asd"]


def test_scores_are_plain_numbers_and_the_masks_stay_as_they_are() -> None:
    pair = [mask.astype(np.uint8) for mask in random_pair(0, (16, 16))]
    before = [mask.copy() for mask in pair]
    scores = segmentation_scores(pair[0], pair[1], **OPTIONS)
    assert {type(value) for value in scores.values()} == {float}
    assert all(math.isfinite(value) for value in scores.values())
    for mask, copy in zip(pair, before, strict=True):
        np.testing.assert_array_equal(mask, copy)


@pytest.mark.parametrize("masks", [(FULL, FULL), (EMPTY, FULL), (EMPTY, EMPTY)])
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"spacing_mm": -1.0}, "spacing: expected finite numbers above 0"),
        ({"spacing_mm": (1.0, 1.0, 1.0)}, "spacing: expected one number or 2"),
        ({"empty": "skip"}, "empty: expected one of"),
        ({"tolerance": -0.1}, "tolerance: expected"),
    ],
)
def test_bad_arguments_are_refused_whatever_the_masks(
    masks: tuple[Mask, Mask], options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ArgumentError, match=problem):
        segmentation_scores(*masks, **options)


@pytest.mark.parametrize(
    ("prediction", "problem"),
    [(np.full((30, 40), 0.5), "got float64"), (np.zeros((40, 30), bool), "differs from the reference's")],
)
def test_bad_masks_are_refused(prediction: Any, problem: str) -> None:
    for score in (segmentation_scores, overlap_scores):
        with pytest.raises(ArgumentError, match=problem):
            score(prediction, FULL)
