"""Files cut short, with flipped bits, of another kind; and what became of those who read them."""

from __future__ import annotations

import logging
import random
import shutil
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mcf_bundle.errors import McfError

STEP = 10
"""Least bytes between two cuts."""

FOLDER = None
"""Stands for a folder in the place of the file."""


class Damage(NamedTuple):
    """What takes a file's place: its name for messages, and the bytes; `FOLDER` for a folder."""

    name: str
    content: bytes | None


class Target(NamedTuple):
    """A file that is damaged, and its reader.

    Attributes:
        kind: what the file is, for the table.
        path: where it lies, whole.
        read: reads it, directly or with what lies beside it.
        same: compares what was read with what the whole file gave.
    """

    kind: str
    path: Path
    read: Callable[[], Any]
    same: Callable[[Any, Any], bool] = lambda found, whole: bool(found == whole)


@dataclass
class Tally:
    """How the readings of a kind of file ended.

    Attributes:
        kind: see `Target`.
        refused: with an error of ours.
        alike: with the content of the whole file.
        otherwise: names of the damages that gave other content without an error.
    """

    kind: str
    refused: int = 0
    alike: int = 0
    otherwise: list[str] = field(default_factory=list)

    @property
    def tried(self) -> int:
        """All of them."""
        return self.refused + self.alike + len(self.otherwise)

    def check(self) -> None:
        """Refuse silence where none is due: only a flipped bit of a file without checksum may be missed.

        A whole file of the same kind is none that a reader could know better.
        """
        missed = [name for name in self.otherwise if "flipped" not in name or self.kind in CHECKED]
        assert not set(missed) - ({"a PNG"} if self.kind == ".png" else set()), f"{self.kind}: {missed}"

    def __str__(self) -> str:
        """A line of the table."""
        return f"{self.kind:<28}{self.tried:>7}{self.refused:>9}{self.alike:>9}{len(self.otherwise):>11}"


CHECKED = {
    "checkpoint",
    "weights of others",
    "training state",
    "datalist.json",
    "plan.jsonl, full",
    ".nii.gz",
    ".png",
    "packed slice",
    "packed mask",
}
"""Files with checksums: no flipped bit is read as something else."""

HEAD = f"{'file':<28}{'tried':>7}{'refused':>9}{'alike':>9}{'otherwise':>11}"


def try_damages(target: Target, damages: Iterable[Damage]) -> Tally:
    """Read a file again and again with something else in its place, then put it back.

    Raises:
        AssertionError: a reader failed with another error than ours, its message does not name the file or
            has several lines, or it left something behind.
    """
    path, tally = target.path, Tally(target.kind)
    logging.disable(logging.CRITICAL)  # tifffile and nibabel tell of each flipped bit
    good, whole, before = path.read_bytes(), target.read(), sorted(path.parent.iterdir())
    for damage in damages:
        _place(path, damage.content)
        try:
            found = target.read()
        except McfError as error:
            if path.name not in str(error) or "\n" in str(error):
                raise AssertionError(f"{target.kind}, {damage.name}: unclear: {error}") from error
            tally.refused += 1
        except Exception as error:
            raise AssertionError(f"{target.kind}, {damage.name}: {type(error).__name__}: {error}") from error
        else:
            alike = target.same(found, whole)
            tally.alike += alike
            if not alike:
                tally.otherwise.append(damage.name)
        assert sorted(path.parent.iterdir()) == before, f"{target.kind}, {damage.name} left something behind"
    _place(path, good)
    logging.disable(logging.NOTSET)
    return tally


def all_damages(content: bytes, *, cuts: int, flips: int, seed: int = 0) -> Iterator[Damage]:
    """Yield every kind of damage; `cuts` and `flips` say how many of these."""
    yield from cut_short(content, cuts)
    yield from flip_bits(content, flips, seed)
    yield from other_headers(content)
    yield from other_files()


def cut_short(content: bytes, count: int) -> Iterator[Damage]:
    """Cut a file after evenly spaced bytes, at most after every tenth one."""
    step = max(STEP, -(-len(content) // count))
    for length in range(0, len(content), step):
        yield Damage(f"cut after {length} of {len(content)} bytes", content[:length])


def flip_bits(content: bytes, count: int, seed: int) -> Iterator[Damage]:
    """Flip one bit at a time; half of them among the first 512 bytes, where headers lie."""
    dice = random.Random(seed)
    for number in range(count):
        place = dice.randrange(min(512, len(content)) if number % 2 else len(content))
        bit = dice.randrange(8)
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        yield Damage(f"bit {bit} of byte {place} flipped", bytes(flipped))


def other_headers(content: bytes) -> Iterator[Damage]:
    """Put the first bytes of another format over those of the file."""
    magics = {
        "TIFF": b"II*\0",
        "big-endian TIFF": b"MM\0*",
        "BigTIFF": b"II+\0\x08\0\0\0",
        "PNG": b"\x89PNG\r\n\x1a\n",
        "zip": b"PK\x03\x04",
        "gzip": b"\x1f\x8b\x08",
        "pickle": b"\x80\x02",
        "NIfTI": struct.pack("<i", 348),
        "UTF-16": b"\xff\xfe",
        "UTF-8 with mark": b"\xef\xbb\xbf",
        "zeros": bytes(16),
    }
    for name, magic in magics.items():
        if not content.startswith(magic):
            yield Damage(f"header of {name}", magic + content[len(magic) :])


def other_files() -> Iterator[Damage]:
    """Put a whole file of another kind, or a folder, in the place of the file."""
    yield Damage("a folder", FOLDER)
    yield Damage("a PNG", png(2, 2))
    yield Damage("a page of HTML", b"<html>404</html>")
    for text in (b"{}", b"[]", b"7", b"null", b'"text"', b"NaN", b'{"a": 1}\n{"b": 2}', b'[{"row": 0}]'):
        yield Damage(f"the JSON {text.decode()}", text)
    for text in (b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000, b'"\\ud800"', b"1e999", b"\n" * 50):
        yield Damage(f"the JSON {text[:10].decode()}...", text)


def png(width: int, height: int) -> bytes:
    """Return a gray PNG that declares a size, whose pixels are there for 2 x 2."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0\x10\x20\0\x30\x40")
    magic = b"\x89PNG\r\n\x1a\n"
    return magic + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _place(path: Path, content: bytes | None) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    if content is FOLDER:
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(content)
