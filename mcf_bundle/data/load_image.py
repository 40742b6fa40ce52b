"""MONAI's image loading for files from others: judged by their headers first, refused in one line."""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import nibabel
from monai.data import ImageReader
from monai.transforms import LoadImaged
from PIL import Image

from mcf_bundle.bounded_file import refuse_special_file
from mcf_bundle.errors import DataError
from mcf_bundle.limits import MAX_EXTENSION_BYTES, MAX_SIDE, MAX_VOXELS

_CHUNK_BYTES = 2**20
_HEADERS = (nibabel.Nifti1Header, nibabel.Nifti2Header)
_FLAG_BYTES = 4
"""Behind the header; the first of them tells whether extensions follow."""
_LEAST_EXTENSION = 16


class LoadStoredImaged(LoadImaged):
    """MONAI's `LoadImaged`, which reads no forged file and names a damaged one.

    Args:
        keys: paths of pictures (.tif, .png) or NIfTI volumes (.nii, .nii.gz); further arguments as MONAI has
            them.

    Raises:
        DataError: a file is missing, damaged, no such image, or larger than `mcf_bundle.limits` allows.
    """

    def __call__(
        self, data: Mapping[Hashable, Any], reader: ImageReader | None = None
    ) -> dict[Hashable, Any]:
        """Return the data with the images in the place of their paths."""
        paths = [Path(data[key]) for key in self.key_iterator(dict(data))]
        for path in paths:
            check_image_file(path)
        try:
            return super().__call__(data, reader)
        except Exception as error:  # each of MONAI's readers raises what it likes
            names = ", ".join(map(str, paths))
            raise _unreadable(names, error) from error


def check_image_file(path: Path) -> None:
    """Judge what a picture or volume declares, without keeping its pixels.

    The checksum of a packed volume is compared, which nibabel does not.

    Raises:
        DataError: see `LoadStoredImaged`.
    """
    try:
        refuse_special_file(path)
        if path.name.endswith((".nii", ".nii.gz")):
            _check_volume(path)
        else:
            _check_picture(path)
    except Exception as error:  # nibabel and PIL raise many types for damaged headers
        raise _unreadable(path, error) from error


def _check_picture(path: Path) -> None:
    with Image.open(path) as image:
        if max(image.size) > MAX_SIDE:
            raise ValueError(f"declares {' x '.join(map(str, image.size))} pixels, {MAX_SIDE} are allowed")


def _check_volume(path: Path) -> None:
    _check_extensions(path)
    image: Any = nibabel.load(path)
    shape = image.shape
    voxels = math.prod(shape)
    if len(shape) < 2 or min(shape) < 1 or max(shape) > MAX_SIDE:
        raise ValueError(f"declares the shape {shape}")
    if voxels > MAX_VOXELS:
        raise ValueError(f"declares {voxels} voxels, {MAX_VOXELS} are allowed")
    needed = int(image.dataobj.offset) + voxels * image.get_data_dtype().itemsize
    if path.name.endswith(".gz"):
        _check_packed(path, needed)
    elif path.stat().st_size < needed:
        raise ValueError(f"has {path.stat().st_size} of {needed} bytes: truncated")


def _check_extensions(path: Path) -> None:
    """Judge what stands between header and pixels, all of which nibabel.load reads at once.

    It believes the size that each extension declares, and reads to the file's end where one is negative or
    the pixels' place is not told.
    """
    with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
        start = file.read(nibabel.Nifti2Header.sizeof_hdr)
        kind = next((kind for kind in _HEADERS if kind.may_contain_header(start)), None)
        if kind is None:
            raise ValueError("has no header of NIfTI")
        header = kind(start[: kind.sizeof_hdr], check=False)
        first, pixels = kind.sizeof_hdr + _FLAG_BYTES, int(header["vox_offset"])
        if pixels > first + MAX_EXTENSION_BYTES:
            problem = f"declares {pixels - first} bytes of extensions, {MAX_EXTENSION_BYTES} are allowed"
            raise ValueError(f"{problem}, save it without them")
        file.seek(kind.sizeof_hdr)
        if file.read(_FLAG_BYTES)[:1] in (b"", b"\0"):
            return
        if pixels < first:
            raise ValueError(f"declares extensions and its pixels at byte {pixels}")
        extensions = file.read(pixels - first)
    place = 0
    while (left := len(extensions) - place) >= _LEAST_EXTENSION:
        (size,) = struct.unpack_from(f"{header.endianness}i", extensions, place)
        if not _LEAST_EXTENSION <= size <= left:
            raise ValueError(f"declares an extension of {size} bytes, {left} are there")
        place += size


def _check_packed(path: Path, needed: int) -> None:
    """Unpack piece by piece, which ends with gzip's own checksum, and no further than the header says."""
    found = 0
    with gzip.open(path) as file:
        while piece := file.read(_CHUNK_BYTES):
            found += len(piece)
            if found > needed + _CHUNK_BYTES:
                raise ValueError(f"unpacks to more than the {needed} bytes that its header declares")
    if found < needed:
        raise ValueError(f"has {found} of {needed} bytes: truncated")


def _unreadable(where: str | Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or "no reason given"
    problem = f"cannot be read as an image ({type(error).__name__}: {reason[:200]})"
    return DataError(where, problem, "replace the file, or move it away")
