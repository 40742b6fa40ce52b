"""Predictions beside the truth: which slices, and what the pictures show."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mcf_bundle.data.triplet_dataset import SliceRef
from mcf_bundle.data.volume import Volume
from mcf_bundle.errors import ArgumentError
from mcf_bundle.study.predictions import (
    AREA_PERCENTILES,
    ARMS_IN_ONE_PICTURE,
    CELL,
    PREDICTION,
    TRUTH,
    TUMOR_FREE_SLICES,
    TUMOR_SLICES,
    Mask,
    choose_slices,
    draw_predictions,
)

SIDE = 48


def square(side: int) -> Mask:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[10 : 10 + side, 10 : 10 + side] = True
    return mask


def patient(name: str, sides: list[int]) -> Volume:
    """A patient with a square tumor of each side, in slices 1, 2, ...; side 0 is no tumor."""
    masks = np.stack([square(side) for side in sides])
    image = np.full((len(sides), 3, SIDE, SIDE), 20, np.uint8)
    image[:, :, 4:-4, 4:-4] = 120
    return Volume(name, "XX", tuple(range(1, len(sides) + 1)), image, masks)


def cohort(count: int) -> list[Volume]:
    """Patients whose tumors have sides from 1 to 20, with tumor-free slices."""
    sides = np.random.default_rng(0).integers(1, 21, (count, 8))
    return [patient(f"p{number:02}", [*map(int, row), 0, 0]) for number, row in enumerate(sides)]


def area(item: SliceRef) -> int:
    return int(item.volume.mask[item.index].sum())


def names(items: list[SliceRef]) -> list[tuple[str, int]]:
    return [(item.volume.patient, item.index) for item in items]


@pytest.mark.parametrize("seed", range(5))
def test_tumors_of_usual_size_and_slices_without_come_from_different_patients(seed: int) -> None:
    volumes = cohort(12)
    found = choose_slices(volumes, seed)
    tumors, free = found[:TUMOR_SLICES], found[TUMOR_SLICES:]
    areas = np.concatenate([volume.mask.sum(axis=(1, 2)) for volume in volumes])
    low, high = np.percentile(areas[areas > 0], AREA_PERCENTILES)
    assert all(low <= area(item) <= high for item in tumors)
    assert [area(item) for item in free] == [0] * TUMOR_FREE_SLICES
    for chosen in (tumors, free):
        assert len({item.volume.patient for item in chosen}) == len(chosen)


def test_the_choice_is_the_seeds_alone() -> None:
    volumes = cohort(12)
    assert names(choose_slices(volumes, 3)) == names(choose_slices(volumes, 3))
    assert len({tuple(names(choose_slices(volumes, seed))) for seed in range(5)}) == 5


def test_every_patient_with_a_usual_tumor_can_be_drawn() -> None:
    volumes = cohort(8)
    seen = {item.volume.patient for seed in range(30) for item in choose_slices(volumes, seed)}
    assert seen == {volume.patient for volume in volumes}


def test_few_patients_give_fewer_slices_and_none_gives_none() -> None:
    assert [area(item) for item in choose_slices([patient("p", [5, 5]), patient("q", [0])], 0)] == [25, 0]
    assert choose_slices([], 0) == []


def count(picture: Image.Image, color: tuple[int, int, int]) -> int:
    return int((np.asarray(picture) == color).all(axis=2).sum())


def test_the_truth_is_outlined_in_every_column_and_the_prediction_in_its_own() -> None:
    slices = [SliceRef(volume, choose_slices([volume], 0)[0].scale, 0) for volume in [patient("p", [20])]]
    (alone,) = draw_predictions(slices, {"nothing": [square(0)]})
    (found,) = draw_predictions(slices, {"right": [square(20)]})
    assert count(alone, PREDICTION) == 0
    assert count(found, TRUTH) == count(alone, TRUTH) > 0, "the lines do not cover each other"
    ring = 4 * round(20 * CELL / SIDE)
    assert count(found, PREDICTION) == pytest.approx(ring, rel=0.1)
    assert count(alone, TRUTH) == pytest.approx(2 * ring, rel=0.1)


def test_a_wrong_prediction_is_drawn_where_it_is() -> None:
    slices = choose_slices([patient("p", [20])], 0)
    wrong = np.roll(square(6), 24, axis=1)
    (picture,) = draw_predictions(slices, {"wrong": [wrong]})
    columns = np.nonzero((np.asarray(picture) == PREDICTION).all(axis=2))[1]
    left = columns.min() - (picture.width - 20 - CELL)
    assert left == pytest.approx((10 + 24) * CELL / SIDE, abs=2)


def test_many_arms_go_into_more_pictures_of_the_same_slices() -> None:
    slices = choose_slices(cohort(3), 0)
    arms = {f"arm_{number}": [square(4)] * len(slices) for number in range(ARMS_IN_ONE_PICTURE + 2)}
    first, second = draw_predictions(slices, arms)
    assert first.height == second.height
    assert first.width > second.width


def test_nothing_to_draw_and_missing_masks_are_refused() -> None:
    slices = choose_slices(cohort(3), 0)
    with pytest.raises(ArgumentError, match="no slice or no arm"):
        draw_predictions(slices, {})
    with pytest.raises(ArgumentError, match="a has 1 masks for"):
        draw_predictions(slices, {"a": [square(1)]})
