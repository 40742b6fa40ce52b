from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import numpy as np
import pytest

from mcf_bundle import atomic_file
from mcf_bundle.data.lgg import dataset_root, read_volume
from mcf_bundle.errors import ArgumentError, DataError
from mcf_bundle.generation import writer
from mcf_bundle.generation.writer import case_files, case_name, write_case
from tests.file_contents import contents

NAME = "SYN_CS_000007"


def triplet(seed: int = 0, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (3, 3, size, size), dtype=np.uint8)
    return images, rng.random((3, size, size)) > 0.7


def full_disk(fail_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk be full at the n-th file of a case."""
    plain, calls = atomic_file.write_durably, []

    def write(path: Path, data: bytes) -> None:
        calls.append(path)
        if len(calls) == fail_at:
            path.write_bytes(data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(path, data)

    monkeypatch.setattr(writer, "write_durably", write)


def test_case_reads_back_as_a_patient_of_the_lgg_layout(tmp_path: Path) -> None:
    images, masks = triplet()
    write_case(tmp_path, NAME, images, masks)
    volume = read_volume(tmp_path / NAME)
    assert dataset_root(tmp_path) == tmp_path
    assert (volume.patient, volume.institution, volume.slice_numbers) == (NAME, "CS", (1, 2, 3))
    np.testing.assert_array_equal(volume.image, images)
    np.testing.assert_array_equal(volume.mask, masks)


def test_folder_holds_three_slices_with_their_masks_and_nothing_else(tmp_path: Path) -> None:
    write_case(tmp_path, NAME, *triplet())
    expected = {f"{NAME}/{NAME}_{n}{suffix}.tif" for n in (1, 2, 3) for suffix in ("", "_mask")}
    assert set(contents(tmp_path)) == expected
    assert set(case_files(NAME)) == {path.split("/")[1] for path in expected}


def test_hashes_are_those_of_the_files(tmp_path: Path) -> None:
    hashes = write_case(tmp_path, NAME, *triplet())
    assert hashes == {key: hashlib.sha256(data).hexdigest() for key, data in contents(tmp_path).items()}


def test_same_pixels_give_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        write_case(folder, NAME, *triplet())
    assert contents(folders[0]) == contents(folders[1])


def test_files_tell_neither_time_nor_software(tmp_path: Path) -> None:
    write_case(tmp_path, NAME, np.zeros((3, 3, 32, 32), np.uint8), np.zeros((3, 32, 32), bool))
    for data in contents(tmp_path).values():
        assert b"tifffile" not in data
        assert b"202" not in data


def test_earlier_version_of_the_case_is_replaced(tmp_path: Path) -> None:
    write_case(tmp_path, NAME, *triplet(0))
    write_case(tmp_path, NAME, *triplet(1))
    np.testing.assert_array_equal(read_volume(tmp_path / NAME).image, triplet(1)[0])
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_leftovers_of_a_crash_are_taken_away(tmp_path: Path) -> None:
    for leftover in (f".{NAME}.partial", f".{NAME}.replaced"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / f"{NAME}_1.tif").write_bytes(b"half")
    write_case(tmp_path, NAME, *triplet())
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize("fail_at", [1, 4, 6])
@pytest.mark.parametrize("was_there", [False, True])
def test_full_disk_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail_at: int, was_there: bool
) -> None:
    if was_there:
        write_case(tmp_path, NAME, *triplet(0))
    before = contents(tmp_path)
    full_disk(fail_at, monkeypatch)
    with pytest.raises(DataError, match=rf"{NAME}: cannot be written \(No space left.*free disk space"):
        write_case(tmp_path, NAME, *triplet(1))
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ([NAME] if was_there else [])


def test_failed_exchange_brings_the_earlier_version_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_case(tmp_path, NAME, *triplet(0))
    before = contents(tmp_path)
    plain = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise OSError(errno.EIO, "Input/output error")
        return plain(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(DataError, match="Input/output error"):
        write_case(tmp_path, NAME, *triplet(1))
    assert contents(tmp_path) == before


def test_file_in_place_of_the_output_folder_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(DataError, match=r"file.SYN_CS_000007: cannot be written \(Not a directory\)"):
        write_case(file, NAME, *triplet())
    assert file.read_text() == "mine"


def test_folder_with_a_file_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    write_case(tmp_path, NAME, *triplet())
    (tmp_path / NAME / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="is in the way"):
        write_case(tmp_path, NAME, *triplet())
    assert (tmp_path / NAME / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("institution", "row", "name"),
    [("CS", 0, "SYN_CS_000000"), ("", 5, "SYN_X_000005"), ("../a_b", 1234567, "SYN_---a-b_1234567")],
)
def test_name_is_safe_as_a_folder(institution: str, row: int, name: str) -> None:
    assert case_name(institution, row) == name


def test_negative_row_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"^row: "):
        case_name("CS", -1)


IMAGES, MASKS = triplet(size=32)


@pytest.mark.parametrize(
    ("name", "images", "masks", "where"),
    [
        ("../x", IMAGES, MASKS, "name"),
        (NAME, IMAGES.astype(np.float32), MASKS, "images"),
        (NAME, IMAGES[:2], MASKS, "images"),
        (NAME, IMAGES, MASKS.astype(np.uint8), "masks"),
        (NAME, IMAGES, MASKS[:, :16], "masks"),
    ],
)
def test_wrong_case_is_refused(
    tmp_path: Path, name: str, images: np.ndarray, masks: np.ndarray, where: str
) -> None:
    with pytest.raises(ArgumentError, match=rf"^{where}: expected"):
        write_case(tmp_path, name, images, masks)
    assert not list(tmp_path.iterdir())
