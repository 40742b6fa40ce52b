"""Stored pictures and volumes: found, turned, normalized, saved with their geometry."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from PIL import Image

from mcf_bundle.data.normalization import estimate_intensity_scale
from mcf_bundle.data.stored_images import (
    NormalizeVolumed,
    OrientSlicesd,
    SaveMaskd,
    find_images,
    normalize_volume,
)
from mcf_bundle.data.triplet_dataset import to_network_range
from mcf_bundle.errors import DataError

LOAD = Compose(
    [
        LoadImaged("image", reader=["NibabelReader", "PILReader"]),
        EnsureChannelFirstd("image"),
        OrientSlicesd("image"),
    ]
)


def head(*shape: int) -> np.ndarray:
    """Gray levels on a black frame."""
    image = np.zeros(shape, np.uint8)
    inner = (slice(None), *(slice(5, side - 5) for side in shape[1:3]))
    image[inner] = np.random.default_rng(0).integers(20, 250, image[inner].shape)
    return image


def test_images_are_found_and_masks_left_out(tmp_path: Path) -> None:
    for name in ("b/x_1.tif", "b/x_1_mask.tif", "a.nii.gz", "c_mask.nii.gz", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [Path(item["image"]).name for item in find_images(tmp_path)] == ["a.nii.gz", "x_1.tif"]


def test_an_empty_or_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no image"):
        find_images(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        find_images(tmp_path / "nowhere")


def test_a_picture_is_read_as_the_training_reads_it(tmp_path: Path) -> None:
    image = head(3, 20, 32)
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(image, 0, -1))
    loaded = LOAD({"image": str(tmp_path / "a.tif")})["image"]
    assert np.array_equal(loaded.numpy(), image)


@pytest.mark.parametrize("codes", ["RAS", "PLS", "LPI", "SAR"])
def test_a_volume_s_slices_lie_as_in_training_whatever_its_axes(tmp_path: Path, codes: str) -> None:
    """The same body, stored along other axes, gives the same stack of slices."""
    body = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    standing = nibabel.Nifti1Image(body, np.diag([2.0, 3.0, 4.0, 1.0]))  # axes R, A, S
    target = nibabel.orientations.axcodes2ornt(tuple(codes))
    nibabel.save(standing.as_reoriented(target), tmp_path / "a.nii.gz")
    loaded = LOAD({"image": str(tmp_path / "a.nii.gz")})["image"]
    expected = body[::-1, ::-1].transpose(1, 0, 2)  # rows to the back, columns to the left
    assert np.array_equal(loaded.numpy()[0], expected)


def test_a_volume_s_scale_is_the_training_s() -> None:
    stack = head(3, 30, 40, 6)
    slices_first = np.moveaxis(stack, -1, 0)
    expected = to_network_range(estimate_intensity_scale(slices_first).normalize(slices_first))
    found = normalize_volume(stack.astype(np.float32), "a")
    assert np.array_equal(np.moveaxis(found, -1, 0), expected)
    assert found.dtype == np.float32


def test_the_unit_of_the_gray_levels_does_not_matter() -> None:
    stack = head(3, 30, 40, 4).astype(np.float32)
    stack[:, 12, 12], stack[:, 13, 13] = 0, 255  # so that both have the same 256 levels
    other = stack * 7.25 - 300
    assert np.allclose(normalize_volume(other, "a"), normalize_volume(stack, "a"), atol=1e-4)


def test_one_sequence_stands_in_all_channels() -> None:
    found = normalize_volume(head(1, 30, 40), "a")
    assert found.shape == (3, 30, 40)
    assert np.array_equal(found[0], found[2])


def test_an_image_without_contrast_is_background() -> None:
    assert (normalize_volume(np.full((3, 8, 8), 0.3), "a") == -1).all()


@pytest.mark.parametrize(
    ("image", "problem"),
    [(np.zeros((4, 8, 8)), "has 4 channels"), (np.full((3, 8, 8), np.nan), "not finite")],
)
def test_what_cannot_be_normalized_names_the_file(image: np.ndarray, problem: str) -> None:
    tensor = MetaTensor(torch.from_numpy(image), meta={"filename_or_obj": "x.tif"})
    with pytest.raises(DataError, match=rf"x\.tif: .*{problem}"):
        NormalizeVolumed("image")({"image": tensor})


def test_a_picture_s_mask_is_a_png(tmp_path: Path) -> None:
    mask = MetaTensor(torch.zeros(1, 4, 6), meta={"filename_or_obj": "x.tif"})
    mask[0, 3, 1] = 1
    SaveMaskd("pred", tmp_path)({"pred": mask})
    saved = np.asarray(Image.open(tmp_path / "x_mask.png"))
    assert saved.shape == (6, 4), "MONAI's first axis is a picture's columns"
    assert saved[1, 3] == 255
    assert saved.sum() == 255


SHEARED = np.array([[0.9, 0.2, 0, -10], [-0.1, 1.1, 0, 20], [0, 0, 3, 5], [0, 0, 0, 1.0]])
PLAIN = np.diag([0.9, 1.1, 3.0, 1.0])


@pytest.mark.parametrize(("affine", "code"), [(PLAIN, 1), (SHEARED, 0)])
def test_a_saved_mask_says_one_grid_only(affine: np.ndarray, code: int, tmp_path: Path) -> None:
    meta = {"filename_or_obj": "volume.nii.gz"}
    mask = MetaTensor(torch.ones(1, 4, 5, 3), affine=torch.from_numpy(affine), meta=meta)
    SaveMaskd("pred", tmp_path)({"pred": mask})
    saved = nibabel.load(tmp_path / "volume_mask.nii.gz")
    assert np.allclose(saved.get_sform(), affine, atol=1e-6)
    assert int(saved.header["qform_code"]) == code
    assert code == 0 or np.allclose(saved.get_qform(), affine, atol=1e-4)
    assert saved.header.get_xyzt_units()[0] == "mm"
