"""Damaged and forged files: each is refused in one line that names it, or read as what it was."""

from __future__ import annotations

import gzip
import os
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from mcf_bundle.bounded_file import read_bytes, read_lines
from mcf_bundle.data import lgg
from mcf_bundle.data.lgg import read_cohort, read_volume
from mcf_bundle.data.load_image import check_image_file
from mcf_bundle.data.prepare import prepare_dataset
from mcf_bundle.data.stored_images import find_images
from mcf_bundle.data.tiff import read_tiff
from mcf_bundle.errors import CheckpointError, DataError
from mcf_bundle.limits import MAX_SIDE
from mcf_bundle.metrics.extractors import load_extractor
from mcf_bundle.networks.checkpoint import hash_file, read_checkpoint, read_tensors, save_checkpoint
from mcf_bundle.networks.classification_networks import load_pretrained, make_classification_network
from mcf_bundle.networks.denoiser import Denoiser
from mcf_bundle.networks.generative_checkpoint import load_generative_checkpoint
from tests.damage import HEAD, all_damages, png, try_damages
from tests.damage_targets import PATIENT, make_targets, write_patient

MEMORY_BYTES = 60_000_000
"""More than any reader here needs for what it may do with a forgery."""


def test_every_damaged_file_is_refused_by_name_or_read_as_it_was(
    tmp_path: Path, phantom_cohort: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tallies = [
        try_damages(target, all_damages(target.path.read_bytes(), cuts=10, flips=16))
        for target in make_targets(tmp_path, phantom_cohort)
    ]
    with capsys.disabled():
        print("\n" + "\n".join([HEAD, *map(str, tallies)]))
    for tally in tallies:
        tally.check()
        assert tally.refused > 20, tally


@pytest.mark.parametrize("compression", ["lzw", "zstd", "lzma"])
def test_a_compression_that_is_not_read_is_named_with_the_way_out(tmp_path: Path, compression: str) -> None:
    path = write_patient(tmp_path, "zlib") / f"{PATIENT}_2.tif"
    forge(path, Compression=tifffile.COMPRESSION[compression.upper()])
    with pytest.raises(DataError) as caught:
        read_volume(tmp_path / PATIENT)
    assert str(caught.value) == (
        f"{path}: is compressed by {compression.upper()}, which is not read; "
        "save it without compression, or with deflate or PackBits"
    )


@pytest.mark.parametrize("compression", [None, "packbits", "tiff_adobe_deflate"])
def test_the_compressions_that_are_read_need_no_further_package(
    tmp_path: Path, compression: str | None
) -> None:
    path = tmp_path / "a.tif"
    pixels = np.random.default_rng(0).integers(0, 9, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(path, compression=compression)
    assert np.array_equal(read_tiff(path), pixels)


@pytest.mark.parametrize("end", ["", "_mask"])
def test_preparing_a_damaged_dataset_writes_nothing(tmp_path: Path, end: str) -> None:
    path = write_patient(tmp_path / "data", "zlib") / f"{PATIENT}_2{end}.tif"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=path.name):
        prepare_dataset(tmp_path / "data", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --- Forged headers --------------------------------------------------------------------------------


def forge(path: Path, **tags: int) -> None:
    """Write another number into a TIFF's tags."""
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name, value in tags.items():
            file.pages.first.tags[name].overwrite(value)


def bomb(path: Path, size: int) -> None:
    """Let the only strip of a slice unpack to much more than the slice has."""
    tifffile.imwrite(path, np.zeros((32, 32, 3), np.uint8), photometric="rgb", compression="zlib")
    packed = zlib.compress(bytes(size), 9)
    with path.open("ab") as file:
        place = file.tell()
        file.write(packed)
    forge(path, StripOffsets=place, StripByteCounts=len(packed))


def pack(path: Path) -> None:
    """Deflate the parts of a file of torch.save."""
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in parts.items():
            file.writestr(name, data)


def flip_a_weight(path: Path) -> None:
    """Change a weight of 1 by one bit."""
    content = path.read_bytes()
    one = struct.pack("<f", 1)
    assert one in content
    path.write_bytes(content.replace(one, struct.pack("<f", 1.5), 1))


FORGERIES: dict[str, Callable[[Path], None]] = {
    "width": lambda path: forge(path, ImageWidth=65_504),
    "length": lambda path: forge(path, ImageLength=2**31),
    "both": lambda path: forge(path, ImageWidth=MAX_SIDE, ImageLength=MAX_SIDE),
    "samples": lambda path: forge(path, SamplesPerPixel=60_000),
    "strip behind the end": lambda path: forge(path, StripOffsets=2**31),
    "strip of all memory": lambda path: forge(path, StripByteCounts=2**32 - 1),
    "empty strip": lambda path: forge(path, StripByteCounts=0),
    "bomb of deflate": lambda path: bomb(path, 300_000_000),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_slice_is_refused_before_it_takes_memory(tmp_path: Path, name: str) -> None:
    path = write_patient(tmp_path, "zlib") / f"{PATIENT}_2.tif"
    FORGERIES[name](path)
    assert_refused_cheaply(lambda: read_volume(tmp_path / PATIENT), path)


def test_a_forged_mask_and_a_forged_picture_are_refused_before_they_take_memory(tmp_path: Path) -> None:
    path = write_patient(tmp_path, "zlib") / f"{PATIENT}_1_mask.tif"
    forge(path, ImageWidth=2**31, ImageLength=2**31)
    assert_refused_cheaply(lambda: read_volume(tmp_path / PATIENT), path)
    picture = tmp_path / "a.png"
    picture.write_bytes(png(9000, 9000))
    assert_refused_cheaply(lambda: check_image_file(picture), picture)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("shape", [(4000, 4000, 4000), (32767, 1, 1), (512, 512, 300), (-5, 5, 5)])
def test_a_forged_volume_is_refused_before_it_takes_memory(
    tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    path = tmp_path / name
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), path)
    opened = gzip.open if name.endswith(".gz") else open
    with opened(path, "rb") as file:
        content = bytearray(file.read())
    content[42:48] = struct.pack("<3h", *shape)
    with opened(path, "wb") as file:
        file.write(content)
    assert_refused_cheaply(lambda: check_image_file(path), path)


def test_a_volume_that_unpacks_to_more_than_it_declares_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), path)
    path.write_bytes(path.read_bytes() + gzip.compress(bytes(200_000_000), 1))
    assert_refused_cheaply(lambda: check_image_file(path), path)


NIFTI_HEADERS = {
    "NIfTI-1": (nibabel.Nifti1Image, 348, 108, "f"),
    "NIfTI-2": (nibabel.Nifti2Image, 540, 168, "q"),
}
"""Kind of image, bytes of its header, place and type of the pixels' place."""


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", NIFTI_HEADERS)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize(
    ("pixels", "sizes", "problem"),
    [
        (300_000_000, [299_000_000], "bytes of extensions, 1048576 are allowed"),
        (300_000_000, [], "bytes of extensions, 1048576 are allowed"),
        (0, [299_000_000], "declares extensions and its pixels at byte 0"),
        (1024, [299_000_000], "declares an extension of 299000000 bytes"),
        (1024, [32, -8], "declares an extension of -8 bytes"),
        (1024, [8], "declares an extension of 8 bytes"),
    ],
)
def test_a_forged_extension_of_a_volume_is_refused_before_it_takes_memory(
    tmp_path: Path, name: str, kind: str, order: str, pixels: int, sizes: list[int], problem: str
) -> None:
    path, (image, start, place, code) = tmp_path / name, NIFTI_HEADERS[kind]
    header = bytearray(
        image(np.zeros((4, 4, 4), np.uint8), np.eye(4)).header.as_byteswapped(order).binaryblock
    )
    header[place : place + struct.calcsize(code)] = struct.pack(order + code, pixels)
    parts = [struct.pack(f"{order}2i", size, 6) + bytes(max(0, min(size - 8, 1000))) for size in sizes]
    content = bytes(header[:start]) + bytes([bool(sizes), 0, 0, 0]) + b"".join(parts)
    packed = (gzip.compress(content, 1), gzip.compress(bytes(100_000_000), 1))
    path.write_bytes(b"".join(packed) if name.endswith(".gz") else content + bytes(4096))
    assert_refused_cheaply(lambda: check_image_file(path), path, problem)


@pytest.mark.parametrize("kind", NIFTI_HEADERS)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_extensions_of_a_sane_size_are_read(tmp_path: Path, name: str, kind: str) -> None:
    image = NIFTI_HEADERS[kind][0](np.zeros((4, 4, 4), np.uint8), np.eye(4))
    for size in (5, 500_000):
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"x" * size))
    nibabel.save(image, tmp_path / name)
    check_image_file(tmp_path / name)


def test_a_checkpoint_with_a_packed_part_is_refused(tmp_path: Path) -> None:
    """torch.save packs nothing; a packed part may unpack to any size."""
    path = tmp_path / "model.pt"
    weights = {"weight": torch.zeros(9)}
    save_checkpoint(path, weights, preset="smoke", kind="gate", patients=[], info={})
    pack(path)
    with pytest.raises(CheckpointError, match=r"model\.pt: cannot be read"):
        read_checkpoint(path)


LOADERS: dict[str, Callable[[Path], object]] = {
    "extractor": lambda path: load_extractor("radimagenet_resnet50", path, sha256=hash_file(path)),
    "pretrained": lambda path: load_pretrained(make_classification_network("shufflenet"), path),
    "generative": lambda path: load_generative_checkpoint(Denoiser(2, 9, 3), path),
}


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("damage", [pack, flip_a_weight])
def test_weights_of_others_with_a_packed_part_or_a_flipped_bit_are_refused(
    tmp_path: Path, loader: str, damage: Callable[[Path], None]
) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"weight": torch.ones(9)}, path)
    with pytest.raises(CheckpointError) as whole:
        LOADERS[loader](path)
    assert "fit" in whole.value.problem or "used as weights" in whole.value.problem
    damage(path)
    with pytest.raises(CheckpointError, match=r"weights\.pth: cannot be read \(BadZipFile\)"):
        LOADERS[loader](path)


def test_weights_from_before_checksums_are_read_where_others_may_have_written_them(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"weight": torch.ones(9)}, path, _use_new_zipfile_serialization=False)
    assert torch.equal(read_tensors(path, remedy="", allow_old=True)["weight"], torch.ones(9))
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_tensors(path, remedy="")


def assert_refused_cheaply(read: Callable[[], object], path: Path, problem: str = "") -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=f"{path.name}.*{problem}"):
            read()
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES
    finally:
        tracemalloc.stop()


# --- Number and size -------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "value"), [("MAX_SLICES", 2), ("MAX_VOXELS", 3 * 32 * 32 - 1)])
def test_a_patient_of_too_many_slices_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    folder = write_patient(tmp_path, "zlib", slices=3)
    assert len(read_volume(folder).image) == 3
    monkeypatch.setattr(lgg, limit, value)
    with pytest.raises(DataError, match=rf"{PATIENT}: .*3 slices.* allowed"):
        read_volume(folder)


def test_a_dataset_of_too_many_patients_is_refused_before_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_patient(tmp_path, "zlib")
    for name in ("A", "B"):
        (tmp_path / name).mkdir()
        for path in folder.iterdir():
            (tmp_path / name / path.name.replace(PATIENT, name)).write_bytes(path.read_bytes())
    (tmp_path / "notes").mkdir()
    monkeypatch.setattr(lgg, "MAX_PATIENTS", 3)
    assert len(read_cohort(tmp_path).volumes) == 3
    monkeypatch.setattr(lgg, "MAX_PATIENTS", 2)
    monkeypatch.setattr(lgg, "read_volume", None)
    with pytest.raises(DataError, match=f"^{tmp_path}: holds 3 patients, 2 are allowed; move some elsewhere"):
        read_cohort(tmp_path, skip_bad_patients=True)


def test_a_text_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"12\n45\n")
    assert read_bytes(path, most=6) == b"12\n45\n"
    assert read_lines(path) == [b"12", b"45"]
    with pytest.raises(ValueError, match="has 6 bytes, more than 5"):
        read_bytes(path, most=5)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = write_patient(tmp_path, "zlib") / f"{PATIENT}_2.tif"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match="is no regular file"):
        read_tiff(path)
    with pytest.raises(ValueError, match="is no regular file"):
        read_bytes(path, most=5)


# --- Links -----------------------------------------------------------------------------------------


def test_the_dataset_s_folder_may_be_a_link(tmp_path: Path) -> None:
    write_patient(tmp_path / "data", "zlib")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert [volume.patient for volume in read_cohort(tmp_path / "link").volumes] == [PATIENT]


def test_a_link_that_stays_in_the_dataset_s_folder_is_followed(tmp_path: Path) -> None:
    folder = write_patient(tmp_path / "data", "zlib")
    expected = read_volume(folder)
    (folder / f"{PATIENT}_2.tif").rename(tmp_path / "data" / "elsewhere.tif")
    (folder / f"{PATIENT}_2.tif").symlink_to("../elsewhere.tif")
    assert np.array_equal(read_volume(folder).image, expected.image)


@pytest.mark.parametrize("end", [".tif", "_mask.tif"])
def test_a_slice_that_links_out_of_the_dataset_s_folder_is_refused(tmp_path: Path, end: str) -> None:
    path = write_patient(tmp_path / "data", "zlib") / f"{PATIENT}_2{end}"
    path.rename(tmp_path / "secret.tif")
    path.symlink_to("../../secret.tif")
    with pytest.raises(DataError, match=rf"{path.name}: is a link that leads out .*`cp -rL`") as caught:
        read_cohort(tmp_path / "data")
    assert "secret" not in str(caught.value)


def test_a_patient_that_links_out_of_the_dataset_s_folder_is_refused(tmp_path: Path) -> None:
    write_patient(tmp_path / "other", "zlib")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / PATIENT).symlink_to(tmp_path / "other" / PATIENT)
    with pytest.raises(DataError, match=f"{PATIENT}: is a link that leads out"):
        read_cohort(tmp_path / "data")


def test_a_circle_of_links_is_refused(tmp_path: Path) -> None:
    path = write_patient(tmp_path / "data", "zlib") / f"{PATIENT}_2.tif"
    path.unlink()
    path.symlink_to(path.name)
    with pytest.raises(DataError, match=path.name):
        read_cohort(tmp_path / "data")


def test_an_image_that_links_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png(2, 2))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataError, match=r"a\.png: is a link that leads out"):
        find_images(tmp_path / "images")
