"""The folder of a run: whose files it holds, and whether a run may write there."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcf_bundle.atomic_file import unwritable
from mcf_bundle.bounded_file import parse_json, read_lines
from mcf_bundle.data.generated_case import CASE_NAME, MANIFEST_FILE
from mcf_bundle.errors import DataError, PlanError
from mcf_bundle.folder_lock import LOCK_FILES
from mcf_bundle.generation.writer import holds_only_case

PLAN_FILE = "plan.jsonl"
RUN_FILE = "run.json"
DATALIST_FILE = "datalist.json"
CONTACT_SHEET_FILE = "contact_sheet.png"
REPORT_FILE = "report.html"
SHARDS_FOLDER = ".shards"
"""Parts of the manifest while a run goes on; a run that comes to its end leaves none."""

RUN_FILES = (RUN_FILE, DATALIST_FILE, CONTACT_SHEET_FILE, REPORT_FILE, MANIFEST_FILE, PLAN_FILE)
"""Files of a run beside its cases; the plan stands last because it tells whose the others are."""

_CASE_NAME_BYTES = re.compile(rb"(?<=\")SYN_[A-Za-z0-9-]+_\d{6,}(?=\")")
_SHARD = re.compile(r"(\d+|kept)\.jsonl|\.kept\.jsonl\.partial")
_UNFINISHED = re.compile(r"\.(?P<name>.+)\.(?:partial|replaced)")
# Desktops put these into every folder that somebody looks at.
_IGNORED = {".DS_Store", "Thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class _StoredRun:
    """What the plan and the manifest in a folder say: the plan's key, its rows, names of cases."""

    plan_id: str
    rows: frozenset[int]
    names: frozenset[str]


def check_output_dir(output_dir: Path, *, plan_id: str, overwrite: bool = False) -> bool:
    """Tell whether a run may write to a folder, without touching it.

    A run's files are recognized by ``plan.jsonl``, whose first line holds its ``plan_id``. With it, these are
    a run's: the names of `RUN_FILES`, and cases whose name, or number as ``row``, stands in a line of the
    plan or the manifest, and the manifest's shards, as long as their folders hold nothing else. The lock's
    files are a run's in any case.

    Args:
        output_dir: the folder; may be missing.
        plan_id: the key of the plan that is to run.
        overwrite: whether an earlier run's files may go.

    Returns:
        Whether the folder holds files of the same plan that the run can go on from.

    Raises:
        DataError: the path is a file or cannot be read.
        PlanError: the folder holds another run's files and `overwrite` is False, or something that no run
            wrote there, whatever `overwrite` says.
    """
    entries = _entries(output_dir)
    run = _stored_run(output_dir)
    foreign = [path.name for path in entries if not _is_ours(path, run)]
    if foreign:
        listed = ", ".join(foreign[:3]) + (f" and {len(foreign) - 3} more" if len(foreign) > 3 else "")
        problem = f"holds what no run wrote there: {listed}"
        raise PlanError(
            output_dir, problem, "choose a new or empty folder as output_dir; nothing was removed"
        )
    if run is None or overwrite:
        return False
    if run.plan_id != plan_id:
        problem = f"holds another run's files (plan {run.plan_id[:12]}, this one is {plan_id[:12]})"
        raise PlanError(
            output_dir, problem, "choose another output_dir, or replace them with --overwrite True"
        )
    return True


def prepare_output_dir(output_dir: Path, *, plan_id: str, overwrite: bool = False) -> bool:
    """Make the run's folder, or make sure that the run may write to the one that is there.

    Args:
        output_dir: the folder; made with its parents if missing.
        plan_id: the key of the plan that is to run.
        overwrite: whether to remove an earlier run's files first, also those of the same plan; nothing else
            is ever removed.

    Returns:
        Whether files of the same plan are there to go on from.

    Raises:
        DataError: the folder cannot be made, read or written.
        PlanError: as in `check_output_dir`.
    """
    resumed = check_output_dir(output_dir, plan_id=plan_id, overwrite=overwrite)
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        if overwrite:
            _clear(output_dir)
        with tempfile.TemporaryFile(dir=output_dir):
            pass
    except OSError as error:
        raise unwritable(output_dir, error) from error
    return resumed


def _clear(output_dir: Path) -> None:
    """Remove a run's files, its plan last, so that an interrupted removal can be taken up again."""
    for path in _entries(output_dir):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in (*RUN_FILES, *LOCK_FILES):
            path.unlink()
    for name in RUN_FILES:
        (output_dir / name).unlink(missing_ok=True)


def _entries(output_dir: Path) -> list[Path]:
    try:
        paths = sorted(output_dir.iterdir()) if output_dir.exists() else []
    except NotADirectoryError as error:
        problem = "expected a folder, found a file in its place"
        raise DataError(output_dir, problem, "choose another output_dir") from error
    except OSError as error:
        raise unwritable(output_dir, error) from error
    return [path for path in paths if path.name not in _IGNORED]


def _stored_run(output_dir: Path) -> _StoredRun | None:
    """Read whose files the folder holds; None without a plan."""
    plan = output_dir / PLAN_FILE
    if not plan.is_file():
        return None
    manifest = output_dir / MANIFEST_FILE
    try:
        lines = read_lines(plan)
        lines += read_lines(manifest) if manifest.is_file() else []
    except (OSError, ValueError) as error:
        raise DataError(plan, f"cannot be read ({error})", "choose another output_dir") from error
    records = [_parse(line) for line in lines]
    plan_id = records[0].get("plan_id") if records else None
    if not isinstance(plan_id, str):
        problem = "is not a plan of this project: its first line has no plan_id"
        raise PlanError(plan, problem, "choose a new or empty folder as output_dir; nothing was removed")
    rows = frozenset(record["row"] for record in records if isinstance(record.get("row"), int))
    names = frozenset(match[0].decode() for line in lines for match in _CASE_NAME_BYTES.finditer(line))
    return _StoredRun(plan_id, rows, names)


def _parse(line: bytes) -> dict[str, Any]:
    """Read one line; a line that a crash cut short tells nothing."""
    try:
        record = parse_json(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _is_ours(path: Path, run: _StoredRun | None) -> bool:
    unfinished = _UNFINISHED.fullmatch(path.name)
    name = unfinished["name"] if unfinished else path.name
    if path.is_symlink():
        return False
    if path.is_file() and name in LOCK_FILES:
        return True
    if path.is_file():
        return name in RUN_FILES if run else (unfinished is not None and name == PLAN_FILE)
    if run is not None and path.name == SHARDS_FOLDER:
        return all(_SHARD.fullmatch(shard.name) for shard in path.iterdir())
    case = CASE_NAME.fullmatch(name)
    if run is None or case is None or not (name in run.names or int(case["row"]) in run.rows):
        return False
    return holds_only_case(path, name)
