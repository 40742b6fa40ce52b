"""The scripts in docs/train_on_your_own_data.md, run as they stand on files whose content is known."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from nibabel.orientations import axcodes2ornt, ornt_transform
from numpy.typing import NDArray

from mcf_bundle.data.lgg import read_volume

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "train_on_your_own_data.md"
SPACING_MM = (1.0, 2.0, 5.0)
SHAPE = (128, 64, 3)  # 128 mm to the right, 128 mm to the front: 2 pixels a millimeter at 256 x 256


def script(folder: Path, number: int) -> str:
    """Write one of the document's scripts into a folder."""
    blocks = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    path = folder / f"script_{number}.py"
    path.write_text(blocks[number])
    return str(path)


def save_nifti(path: Path, array: NDArray, orientation: str) -> None:
    """Store an array whose axes grow to right, front and top with axes in another order."""
    image = nib.Nifti1Image(array, np.diag([*SPACING_MM, 1]))
    image.as_reoriented(ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(orientation))).to_filename(path)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "ASR"])
def test_nifti_files_become_slices_from_below_with_the_face_up_and_left_at_the_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orientation: str
) -> None:
    monkeypatch.chdir(tmp_path)
    head = np.zeros(SHAPE, np.int16)
    head[8:120, 4:60] = 100
    mask = np.zeros(SHAPE, np.uint8)
    mask[16:32, 48:56, 2] = 1  # 16 mm x 16 mm in the top slice, at the front and at the patient's left
    volumes = {"pre": head, "flair": head + 50 * mask, "post": 2 * head, "mask": mask}
    for name, array in volumes.items():
        save_nifti(Path(f"{name}.nii.gz"), array.astype(np.int16), orientation)
    for name in ("pre", "flair", "post"):
        save_nifti(Path(f"{name}2.nii.gz"), head, orientation)
    runpy.run_path(script(tmp_path, 0))

    names = [f"case_001_{number}{kind}.tif" for number in (1, 2, 3) for kind in ("", "_mask")]
    assert sorted(path.name for path in Path("dataset/case_001").iterdir()) == sorted(names)
    images, masks = (
        [tifffile.imread(f"dataset/case_001/case_001_{number}{kind}.tif") for number in (1, 2, 3)]
        for kind in ("", "_mask")
    )
    assert {(image.shape, image.dtype.name) for image in images} == {((256, 256, 3), "uint8")}
    assert {(label.shape, label.dtype.name) for label in masks} == {((256, 256), "uint8")}
    assert [int(label.max()) for label in masks] == [0, 0, 255]
    rows, columns = np.nonzero(masks[2])
    # Front edge at 56 of 64 voxels of 2 mm, left edge at 16 of 128 voxels of 1 mm from the patient's left.
    assert (rows.min(), rows.max()) == (2 * 16, 2 * 32 - 1)
    assert (columns.min(), columns.max()) == (2 * 96, 2 * 112 - 1)
    flair = images[2][..., 1]
    assert flair[masks[2] > 0].mean() > 1.4 * flair[100:150, 100:150].mean() > 0
    assert images[0][0].max() == 0
    healthy = read_volume(Path("dataset/case_002"))
    assert healthy.image.shape == (3, 3, 256, 256)
    assert healthy.image.any()
    assert not healthy.mask.any()


def test_the_loader_finds_real_and_synthetic_slices_below_their_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    roots = {"real": Path("runs/try/phantom"), "synthetic": Path("runs/try/generated")}
    entries = []
    for number, (root, split) in enumerate(
        [("real", "train"), ("synthetic", "train"), ("real", "validation"), ("real", "test")]
    ):
        image, mask = np.zeros((32, 64, 3), np.uint8), np.zeros((32, 64), np.uint8)
        image[4, 9] = 51 * (number + 1)
        mask[4, 9] = 255 if root == "synthetic" else 1
        entry = {"root": root, "split": split, "image": f"p{number}/a.tif", "label": f"p{number}/a_mask.tif"}
        (roots[root] / f"p{number}").mkdir(parents=True)
        tifffile.imwrite(roots[root] / entry["image"], image, photometric="rgb")
        tifffile.imwrite(roots[root] / entry["label"], mask)
        entries.append(entry)
    (roots["synthetic"] / "datalist.json").write_text(json.dumps({"entries": entries}))
    batch = runpy.run_path(script(tmp_path, 1))["batch"]

    assert batch["image"].shape == (2, 3, 32, 64)
    assert sorted(batch["image"][:, 0, 4, 9].tolist()) == pytest.approx([0.2, 0.4])
    assert batch["label"].shape == (2, 1, 32, 64)
    assert batch["label"].sum(dim=(1, 2, 3)).tolist() == [1, 1]
    assert batch["label"][:, 0, 4, 9].tolist() == [1, 1]
