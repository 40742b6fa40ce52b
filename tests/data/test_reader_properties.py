"""Properties of the reader of slices, on drawn patients."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mcf_bundle.data.lgg import list_slices, read_volume
from mcf_bundle.data.tiff import read_tiff
from mcf_bundle.errors import DataError, McfError
from tests.damage import png

FEW = settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
PATIENT = "TCGA_CS_4941_19960909"
COMPRESSIONS = st.sampled_from([None, "zlib"])

slices = st.integers(1, 3).flatmap(
    lambda count: st.tuples(
        arrays(np.uint8, (count, 32, 64, 3), elements=st.integers(0, 255)),
        arrays(np.bool_, (count, 32, 64)),
    )
)


def write(folder: Path, pixels: np.ndarray, masks: np.ndarray, first: int, compression: str | None) -> Path:
    """Write a patient in a new folder."""
    folder = folder / str(len(list(folder.iterdir()))) / PATIENT
    folder.mkdir(parents=True)
    for number, (image, mask) in enumerate(zip(pixels, masks, strict=True), start=first):
        name = folder / f"{PATIENT}_{number}.tif"
        tifffile.imwrite(name, image, photometric="rgb", compression=compression)
        mask_name = name.with_name(f"{name.stem}_mask.tif")
        tifffile.imwrite(mask_name, mask.astype(np.uint8) * 255, compression=compression)
    return folder


@FEW
@given(stack=slices, first=st.integers(0, 99), compression=COMPRESSIONS)
def test_what_is_written_is_read_pixel_by_pixel(
    tmp_path: Path, stack: tuple[np.ndarray, np.ndarray], first: int, compression: str | None
) -> None:
    pixels, masks = stack
    volume = read_volume(write(tmp_path, pixels, masks, first, compression))
    assert np.array_equal(volume.image, pixels.transpose(0, 3, 1, 2))
    assert np.array_equal(volume.mask, masks)
    assert volume.slice_numbers == tuple(range(first, first + len(pixels)))


@FEW
@given(order=st.permutations(range(8, 13)))
def test_slices_stand_by_number_in_whatever_order_they_were_made(tmp_path: Path, order: list[int]) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir()))) / PATIENT
    folder.mkdir(parents=True)
    for number in order:
        for end in ("_mask", ""):
            (folder / f"{PATIENT}_{number}{end}.tif").touch()
    assert [item.number for item in list_slices(folder)] == list(range(8, 13))


@FEW
@given(numbers=st.sets(st.integers(0, 12), min_size=1))
def test_a_gap_in_the_numbers_is_refused_and_nothing_else(tmp_path: Path, numbers: set[int]) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir()))) / PATIENT
    folder.mkdir(parents=True)
    for number in numbers:
        for end in ("_mask", ""):
            (folder / f"{PATIENT}_{number}{end}.tif").touch()
    if max(numbers) - min(numbers) + 1 == len(numbers):
        assert [item.number for item in list_slices(folder)] == sorted(numbers)
    else:
        with pytest.raises(DataError, match=r"slice \d+ is missing between"):
            list_slices(folder)


def tiff_of(pixels: np.ndarray, compression: str | None) -> bytes:
    """Return the bytes of a TIFF."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, compression=compression)
    return buffer.getvalue()


@settings(FEW, max_examples=100)
@given(
    head=st.sampled_from([b"", b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", png(2, 2)]),
    rest=st.binary(max_size=300),
)
def test_bytes_of_any_kind_end_in_an_error_that_names_the_file(
    tmp_path: Path, head: bytes, rest: bytes
) -> None:
    path = tmp_path / "a_1.tif"
    path.write_bytes(head + rest)
    with pytest.raises(McfError, match=r"a_1\.tif: cannot be read as TIFF"):
        read_tiff(path)


@settings(FEW, max_examples=100)
@given(data=st.data(), compression=COMPRESSIONS)
def test_a_tiff_with_bytes_put_in_anywhere_is_refused_or_has_its_declared_shape(
    tmp_path: Path, data: st.DataObject, compression: str | None
) -> None:
    path = tmp_path / "a_1.tif"
    content = tiff_of(np.arange(32 * 32, dtype=np.uint16).reshape(32, 32), compression)
    place = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:place] + data.draw(st.binary(min_size=1, max_size=8)) + content[place + 1 :])
    try:
        assert read_tiff(path).size
    except McfError as error:
        assert error.where == str(path)  # noqa: PT017
