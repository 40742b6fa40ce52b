"""Augmentation is a function of seed, epoch and sample; what it does to a picture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.data import get_track_meta, set_track_meta
from torch.utils.data import DataLoader

from mcf_bundle.data.augmentation import AUGMENTATIONS, make_augmentation
from mcf_bundle.data.augmented import AugmentedDataset
from mcf_bundle.data.splits import TRAIN
from mcf_bundle.data.training_data import TrainingData
from mcf_bundle.data.triplet_dataset import SliceRef, TripletDataset
from mcf_bundle.data.volume import Label
from mcf_bundle.errors import ArgumentError


@pytest.fixture(scope="module")
def slices(phantom_cohort: Path) -> list[SliceRef]:
    found = TrainingData(phantom_cohort).slices(TRAIN)
    return [item for item in found if item.label == Label.TUMOR][:6]


def images(dataset: AugmentedDataset, epoch: int, **loader: int) -> torch.Tensor:
    dataset.set_epoch(epoch)
    return torch.cat([batch["image"] for batch in DataLoader(dataset, batch_size=4, **loader)])


def test_an_epoch_gives_the_same_whatever_came_before_and_however_many_workers(slices: list) -> None:
    dataset = AugmentedDataset(slices, make_augmentation("strong"), seed=3)
    first = images(dataset, 1)
    second = images(dataset, 2)
    fresh = AugmentedDataset(slices, make_augmentation("strong"), seed=3)
    assert torch.equal(images(fresh, 2), second)
    assert torch.equal(images(dataset, 1), first)
    assert torch.equal(images(dataset, 2, num_workers=2), second)
    assert not torch.equal(first, second)


def test_workers_that_stay_learn_of_the_next_epoch(slices: list) -> None:
    dataset = AugmentedDataset(slices, make_augmentation("strong"), seed=3)
    loader = DataLoader(dataset, batch_size=4, num_workers=1, persistent_workers=True)
    for epoch in (1, 2):
        dataset.set_epoch(epoch)
        found = torch.cat([batch["image"] for batch in loader])
        assert torch.equal(found, images(AugmentedDataset(slices, make_augmentation("strong"), 3), epoch))


def test_the_seed_matters(slices: list) -> None:
    one, other = (AugmentedDataset(slices, make_augmentation("strong"), seed) for seed in (0, 1))
    assert not torch.equal(images(one, 0), images(other, 0))


def test_none_changes_nothing(slices: list) -> None:
    plain, same = TripletDataset(slices)[0], AugmentedDataset(slices, make_augmentation("none"))[0]
    assert plain.keys() == same.keys()
    for key, value in plain.items():
        if isinstance(value, torch.Tensor):
            assert torch.allclose(value, same[key], atol=1e-6), key
            assert type(same[key]) is torch.Tensor
        else:
            assert same[key] == value


def test_flip_mirrors_left_to_right_all_or_nothing(slices: list) -> None:
    plain = TripletDataset(slices)
    dataset = AugmentedDataset(slices, make_augmentation("flip"))
    mirrored = 0
    for position in range(len(plain)):
        before, after = plain[position], dataset[position]
        flipped = not torch.allclose(before["image"], after["image"], atol=1e-6)
        mirrored += flipped
        for key in ("image", "context", "mask"):
            expected = before[key].flip(-1) if flipped else before[key]
            assert torch.allclose(after[key], expected, atol=1e-6), key
    assert 0 < mirrored < len(plain)


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_range_shape_and_types_stay(name: str, slices: list) -> None:
    plain, dataset = TripletDataset(slices), AugmentedDataset(slices, make_augmentation(name))
    for epoch in range(3):
        dataset.set_epoch(epoch)
        for position in range(len(plain)):
            before, after = plain[position], dataset[position]
            for key in ("image", "context", "mask"):
                assert after[key].shape == before[key].shape
                assert after[key].dtype == torch.float32
                assert after[key].isfinite().all()
            assert set(after["mask"].unique().tolist()) <= {0.0, 1.0}
            assert after["patient"] == before["patient"]


def test_image_context_and_mask_are_turned_together(slices: list) -> None:
    """Slice, neighbors and mask are the same ramp: whatever is done to space, they stay the same."""
    marked = make_augmentation("strong")
    marked.set_random_state(seed=0)
    square = torch.zeros(1, 64, 64)
    square[:, 20:40, 12:30] = 1
    moved = 0
    for _ in range(30):
        sample = {"image": square.repeat(3, 1, 1) * 2 - 1, "context": square.repeat(6, 1, 1) * 2 - 1}
        result = marked({**sample, "mask": square})
        inside, outside = result["mask"] > 0, result["mask"] == 0
        moved += bool((result["mask"] != square).any())
        for key in ("image", "context"):
            bright = result[key].mean(0, keepdim=True)
            assert (bright == -1).float().mean() > 0.5, "the background is exactly -1, the frame's rim too"
            assert bright[inside].mean() > bright[outside].mean() + 0.5
    assert moved > 10


@pytest.mark.parametrize("sides", [(64, 64), (64, 48), (30, 64)])
def test_a_size_gives_squares_and_keeps_proportions(sides: tuple[int, int]) -> None:
    sample = {"image": torch.ones(3, *sides), "context": torch.ones(6, *sides), "mask": torch.ones(1, *sides)}
    result = make_augmentation("none", size=32)(sample)
    assert result["image"].shape == (3, 32, 32)
    share = min(sides) / max(sides)
    assert result["mask"].mean() == pytest.approx(share, abs=0.04)
    assert torch.equal(result["image"][:1] == 1, result["mask"] == 1), "the rest is background"
    assert set(result["image"].unique().tolist()) <= {-1.0, 1.0}


def test_an_unknown_name_lists_what_exists() -> None:
    with pytest.raises(ArgumentError, match="'weak' does not exist; choose one of none, flip, strong"):
        make_augmentation("weak")


@pytest.mark.parametrize("size", [0, -3, 1.5])
def test_a_bad_size_is_refused(size: float) -> None:
    with pytest.raises(ArgumentError, match="size"):
        make_augmentation("none", size=size)  # type: ignore[arg-type]


def test_monai_s_history_is_neither_kept_nor_switched_off_for_others(slices: list) -> None:
    dataset = AugmentedDataset(slices, make_augmentation("strong"), seed=3)
    before = get_track_meta()
    try:
        for tracking in (True, False):
            set_track_meta(tracking)
            sample = dataset[0]
            assert type(sample["image"]) is torch.Tensor
            assert get_track_meta() is tracking
    finally:
        set_track_meta(before)
