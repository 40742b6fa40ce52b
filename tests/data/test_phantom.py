from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from mcf_bundle.data.phantom import Phantom, patient_name, phantom_volume, write_phantom_cohort
from mcf_bundle.data.phantom.canvas import Tissue, line_coverage
from mcf_bundle.data.phantom.noise import ring_noise, smooth_noise
from mcf_bundle.data.phantom.shapes import ellipse_depth, stroke_depth
from mcf_bundle.errors import ArgumentError, DataError

PRE, FLAIR, POST = 0, 1, 2


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return [phantom_volume(seed, size=128) for seed in range(6)]


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def median(phantom: Phantom, channel: int, where: np.ndarray) -> float:
    return float(np.median(phantom.image[:, channel][where]))


def test_volume_has_the_documented_shapes_and_types(phantoms: list[Phantom]) -> None:
    for phantom in phantoms:
        slices = len(phantom.levels)
        assert 20 <= slices <= 28
        assert phantom.image.shape == (slices, 3, 128, 128)
        assert phantom.image.dtype == np.uint8
        assert phantom.mask.shape == phantom.labels.shape == (slices, 128, 128)
        assert phantom.mask.dtype == np.bool_
        assert (np.diff(phantom.levels) > 0).all()


def test_same_seed_gives_the_same_patient_and_another_seed_another() -> None:
    first, again, other = (phantom_volume(seed, size=64, slices=20) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.mask, again.mask)
    assert (first.image != other.image).any()


def test_sizes_show_the_same_tumor() -> None:
    fine, coarse = phantom_volume(5, size=128), phantom_volume(5, size=64)
    halved = fine.mask.reshape(len(fine.mask), 64, 2, 64, 2).mean((2, 4)) >= 0.5
    overlap = 2 * np.count_nonzero(halved & coarse.mask) / (halved.sum() + coarse.mask.sum())
    assert overlap > 0.85


def test_every_patient_has_tumor_slices_without_gaps_and_free_ones_in_mid_brain(
    phantoms: list[Phantom],
) -> None:
    for phantom in phantoms:
        tumor = np.flatnonzero(phantom.mask.any(axis=(1, 2)))
        assert 2 <= len(tumor) <= 0.5 * len(phantom.levels)
        assert (np.diff(tumor) == 1).all()
        distance = np.abs(np.arange(len(phantom.levels))[:, None] - tumor[None]).min(axis=1)
        middle = (phantom.levels > 0.38) & (phantom.levels < 0.84)
        assert np.count_nonzero(middle & (distance >= 2)) >= 1


def test_tumor_areas_are_those_of_the_lgg_slices(phantoms: list[Phantom]) -> None:
    # Percentiles 5, 50 and 95 of the public set, in pixels of 256 x 256: 315, 1529, 4932.
    areas = 4 * np.concatenate([phantom.mask.sum(axis=(1, 2)) for phantom in phantoms])
    low, middle, high = np.percentile(areas[areas > 0], [5, 50, 95])
    assert 100 < low < 700
    assert 800 < middle < 2600
    assert 2500 < high < 7000


def test_tumor_lies_in_brain_and_is_bright_in_flair_and_darker_before_contrast(
    phantoms: list[Phantom],
) -> None:
    brain = (Tissue.GRAY, Tissue.WHITE, Tissue.DEEP_GRAY, Tissue.CEREBELLUM)
    for phantom in phantoms:
        assert np.isin(phantom.labels[phantom.mask], (*brain, Tissue.CSF)).mean() > 0.97
        white = (phantom.labels == Tissue.WHITE) & ~phantom.mask
        assert median(phantom, FLAIR, phantom.mask) > 1.2 * median(phantom, FLAIR, white)
        assert median(phantom, PRE, phantom.mask) < median(phantom, PRE, white)


def test_contrasts_are_those_of_the_sequences(phantoms: list[Phantom]) -> None:
    for phantom in phantoms:
        free = ~phantom.mask & (phantom.levels > 0.45)[:, None, None]
        white, gray = free & (phantom.labels == Tissue.WHITE), free & (phantom.labels == Tissue.GRAY)
        fluid, fat = free & (phantom.labels == Tissue.CSF), free & (phantom.labels == Tissue.FAT)
        assert median(phantom, PRE, gray) < median(phantom, PRE, white)
        ratio = {name: median(phantom, name, gray) / median(phantom, name, white) for name in (PRE, FLAIR)}
        assert ratio[FLAIR] > ratio[PRE]
        inside = ndimage.binary_erosion(fluid, np.ones((1, 3, 3)))
        assert inside.any()
        assert median(phantom, FLAIR, inside) < 0.4 * median(phantom, FLAIR, white)
        assert median(phantom, PRE, fat) > 1.3 * median(phantom, PRE, white)


def test_missing_post_contrast_is_a_copy_of_flair_and_a_raised_background_is_not_black() -> None:
    phantom = phantom_volume(1, size=64, missing_post=True, raised_background=True)
    np.testing.assert_array_equal(phantom.image[:, POST], phantom.image[:, FLAIR])
    corner = phantom.image[:, :, :4, :4]
    assert 60 <= np.median(corner[:, PRE]) <= 110
    assert np.median(corner[:, FLAIR]) < 15


def test_cohort_has_the_lgg_layout(tmp_path: Path) -> None:
    names = write_phantom_cohort(tmp_path / "cohort", 2, 7, size=64)
    assert names == ["TCGA_PA_0001_20200101", "TCGA_PB_0002_20200102"]
    for name in names:
        masks = sorted((tmp_path / "cohort" / name).glob("*_mask.tif"))
        for number in range(1, len(masks) + 1):
            image = tifffile.imread(tmp_path / "cohort" / name / f"{name}_{number}.tif")
            mask = tifffile.imread(tmp_path / "cohort" / name / f"{name}_{number}_mask.tif")
            assert (image.shape, image.dtype) == ((64, 64, 3), np.uint8)
            assert (mask.shape, mask.dtype) == ((64, 64), np.uint8)
            assert set(np.unique(mask)) <= {0, 255}
        assert len(list((tmp_path / "cohort" / name).iterdir())) == 2 * len(masks)


def test_cohort_is_byte_identical_and_its_patients_do_not_depend_on_their_number(tmp_path: Path) -> None:
    short, long = tmp_path / "short", tmp_path / "long"
    write_phantom_cohort(short, 1, 7, size=64)
    write_phantom_cohort(long, 2, 7, size=64)
    name = patient_name(1)
    assert digests(short / name) == digests(long / name)


def test_second_call_succeeds_and_leaves_the_files_alone(tmp_path: Path) -> None:
    folder = tmp_path / "cohort"
    first = write_phantom_cohort(folder, 1, 7, size=64)
    before = digests(folder)
    assert write_phantom_cohort(folder, 1, 7, size=64) == first
    assert digests(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["cohort"]


def test_sixth_patient_lacks_post_contrast(tmp_path: Path) -> None:
    names = write_phantom_cohort(tmp_path / "cohort", 6, 0, size=64)
    missing = []
    for name in names:
        image = tifffile.imread(tmp_path / "cohort" / name / f"{name}_10.tif")
        missing.append(bool((image[..., FLAIR] == image[..., POST]).all()))
    assert missing == [False] * 5 + [True]


def test_names_are_unique_and_shaped_like_those_of_the_lgg_set() -> None:
    names = [patient_name(number) for number in range(1, 401)]
    assert len(set(names)) == 400
    assert all(re.fullmatch(r"TCGA_P[ABC]_\d{4}_\d{8}", name) for name in names)


@pytest.mark.parametrize("change", ["other seed", "stray file", "patient removed"])
def test_folder_with_anything_else_is_refused(tmp_path: Path, change: str) -> None:
    folder = tmp_path / "cohort"
    if change == "stray file":
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
    else:
        write_phantom_cohort(folder, 1, 1, size=64)
    if change == "patient removed":
        (folder / patient_name(1)).rename(tmp_path / "elsewhere")
    before = digests(folder)
    with pytest.raises(DataError, match="cohort"):
        write_phantom_cohort(folder, 1, 2 if change == "other seed" else 1, size=64)
    assert digests(folder) == before


def test_interrupted_writing_leaves_no_cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(tifffile, "imwrite", fail)
    with pytest.raises(OSError, match="no space"):
        write_phantom_cohort(tmp_path / "cohort", 1, 1, size=64)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("patients", "seed", "size", "argument"),
    [(0, 1, 64, "patients"), (1, -1, 64, "seed"), (1, 1, 32, "size"), (1, 1, 100, "size")],
)
def test_bad_arguments_are_named(tmp_path: Path, patients: int, seed: int, size: int, argument: str) -> None:
    with pytest.raises(ArgumentError, match=argument):
        write_phantom_cohort(tmp_path / "cohort", patients, seed, size=size)
    assert list(tmp_path.iterdir()) == []


def test_too_few_slices_are_refused() -> None:
    with pytest.raises(ArgumentError, match="slices"):
        phantom_volume(1, size=64, slices=5)


def test_smooth_noise_has_unit_variance_and_keeps_its_pattern_across_sizes() -> None:
    coarse = smooth_noise(np.random.default_rng(0), (400, 32, 32), (0.2, 8, 8))
    fine = smooth_noise(np.random.default_rng(0), (400, 64, 64), (0.2, 16, 16))
    assert abs(float(coarse.std()) - 1) < 0.05
    np.testing.assert_allclose(fine[:, ::2, ::2], coarse, atol=1e-4)


def test_ring_noise_has_no_seam() -> None:
    ring = ring_noise(np.random.default_rng(0), 50, 720, (2, 30))
    seam = np.abs(ring[:, 0] - ring[:, -1]).max()
    assert seam < 2 * np.abs(np.diff(ring, axis=1)).max()
    assert abs(float(ring.std()) - 1) < 0.15


def test_shapes_have_the_depth_that_geometry_says() -> None:
    x = np.array([0, 3, 4, 6], np.float32)
    y = np.zeros(4, np.float32)
    np.testing.assert_allclose(ellipse_depth(x, y, (0, 0), (4, 4)), [4, 1, 0, -2], atol=1e-6)
    np.testing.assert_allclose(stroke_depth(x, y, [(0, 0), (4, 0)], [1, 1]), [1, 1, 1, -1], atol=1e-6)


def test_line_thinner_than_a_pixel_covers_its_width() -> None:
    cover = line_coverage(np.array([0.0, 0.0, 2.0], np.float32), np.array([0.2, -1.0, 0.2], np.float32), 1.0)
    np.testing.assert_allclose(cover, [0.4, 0.0, 0.0], atol=1e-6)
