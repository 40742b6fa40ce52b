"""The manifest of a run in progress: each process appends to a shard of its own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist

from mcf_bundle.atomic_file import unwritable, write_atomically
from mcf_bundle.bounded_file import parse_json, read_lines
from mcf_bundle.errors import DataError
from mcf_bundle.generation.output_folder import SHARDS_FOLDER

KEPT = "kept.jsonl"
"""The shard of what an earlier part of the run has made."""


class ManifestShards:
    """Lines of the manifest on disk, so that a run holds none of them in memory.

    Args:
        output_dir: the run's folder, which all processes see.
    """

    def __init__(self, output_dir: Path) -> None:
        self.folder = output_dir / SHARDS_FOLDER

    def start(self, kept: Sequence[Mapping[str, Any]] = ()) -> None:
        """Make the folder of the shards with nothing in it but the lines of an earlier part of the run.

        They come first as one whole file beside the old shards, so that a crash loses none of them.

        Args:
            kept: records that hold.

        Raises:
            DataError: it cannot be written.
        """
        try:
            self.folder.mkdir(exist_ok=True)
            old = list(self.folder.iterdir())
            if kept:
                text = "".join(json.dumps(record) + "\n" for record in kept)
                write_atomically(self.folder / KEPT, text.encode())
            for path in old:
                if not kept or path.name != KEPT:
                    path.unlink(missing_ok=True)  # a half-written one was replaced above
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a line to the shard of this process.

        Raises:
            DataError: it cannot be written.
        """
        path = self.folder / f"{idist.get_rank()}.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise unwritable(path, error) from error

    def read(self) -> list[dict[str, Any]]:
        """Return the records of all processes in row order.

        Raises:
            DataError: a shard cannot be read.
        """
        try:
            lines = [line for path in self.folder.glob("*.jsonl") for line in read_lines(path)]
            records = [parse_json(line) for line in lines]
            return sorted(records, key=lambda record: record["row"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(self.folder, f"cannot be read ({error})", "run the generation again") from error

    def remove(self) -> None:
        """Remove the shards; the manifest holds what they held.

        Raises:
            DataError: they cannot be removed.
        """
        try:
            if self.folder.exists():
                shutil.rmtree(self.folder)
        except OSError as error:
            raise unwritable(self.folder, error) from error
