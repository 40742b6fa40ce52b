"""What a folder holds, for comparing whole folders."""

from __future__ import annotations

from pathlib import Path


def contents(folder: Path, *without: str) -> dict[str, bytes]:
    """Return every file below a folder by its relative path; `without` names files to leave out, run.json for
    one, which tells when and how long a run went."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in without)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
