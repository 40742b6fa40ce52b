"""Dice of a segmenter with written masks, against segmenters whose answer is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.label_consistency import (
    LABEL_CONSISTENCY_COLUMNS,
    LabeledSet,
    label_consistency,
    moved,
    summarize_consistency,
)

SIDE = 24
"""Side of the square masks: moved by 12, half of each is left."""


def squares(count: int = 6, *, left: int = 10) -> LabeledSet:
    masks = np.zeros((count, 64, 96), bool)
    masks[:, 8 : 8 + SIDE, left : left + SIDE] = True
    images = np.repeat(masks[:, None].astype(np.float32), 3, axis=1)
    return LabeledSet(images, masks, [f"p{k // 2}" for k in range(count)], list(range(count)))


def perfect(images: Any) -> np.ndarray:
    return images[:, 0] > 0.5


def test_a_perfect_segmenter_scores_one_and_the_control_half() -> None:
    rows = label_consistency(perfect, {"made": squares(), "real": squares(4)}, control="real")
    assert all(set(row) == set(LABEL_CONSISTENCY_COLUMNS) for row in rows)
    found = {row.name: row for row in summarize_consistency(rows, resamples=20)}
    assert list(found) == ["made", "real", "real with the mask moved"]
    assert [row.dice for row in found.values()] == [1.0, 1.0, 0.5]
    assert [(row.n, row.patients) for row in found.values()] == [(6, 3), (4, 2), (4, 2)]
    assert found["made"].low == found["made"].high == 1.0


def test_what_is_missed_counts_as_zero() -> None:
    def half(images: Any) -> np.ndarray:
        masks = perfect(images)
        masks[::2] = False
        return masks

    row = summarize_consistency(label_consistency(half, {"real": squares()}, control="real"))[0]
    assert (row.dice, row.missed) == (0.5, 3)
    assert row.sd == pytest.approx(np.std([0, 1] * 3, ddof=1))


@pytest.mark.parametrize("left", [0, 10, 60, 96 - SIDE])
def test_a_moved_mask_keeps_its_area(left: int) -> None:
    mask = squares(1, left=left).masks[0]
    assert moved(mask, 12).sum() == mask.sum()
    assert (moved(mask, 12) & mask).sum() * 2 == mask.sum()


def test_a_mask_without_room_is_moved_as_far_as_there_is() -> None:
    mask = np.zeros((4, 20), bool)
    mask[:, 3:18] = True
    assert np.flatnonzero(moved(mask, 12)[0]).tolist() == list(range(15))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: LabeledSet(one.images[:2], one.masks, one.patients, one.slices), "6 masks and 2 images"),
        (lambda one: LabeledSet(one.images, one.masks & False, one.patients, one.slices), "mask is empty"),
        (lambda one: LabeledSet(one.images[:0], one.masks[:0], [], []), "there are no images"),
    ],
)
def test_bad_sets_are_refused(change: Callable[[LabeledSet], LabeledSet], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        label_consistency(perfect, {"real": change(squares())}, control="real")


def test_bad_segmenters_and_controls_are_refused() -> None:
    with pytest.raises(ArgumentError, match="control: there is no set"):
        label_consistency(perfect, {"made": squares()}, control="real")
    for wrong in (lambda images: images[:, 0], lambda images: perfect(images)[:, 1:], lambda images: None):
        with pytest.raises(ArgumentError, match="segmenter: gave"):
            label_consistency(wrong, {"real": squares()}, control="real")
    with pytest.raises(ArgumentError, match="shift"):
        label_consistency(perfect, {"real": squares()}, control="real", shift=0)
