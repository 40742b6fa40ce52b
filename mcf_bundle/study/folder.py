"""The folder of a study: whose configuration it is, and which runs are done."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mcf_bundle.atomic_file import write_text
from mcf_bundle.commandline import describe
from mcf_bundle.errors import BusyError, DataError, StudyError
from mcf_bundle.folder_lock import claimed
from mcf_bundle.run_record import describe_code
from mcf_bundle.study.hardware import describe_hardware

logger = logging.getLogger(__name__)

STUDY_FILE, DONE_FILE = "study.json", "done.json"
RUNS_FOLDER, SPLITS_FOLDER, CLAIMS_FOLDER = "runs", "splits", ".claims"

_PAUSE_S = 5.0
"""Time between two looks for a piece of work that nobody does, where all are in the hands of others."""


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

    @property
    def needs(self) -> Collection[str]:
        """Ids of the pieces whose results it reads."""


W = TypeVar("W", bound=Work)


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
        with claimed(self.path, wait=True):
            self.check(config)
            if not (self.path / STUDY_FILE).exists():
                content = {"hash": config.hash, "config": config.identity}
                write_text(self.path / STUDY_FILE, json.dumps(content, indent=1) + "\n")

    def carry_out(
        self, pieces: Sequence[W], config: Configuration, do: Callable[[W], str], *, piece: str, whole: str
    ) -> None:
        """Do the pieces of work that are not done, and note each.

        Processes that are at it at the same time share them: each takes the first that nobody does, as soon
        as what it needs is done; what a killed one leaves is taken by another.

        Args:
            pieces: what is to be done, in order; a folder that one has already is that of a part that was
                cut off.
            config: the study's.
            do: does one; returns a remark, see `finish`.
            piece: what the user calls it, "run".
            whole: what it is a part of, "study".

        Raises:
            StudyError: an error of ours ended it; the message names the piece.
        """
        while waiting := [item for item in pieces if self.done(item, config) is None]:
            unfinished = {item.id for item in waiting}
            ready = [item for item in waiting if unfinished.isdisjoint(item.needs)]
            if not any(self._do_unless_busy(item, config, do, piece, whole) for item in ready):
                time.sleep(_PAUSE_S)

    def _do_unless_busy(
        self, work: W, config: Configuration, do: Callable[[W], str], piece: str, whole: str
    ) -> bool:
        """Do a piece, or return False if another process does it."""
        with ExitStack() as claim:
            try:
                claim.enter_context(claimed(self.path / CLAIMS_FOLDER / work.id))
            except BusyError:
                return False
            if self.done(work, config) is None:
                self._do(work, config, do, piece, whole)
        return True

    def _do(self, work: W, config: Configuration, do: Callable[[W], str], piece: str, whole: str) -> None:
        place, started = self.of(work.id), time.monotonic()
        fresh = not place.exists()
        place.mkdir(parents=True, exist_ok=True)
        try:
            remark = do(work)
        except Exception as error:
            found = describe(error)
            if found is None:
                error.add_note(f"in the {piece} {work.id} of the {whole}")
                raise
            problem = f"the {piece} failed: {found[0]}"
            raise StudyError(work.id, problem, f"then start the {whole} again to go on") from error
        if remark:
            logger.warning("%s: %s", work.id, remark)
        self.finish(work, config, seconds=time.monotonic() - started, whole=fresh, remark=remark)

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
            "hardware": describe_hardware(),
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
