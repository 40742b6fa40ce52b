"""Where the bundles and the config overlays lie, in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from mcf_bundle.errors import ArgumentError

_PACKAGE = Path(__file__).resolve().parent


def bundle_root(name: str) -> Path:
    """Find the folder of a bundle that comes with this package.

    Args:
        name: folder name under ``bundles/``, such as ``mcf_diffusion``.

    Returns:
        Absolute path of the bundle, the folder that holds ``configs/`` and ``models/``.

    Raises:
        ArgumentError: there is no bundle of that name; the message lists those that exist.
    """
    folder = _shared_folder("bundles")
    known = sorted(path.parent.name for path in folder.glob("*/configs"))
    if name not in known:
        raise ArgumentError(f"bundle {name!r}", f"there is none in {folder}", _choice(known))
    return folder / name


def config_path(name: str) -> Path:
    """Find an overlay, a config file that is listed after a bundle's own file.

    Args:
        name: path under ``configs/`` with forward slashes, with or without ``.json``: ``presets/paper``.

    Returns:
        Absolute path of the JSON file.

    Raises:
        ArgumentError: there is no overlay of that name; the message lists those that exist.
    """
    folder = _shared_folder("configs")
    known = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.json"))
    stem = name.removesuffix(".json")
    if stem not in known:
        raise ArgumentError(f"config {name!r}", f"there is none in {folder}", _choice(known))
    return folder / f"{stem}.json"


def _shared_folder(kind: str) -> Path:
    """Return ``bundles`` or ``configs``: inside the package in a wheel, beside the package in a checkout."""
    packaged = _PACKAGE / "_share" / kind
    return packaged if packaged.is_dir() else _PACKAGE.parent / kind


def _choice(names: list[str]) -> str:
    return f"choose one of {', '.join(names)}" if names else "nothing is there at all, reinstall mcf-bundle"
