"""A file that is there in full or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mcf_bundle.errors import UnwritableError


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file through a hidden neighbor, so that a crash leaves the old file or the new one.

    Args:
        path: the file; replaced if it is there. Its folder must exist.
        data: the whole content.

    Raises:
        DataError: the file cannot be written; names it.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        write_durably(partial, data)
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise unwritable(path, error) from error


@contextlib.contextmanager
def replaced_when_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write it bit by bit; it takes its name when it is whole and on the disk.

    Args:
        path: as in `write_atomically`.

    Raises:
        DataError: the file cannot be written; names it.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8, as `write_atomically` does; missing folders are made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path.parent, error) from error
    write_atomically(path, text.encode("utf-8"))


def write_durably(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it; OSErrors pass through."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the folder's list of names, where the system offers that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unwritable(path: Path, error: OSError) -> UnwritableError:
    """Put into words that a file or folder cannot be written."""
    reason = error.strerror or type(error).__name__
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "free disk space" if full else "check the path and its permissions"
    return UnwritableError(path, f"cannot be written ({reason})", f"{remedy}, or choose another output_dir")
