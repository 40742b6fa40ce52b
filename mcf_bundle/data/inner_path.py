"""Paths that stay in their folder, by name and by link."""

from __future__ import annotations

from pathlib import Path

from mcf_bundle.errors import DataError


def is_inner_path(text: str) -> bool:
    """Tell whether a path, taken from a file of somebody else, names something below its root.

    >>> [is_inner_path(name) for name in ("A/A_1.tif", "../B/B_1.tif", "A/../../B", "/etc/passwd", ".", "")]
    [True, False, False, False, False, False]
    """
    path = Path(text)
    return bool(path.parts) and not path.anchor and ".." not in path.parts and "\0" not in text


def refuse_outward_link(path: Path, root: Path) -> None:
    """Refuse a link that leads out of a folder; the folder itself may be one, and links inside it may be.

    Args:
        path: file or folder in `root`.
        root: the folder.

    Raises:
        DataError: names the link, not where it leads.
    """
    if not path.is_symlink():
        return
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # a circle of links
        inside = False
    if not inside:
        problem = "is a link that leads out of the dataset's folder, which is not followed"
        raise DataError(path, problem, "put the file there itself: `cp -rL` copies what links lead to")
