"""A disk that is full after some writes, for tests."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class FullDisk:
    """Count writes and fsyncs below a folder's files, and fail from one of them on.

    Attributes:
        files: name of the file of each step; that of a folder's fsync is the file that was opened last.
        room: how many succeed; None for all.
    """

    def __init__(self, room: int | None = None) -> None:
        self.files: list[str] = []
        self.room, self.opened = room, ""

    @property
    def steps(self) -> int:
        """How many steps there were."""
        return len(self.files)

    def take(self) -> bool:
        """Count a step; tell whether there was room for it."""
        self.files.append(self.opened)
        return self.room is None or self.steps <= self.room


@contextmanager
def full_disk(room: int | None = None) -> Iterator[FullDisk]:
    """Let `Path.open` give files whose writes, and let `os.fsync`, fail with ENOSPC after `room` steps.

    A write without room leaves its first half on the disk, as a write that fills the last block does.
    """
    disk, plain_open, plain_fsync = FullDisk(room), Path.open, os.fsync

    def open_(self: Path, mode: str = "r", *arguments: Any, **keywords: Any) -> Any:
        file = plain_open(self, mode, *arguments, **keywords)
        if not set(mode) & set("wa"):
            return file
        write, disk.opened = file.write, self.name

        def write_or_fail(data: Any) -> int:
            if disk.take():
                return write(data)
            write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return _File(file, write_or_fail)

    def fsync(descriptor: int) -> None:
        if not disk.take():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        plain_fsync(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", open_)
        patch.setattr(os, "fsync", fsync)
        yield disk


class _File:
    """A file with another `write`."""

    def __init__(self, file: Any, write: Any) -> None:
        self.file, self.write = file, write

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
