"""MONAI's image loading for files from others: judged by their headers first, refused in one line."""

from __future__ import annotations

import gzip
import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import nibabel
from monai.data import ImageReader
from monai.transforms import LoadImaged
from PIL import Image

from mcf_bundle.errors import DataError
from mcf_bundle.limits import MAX_SIDE, MAX_VOXELS

_CHUNK_BYTES = 2**20


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
        if path.exists() and not path.is_file():
            raise ValueError("is no regular file")
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
