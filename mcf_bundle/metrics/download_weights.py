"""Download an extractor's weights, by an explicit command only, and check them against their hash."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from mcf_bundle.commandline import exit_with
from mcf_bundle.errors import ArgumentError, CheckpointError, McfError
from mcf_bundle.metrics.extractors import EXTRACTORS, get_extractor


def download_weights(name: str, folder: Path, *, sha256: str | None = None) -> Path:
    """Fetch an extractor's weights; a file with another hash is not kept.

    Args:
        name: key in `EXTRACTORS`.
        folder: where the file goes, under its own name; made if it is missing.
        sha256: hash that the file must have; None takes the published one.

    Returns:
        The file.

    Raises:
        ArgumentError: there is no such extractor, its weights come with the package, or no hash is known.
        CheckpointError: the download failed or has another hash.
    """
    extractor = get_extractor(name)
    expected = sha256 or extractor.sha256
    if not extractor.url:
        raise ArgumentError("extractor", f"{name} comes with this package", "load it, it needs no download")
    if not expected:
        problem = f"no checksum of {extractor.weights} is published"
        raise ArgumentError("sha256", problem, f"give one, or get {extractor.url} and check it yourself")
    path = folder / extractor.weights
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(extractor.url, str(path), hash_prefix=expected.lower(), progress=False)
    except (OSError, RuntimeError) as error:
        problem = f"could not be fetched from {extractor.url} ({error})"
        raise CheckpointError(path, problem, "try again, or bring the file from elsewhere") from error
    return path


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``python -m mcf_bundle.metrics.download_weights EXTRACTOR FOLDER``."""
    parser = argparse.ArgumentParser(description="Download an extractor's weights and check their hash.")
    parser.add_argument("extractor", choices=[name for name, each in EXTRACTORS.items() if each.url])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sha256", help="hash that the file must have, if none is published")
    given = parser.parse_args(argv)
    print(f"license of the weights: {EXTRACTORS[given.extractor].license}")
    try:
        print(download_weights(given.extractor, given.folder, sha256=given.sha256))
    except McfError as error:
        exit_with(error)


if __name__ == "__main__":
    main()
