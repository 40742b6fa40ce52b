"""The folder of a study: whose configuration it is, and which runs are done."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from mcf_bundle.atomic_file import write_text
from mcf_bundle.commandline import describe
from mcf_bundle.errors import DataError, StudyError
from mcf_bundle.run_record import describe_code

logger = logging.getLogger(__name__)

STUDY_FILE, DONE_FILE = "study.json", "done.json"
RUNS_FOLDER, SPLITS_FOLDER = "runs", "splits"


class Configuration(Protocol):
    """What results belong to."""

    @property
    def hash(self) -> str:
        """What tells it from others."""

    @property
    def identity(self) -> dict[str, Any]:
        """What the results depend on, as plain JSON values."""


class Work(Protocol):
    """A piece of work that is done or not."""

    @property
    def id(self) -> str:
        """Name, and folder below ``runs``."""

    @property
    def kind(self) -> str:
        """Pieces of one kind take about the same time."""


class StudyFolder:
    """Where a study keeps everything.

    Args:
        path: the folder; made by `open_for`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def splits(self) -> Path:
        """Folder of the datalists."""
        return self.path / SPLITS_FOLDER

    def of(self, run_id: str) -> Path:
        """Return the folder of a run."""
        return self.path / RUNS_FOLDER / run_id

    def check(self, config: Configuration) -> None:
        """Refuse a folder with the results of another configuration; nothing is written.

        Raises:
            StudyError: names the keys that differ.
            DataError: study.json cannot be read, or the folder holds something else.
        """
        path = self.path / STUDY_FILE
        if not path.exists():
            if self.path.exists() and not self.path.is_dir():
                raise DataError(self.path, "expected a folder, found a file", "choose another output_dir")
            strange = sorted(item.name for item in self.path.iterdir()) if self.path.is_dir() else []
            if strange := [name for name in strange if not name.startswith(".")]:
                problem = f"holds what no study wrote there: {', '.join(strange[:3])}"
                raise DataError(self.path, problem, "choose a new or empty folder as output_dir")
            return
        stored = _read_json(path, ("hash", "config"))
        if stored["hash"] != config.hash:
            old, new = stored["config"], config.identity
            differing = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
            problem = f"holds results of another configuration (other {', '.join(differing) or 'version'})"
            raise StudyError(self.path, problem, "choose another output_dir, or give that configuration")

    def open_for(self, config: Configuration) -> None:
        """Make the folder a configuration's; raises as `check` does."""
        self.check(config)
        if not (self.path / STUDY_FILE).exists():
            content = {"hash": config.hash, "config": config.identity}
            write_text(self.path / STUDY_FILE, json.dumps(content, indent=1) + "\n")

    def carry_out(
        self, run: Work, config: Configuration, do: Callable[[], str], *, piece: str, whole: str
    ) -> None:
        """Do a piece of work that is not done, and note it.

        Args:
            run: what is done; a folder that it has already is that of a part that was cut off.
            config: the study's.
            do: does it; returns a remark, see `finish`.
            piece: what the user calls it, "run".
            whole: what it is a part of, "study".

        Raises:
            StudyError: an error of ours ended it; the message names the piece.
        """
        place, started = self.of(run.id), time.monotonic()
        fresh = not place.exists()
        place.mkdir(parents=True, exist_ok=True)
        try:
            remark = do()
        except Exception as error:
            found = describe(error)
            if found is None:
                error.add_note(f"in the {piece} {run.id} of the {whole}")
                raise
            problem = f"the {piece} failed: {found[0]}"
            raise StudyError(run.id, problem, f"then start the {whole} again to go on") from error
        if remark:
            logger.warning("%s: %s", run.id, remark)
        self.finish(run, config, seconds=time.monotonic() - started, whole=fresh, remark=remark)

    def finish(self, run: Work, config: Configuration, *, seconds: float, whole: bool, remark: str) -> None:
        """Note that a run is done; written last and at once.

        Args:
            run: what was done.
            config: the study's.
            seconds: time of the part that this process did.
            whole: whether that was all of it, and not the rest of a run that was cut off.
            remark: what a reader has to know about the result; empty for nothing.
        """
        record = {
            "id": run.id,
            "kind": run.kind,
            "hash": config.hash,
            "seconds": round(seconds, 3),
            "whole": whole,
            "remark": remark,
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **describe_code(),
        }
        write_text(self.of(run.id) / DONE_FILE, json.dumps(record, indent=1) + "\n")

    def done(self, run: Work, config: Configuration) -> Mapping[str, Any] | None:
        """Return the record of a finished run, None if it is not finished.

        Raises:
            StudyError: the record is another configuration's or another run's.
            DataError: it cannot be read.
        """
        path = self.of(run.id) / DONE_FILE
        if not path.exists():
            return None
        record = _read_json(path, ("id", "hash", "seconds", "whole"))
        if record["hash"] != config.hash or record["id"] != run.id:
            problem = f"is the result of another configuration or run ({record['id']})"
            raise StudyError(path, problem, "remove its folder, so that the run is made again")
        return record


def _read_json(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        remedy = "restore it, or choose another output_dir"
        raise DataError(path, f"cannot be read ({type(error).__name__})", remedy) from error
    if not isinstance(content, dict) or not set(keys) <= content.keys():
        raise DataError(path, "is no record of a study", "choose another output_dir")
    return content
