"""One TIFF of one slice, whose header is judged before a pixel is decoded."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from mcf_bundle.bounded_file import refuse_special_file
from mcf_bundle.errors import DataError
from mcf_bundle.limits import MAX_SIDE, MAX_SLICE_BYTES

REMEDY = "download the file again, or leave the patient out with --skip_bad_patients True"

_DEFLATE = (tifffile.COMPRESSION.ADOBE_DEFLATE, tifffile.COMPRESSION.DEFLATE)
_READ = (tifffile.COMPRESSION.NONE, tifffile.COMPRESSION.PACKBITS, *_DEFLATE)
"""What tifffile decodes by itself; LZW and others ask for a package that is no dependency here."""

_MAX_SAMPLES = 4
_HARMLESS_BYTES = 2**18
"""Deflate makes at most 1,032 bytes of one, so that no more than this needs no trial: 270 MB."""


def read_tiff(path: Path, *, remedy: str = REMEDY) -> NDArray[np.generic]:
    """Read the only picture of a TIFF.

    What the header declares is compared with `mcf_bundle.limits` and the file's size first, so that a forged
    one costs neither memory nor time, and missing parts are not taken for black.

    Args:
        path: the file.
        remedy: the way out, for the message.

    Returns:
        (H, W) or (H, W, samples), as stored.

    Raises:
        DataError: it is no such file, damaged, compressed otherwise than by PackBits or deflate, or larger
            than the limits.
    """
    try:
        refuse_special_file(path)
        if path.stat().st_size > 2 * MAX_SLICE_BYTES:
            raise ValueError(f"has {path.stat().st_size} bytes, too many for a slice")
        with tifffile.TiffFile(path) as file:
            page = _only_page(file)
            _check_compression(path, page)
            _check_header(page)
            _check_parts(page, file.filehandle)
            return np.asarray(page.asarray())
    except DataError:
        raise
    except Exception as error:  # tifffile raises whatever its decoders raise
        problem = f"cannot be read as TIFF ({type(error).__name__}: {error})".replace("\n", " ")
        raise DataError(path, problem, remedy) from error


def _only_page(file: tifffile.TiffFile) -> tifffile.TiffPage:
    page = file.pages.first
    try:
        file.pages[1]
    except IndexError:
        return page
    raise ValueError("it holds several pictures")


def _check_compression(path: Path, page: tifffile.TiffPage) -> None:
    """Refuse a compression that is not read, with its own way out.

    Without its tag, a TIFF counts as uncompressed. Every writer stores the tag, so that a file without it is
    damaged.
    """
    if "Compression" not in page.tags:
        raise ValueError("lacks the tag Compression")
    if page.compression not in _READ:
        name = getattr(page.compression, "name", page.compression)
        problem = f"is compressed by {name}, which is not read"
        raise DataError(path, problem, "save it without compression, or with deflate or PackBits")


def _check_header(page: tifffile.TiffPage) -> None:
    """Judge the declared size and type.

    Without its tag, a TIFF counts as of one bit a pixel. Every writer stores the tag, too.
    """
    if "BitsPerSample" not in page.tags:
        raise ValueError("lacks the tag BitsPerSample")
    if max(page.imagewidth, page.imagelength) > MAX_SIDE:
        raise ValueError(
            f"declares {page.imagelength} x {page.imagewidth} pixels, {MAX_SIDE} a side are allowed"
        )
    if page.samplesperpixel > _MAX_SAMPLES:
        raise ValueError(f"declares {page.samplesperpixel} samples a pixel, {_MAX_SAMPLES} are allowed")
    if page.dtype is None or 0 in page.shape:
        raise ValueError("no pixels: truncated")
    if page.nbytes > MAX_SLICE_BYTES:
        raise ValueError(f"declares {page.nbytes} bytes of pixels, {MAX_SLICE_BYTES} are allowed")


def _check_parts(page: tifffile.TiffPage, file: tifffile.FileHandle) -> None:
    """Refuse strips or tiles that are missing, lie beyond the file's end or unpack to more than they hold."""
    parts = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if len(parts) != math.prod(page.chunked):
        raise ValueError(f"{len(parts)} of {math.prod(page.chunked)} strips are there")
    if any(offset <= 0 or count <= 0 or offset + count > file.size for offset, count in parts):
        raise ValueError("a strip lies beyond the end of the file: truncated")
    stored = sum(count for _, count in parts)
    if page.compression == tifffile.COMPRESSION.NONE and stored < page.nbytes:
        raise ValueError(f"{stored} of {page.nbytes} bytes of pixels are there")
    if stored > 2 * page.nbytes + 1024 * len(parts):
        raise ValueError(f"{stored} bytes for {page.nbytes} bytes of pixels")
    if page.compression in _DEFLATE and stored > _HARMLESS_BYTES:
        _check_deflate(page, file, parts)


def _check_deflate(page: tifffile.TiffPage, file: tifffile.FileHandle, parts: list[tuple[int, int]]) -> None:
    most = math.prod(page.chunks) * np.dtype(page.dtype).itemsize
    for offset, count in parts:
        file.seek(offset)
        if len(zlib.decompressobj().decompress(file.read(count), most + 1)) > most:
            raise ValueError(f"a strip unpacks to more than its {most} bytes")
