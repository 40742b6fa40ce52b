"""Writer of generated cases in the LGG layout: one folder a case, three slices and their masks."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from mcf_bundle.atomic_file import sync_folder, unwritable, write_durably
from mcf_bundle.data.generated_case import CASE_NAME
from mcf_bundle.data.volume import Channel
from mcf_bundle.errors import ArgumentError, DataError

SLICES = 3
"""Slices of a case: previous, generated, next, numbered from 1. Only the second counts as an image."""

COMPRESSION_LEVEL = 1
"""Deflate's fastest: higher levels make files a few percent smaller and take several times as long."""


def case_name(institution: str, row: int) -> str:
    """Name the case of a plan's row.

    Args:
        institution: code of the host's institution; other characters than letters, digits and '-' become '-'.
        row: number of the row in the plan, not negative.

    Returns:
        The name of the case's folder, and the stem of its files.

    Raises:
        ArgumentError: the row is negative.

    >>> case_name("CS", 7)
    'SYN_CS_000007'
    >>> case_name("", 7)
    'SYN_X_000007'
    """
    if row < 0:
        raise ArgumentError("row", f"expected 0 or more, got {row}", "number the plan's rows from 0")
    code = re.sub(r"[^A-Za-z0-9-]", "-", institution) or "X"
    return f"SYN_{code}_{row:06d}"


def case_files(name: str) -> tuple[str, ...]:
    """List the names of a case's files: three images, then their masks."""
    numbers = range(1, SLICES + 1)
    return tuple(f"{name}_{n}{suffix}.tif" for suffix in ("", "_mask") for n in numbers)


def write_case(
    output_dir: Path, name: str, images: NDArray[np.uint8], masks: NDArray[np.bool_]
) -> dict[str, str]:
    """Write one case; afterwards its folder is complete, or as it was before.

    The files are deflated TIFFs without date and software, so the same pixels give the same bytes.

    Args:
        output_dir: the run's folder; must exist.
        name: from `case_name`. A folder of this name with an earlier version of the case is replaced.
        images: (3, 3, H, W), uint8, stored gray levels; axis 0 is previous, generated, next,
            axis 1 as `Channel`.
        masks: (3, H, W), bool, the tumor in each slice.

    Returns:
        SHA-256 of each file, in hexadecimal, by its name relative to `output_dir`.

    Raises:
        ArgumentError: the name, a shape or a type is not as above.
        DataError: the folder cannot be written, or holds files that are none of the case's.
    """
    _check_case(name, images, masks)
    contents = dict(zip(case_files(name), _encode(images, masks), strict=True))
    write_case_files(output_dir, name, contents)
    return {f"{name}/{key}": hashlib.sha256(data).hexdigest() for key, data in contents.items()}


def write_case_files(output_dir: Path, name: str, contents: Mapping[str, bytes]) -> None:
    """Write the files of one case; afterwards its folder is complete, or as it was before.

    Args:
        output_dir: the run's folder; must exist.
        name: from `case_name`. A folder of this name with an earlier version of the case is replaced.
        contents: of the files, by name as in `case_files`.

    Raises:
        DataError: the folder cannot be written, or holds files that are none of the case's.
    """
    folder = output_dir / name
    _refuse_foreign_files(folder)
    partial, replaced = output_dir / f".{name}.partial", output_dir / f".{name}.replaced"
    try:
        for leftover in (partial, replaced):
            _remove(leftover)
        partial.mkdir()
        for file_name, data in contents.items():
            write_durably(partial / file_name, data)
        sync_folder(partial)
        _swap(partial, folder, replaced)
        sync_folder(output_dir)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise unwritable(folder, error) from error


def holds_only_case(folder: Path, name: str) -> bool:
    """Tell whether a path is a folder with nothing but files of the named case; also True if it is empty."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    return {path.name for path in folder.iterdir()} <= set(case_files(name))


def _check_case(name: str, images: NDArray[np.uint8], masks: NDArray[np.bool_]) -> None:
    if CASE_NAME.fullmatch(name) is None:
        raise ArgumentError("name", f"expected a name such as SYN_CS_000007, got {name!r}", "use case_name")
    channels = len(Channel)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[:2] != (SLICES, channels):
        problem = f"expected ({SLICES}, {channels}, H, W) in uint8, got {images.shape} in {images.dtype}"
        raise ArgumentError("images", problem, "denormalize the triplet first")
    expected = (SLICES, *images.shape[2:])
    if masks.dtype != np.bool_ or masks.shape != expected:
        problem = f"expected {expected} in bool, got {masks.shape} in {masks.dtype}"
        raise ArgumentError("masks", problem, "give one mask a slice")


def _encode(images: NDArray[np.uint8], masks: NDArray[np.bool_]) -> list[bytes]:
    slices = [_tiff(np.ascontiguousarray(np.moveaxis(image, 0, -1)), "rgb") for image in images]
    return slices + [_tiff(mask.astype(np.uint8) * 255, "minisblack") for mask in masks]


def _tiff(pixels: NDArray[np.uint8], photometric: str) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        pixels,
        photometric=photometric,
        compression="deflate",
        compressionargs={"level": COMPRESSION_LEVEL},
        metadata=None,
        software=False,
        datetime=False,
    )
    return buffer.getvalue()


def _refuse_foreign_files(folder: Path) -> None:
    try:
        if not folder.exists() or holds_only_case(folder, folder.name):
            return
    except OSError as error:
        raise unwritable(folder, error) from error
    problem = "is in the way: not a folder with nothing but this case's files"
    raise DataError(folder, problem, "move it elsewhere, or choose another output_dir")


def _swap(partial: Path, folder: Path, replaced: Path) -> None:
    """Put the new folder in the old one's place; if that fails, the old one comes back."""
    if not folder.exists():
        partial.rename(folder)
        return
    folder.rename(replaced)
    try:
        partial.rename(folder)
    except OSError:
        replaced.rename(folder)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
