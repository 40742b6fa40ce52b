from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mcf_bundle.data.anatomy import brain_region, head_mask
from mcf_bundle.data.phantom import phantom_volume
from mcf_bundle.data.survey import survey_volumes
from mcf_bundle.data.volume import Volume
from tests.data.disc_head import BRAIN, NUCLEUS, SKULL, flair_of, volume_of

LGG = Path(os.environ.get("MCF_LGG_DIR", "data/kaggle_3m"))
"""Where the public LGG slices are, if they are here."""


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * float((first & second).sum()) / float(first.sum() + second.sum())


@pytest.mark.parametrize("size", [64, 128, 256])
def test_head_and_brain_of_discs_are_found_at_every_size(size):
    flair = flair_of(size)
    head = head_mask(flair)
    brain = brain_region(flair, head)
    middle = slice(8, 16)
    assert dice(head[middle], flair[middle] > 0) > 0.97
    assert dice(brain[middle], (flair[middle] == BRAIN) | (flair[middle] == NUCLEUS)) > 0.95
    assert not (brain & ~head).any()
    assert not head[-2:].any()
    assert not brain[-2:].any()


def test_brain_does_not_reach_scalp_in_the_middle_of_the_head():
    flair = flair_of(128)
    brain = brain_region(flair, head_mask(flair))
    assert (flair[8:16][brain[8:16]] > BRAIN).mean() < 0.01
    assert (flair[8:16] == SKULL).any()


def test_masks_move_with_the_head():
    flair = flair_of(128)
    moved = np.roll(flair, (6, -4), axis=(1, 2))
    head, moved_head = head_mask(flair), head_mask(moved)
    np.testing.assert_array_equal(np.roll(head, (6, -4), axis=(1, 2)), moved_head)
    brain, moved_brain = brain_region(flair, head), brain_region(moved, moved_head)
    np.testing.assert_array_equal(np.roll(brain, (6, -4), axis=(1, 2)), moved_brain)


def test_masks_mirror_with_the_head():
    flair = flair_of(128, angle_deg=7.0)
    np.testing.assert_array_equal(head_mask(flair[:, :, ::-1]), head_mask(flair)[:, :, ::-1])


def test_a_raised_background_and_another_unit_change_nothing():
    flair = flair_of(64).astype(np.float32)
    np.testing.assert_array_equal(head_mask(flair / 255.0 + 0.3), head_mask(flair))


def test_both_hemispheres_and_a_bright_tumor_stay_in_the_brain():
    flair = flair_of(128)
    flair[:, :, 62:66] = np.where(flair[:, :, 62:66] == BRAIN, 5, flair[:, :, 62:66])
    volume = volume_of("A", flair, tumor=(10, 11, 12, 13), radius=14)
    brain = brain_region(volume.flair, head_mask(volume.flair))
    assert (volume.mask & brain).sum() >= 0.98 * volume.mask.sum()
    assert (brain[12, :, :60].sum()) > 0.9 * (brain[12, :, 68:].sum())


@pytest.mark.parametrize(
    "flair",
    [
        np.zeros((5, 64, 64), np.uint8),
        np.full((5, 64, 64), 255, np.uint8),
        np.zeros((0, 64, 64), np.uint8),
        np.zeros((1, 1, 1), np.uint8),
        np.random.default_rng(0).normal(20, 4, (4, 64, 64)).astype(np.float32),
    ],
    ids=["black", "white", "no slices", "one pixel", "noise"],
)
def test_a_volume_without_a_head_has_empty_masks(flair):
    head = head_mask(flair)
    assert head.shape == flair.shape
    assert head.dtype == bool
    assert not head.any()
    assert not brain_region(flair, head).any()


def test_an_image_need_not_be_square():
    flair = np.pad(flair_of(64), ((0, 0), (0, 0), (16, 16)))
    head = head_mask(flair)
    assert dice(head[8:16], flair[8:16] > 0) > 0.95


@pytest.mark.parametrize("size", [64, 128])
def test_tumors_of_phantoms_lie_in_the_brain(size):
    for seed in range(3):
        phantom = phantom_volume(seed, size=size)
        flair = phantom.image[:, 1]
        brain = brain_region(flair, head_mask(flair))
        for mask, region in zip(phantom.mask, brain, strict=True):
            assert (mask & region).sum() >= 0.98 * mask.sum()


def read_lgg(folder: Path) -> Volume:
    tifffile = pytest.importorskip("tifffile")
    files = sorted(folder.glob("*_mask.tif"), key=lambda path: int(path.stem.split("_")[-2]))
    image = np.stack([tifffile.imread(str(path).replace("_mask", "")).transpose(2, 0, 1) for path in files])
    mask = np.stack([tifffile.imread(path) > 0 for path in files])
    return Volume(folder.name, "CS", tuple(range(1, len(files) + 1)), image, mask)


@pytest.mark.slow
@pytest.mark.skipif(not LGG.is_dir(), reason="the public LGG slices are not here")
def test_lgg_tumors_at_host_levels_lie_in_the_brain_in_95_percent_of_the_slices():
    folders = [path for path in sorted(LGG.iterdir()) if path.is_dir()]
    cases = survey_volumes([read_lgg(folder) for folder in folders]).cases
    inside = []
    for case in cases:
        chosen = case.volume.labels & (case.level >= 0.38) & (case.level <= 0.84)
        for mask, brain in zip(case.volume.mask[chosen], case.brain[chosen], strict=True):
            inside.append((mask & brain).sum() >= 0.98 * mask.sum())
    assert np.mean(inside) >= 0.95
