"""What a run that was cut off has left behind and can be kept."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from mcf_bundle.bounded_file import parse_json, read_lines
from mcf_bundle.errors import DataError
from mcf_bundle.generation.gate import GateResult
from mcf_bundle.generation.output_folder import MANIFEST_FILE, SHARDS_FOLDER
from mcf_bundle.generation.stored_record import Record, check_record
from mcf_bundle.networks.checkpoint import hash_file

logger = logging.getLogger(__name__)


def kept_records(output_dir: Path, *, plan_id: str) -> list[Record]:
    """Return the lines of the manifest, or of its shards, whose images are there in full, in row order.

    A line that a crash cut short tells nothing, nor does one of another plan; an image whose files are
    missing or differ from their SHA-256 is made again.

    Args:
        output_dir: the run's folder.
        plan_id: the plan that the folder is to hold.

    Raises:
        DataError: a file is there and cannot be read.
    """
    found: dict[int, Record] = {}
    damaged = 0
    try:
        for record in _lines(output_dir):
            if record["plan_id"] != plan_id:
                continue
            if _is_whole(output_dir, record):
                found[record["row"]] = record
            else:
                damaged += 1
    except (OSError, ValueError) as error:
        raise DataError(output_dir, f"cannot be read ({error})", "choose another output_dir") from error
    if damaged:
        logger.warning("%d images in %s are incomplete or changed; they are made again", damaged, output_dir)
    return [found[row] for row in sorted(found)]


def earlier_results(record: Record) -> list[GateResult]:
    """Return what the gate said of the candidates that it rejected before a record's image."""
    return [GateResult(dict(item["gate"]), tuple(item["reasons"])) for item in record["rejected"]]


def results_by_row(records: Sequence[Record]) -> dict[int, list[GateResult]]:
    """Return `earlier_results` of each record by its row."""
    return {record["row"]: earlier_results(record) for record in records}


def _lines(output_dir: Path) -> Iterator[Record]:
    for path in (output_dir / MANIFEST_FILE, *sorted((output_dir / SHARDS_FOLDER).glob("*.jsonl"))):
        for line in read_lines(path) if path.is_file() else ():
            try:
                yield check_record(parse_json(line))
            except (KeyError, TypeError, ValueError, AttributeError):
                continue


def _is_whole(output_dir: Path, record: Record) -> bool:
    return all(
        (output_dir / name).is_file() and hash_file(output_dir / name) == digest
        for name, digest in record["sha256"].items()
    )
