"""Text and JSON that others may have written: limited in size, and no error but OSError and ValueError."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mcf_bundle.limits import MAX_JSON_BYTES, MAX_LINES_BYTES


def refuse_special_file(path: Path) -> None:
    """Refuse a pipe or device, which may never end.

    A folder and a missing file pass: opening them fails at once.

    Raises:
        ValueError: it is one.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError("is no regular file")


def read_bytes(path: Path, *, most: int) -> bytes:
    """Read a whole file.

    Args:
        path: the file; pipes and devices, which may never end, are refused.
        most: bytes that it may have.

    Raises:
        OSError: it cannot be read.
        ValueError: it is none, or larger.
    """
    refuse_special_file(path)
    size = path.stat().st_size
    if size > most:
        raise ValueError(f"has {size} bytes, more than {most}")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:  # it has grown meanwhile, or its system tells no size
        raise ValueError(f"has more than {most} bytes")
    return content


def read_json(path: Path, **options: Any) -> Any:
    """Read a JSON file of at most `MAX_JSON_BYTES`; errors as in `read_bytes` and `parse_json`."""
    return parse_json(read_bytes(path, most=MAX_JSON_BYTES).decode(), **options)


def read_lines(path: Path) -> list[bytes]:
    """Read a file of one JSON object a line, of at most `MAX_LINES_BYTES`; errors as in `read_bytes`."""
    return read_bytes(path, most=MAX_LINES_BYTES).splitlines()


def parse_json(
    text: str | bytes, *, object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Any:
    """Parse JSON.

    Args:
        text: the JSON, UTF-8.
        object_pairs_hook: as in `json.loads`.

    Raises:
        ValueError: it is none, it is nested too deeply to be read, or it holds half a character (a lone
            surrogate), which no file or terminal can show.

    >>> parse_json("[" * 100_000)
    Traceback (most recent call last):
    ...
    ValueError: is nested too deeply
    """
    try:
        value = json.loads(text, object_pairs_hook=object_pairs_hook)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    escape = b"\\ud" if isinstance(text, bytes) else "\\ud"
    if escape in text.lower():  # type: ignore[operator]
        json.dumps(value, ensure_ascii=False).encode()
    return value


def check_type(name: str, value: Any, kind: Any) -> None:
    """Refuse a parsed value of another type; true and false are no numbers.

    Raises:
        TypeError: names the value's place and what came.
    """
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{name} is {reprlib.repr(value)}")
