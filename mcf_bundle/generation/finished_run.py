"""A finished run, read back from the files of its folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcf_bundle.bounded_file import check_type, parse_json, read_bytes
from mcf_bundle.data.pseudonyms import FULL, PSEUDONYMOUS
from mcf_bundle.errors import DataError, McfError
from mcf_bundle.generation.gate import GateResult
from mcf_bundle.generation.loop import Outcome
from mcf_bundle.generation.output_folder import MANIFEST_FILE, PLAN_FILE, RUN_FILE
from mcf_bundle.generation.plan import FORMAT, Plan
from mcf_bundle.generation.run_report import RunFacts
from mcf_bundle.generation.stored_facts import load_facts
from mcf_bundle.generation.stored_record import check_record, plan_row
from mcf_bundle.limits import MAX_JSON_BYTES, MAX_LINES_BYTES

_AGAIN = "run the generation again with this version and the same output_dir"


@dataclass(frozen=True)
class StoredPlan(Plan):
    """A plan as its file tells it; with pseudonyms its content has another hash than its key.

    Attributes:
        stored_id: the key.
    """

    stored_id: str = ""

    @property
    def plan_id(self) -> str:
        """The key that the file's first line says."""
        return self.stored_id


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A run as its own files tell it; patients are named as there.

    Attributes:
        plan: the plan.
        records: the lines of the manifest, in row order.
        facts: what plan and manifest lack.
        outcome: what became of the plan; figures of rejected images are known where the row was written.
    """

    plan: StoredPlan
    records: tuple[Mapping[str, Any], ...]
    facts: RunFacts
    outcome: Outcome

    @classmethod
    def parse(cls, plan: str, records: Sequence[Mapping[str, Any]], run: Mapping[str, Any]) -> FinishedRun:
        """Put a run together from the text of plan.jsonl, the records of the manifest and run.json.

        Raises:
            KeyError: a part is missing.
            TypeError: a part is something else.
            ValueError: the same.
        """
        return cls(
            parse_plan(plan), tuple(records), load_facts(run), _outcome(records, run["rows not written"])
        )


def parse_plan(text: str) -> StoredPlan:
    """Read the text of plan.jsonl; errors as in `FinishedRun.parse`."""
    header, *rows = map(parse_json, text.splitlines())
    check_type("the first line", header, dict)
    plan_id, tries = header.pop("plan_id"), header.pop("tries")
    if header.pop("format") != FORMAT:
        raise ValueError(f"this version reads the format {FORMAT}")
    check_type("plan_id", plan_id, str)
    check_type("tries", tries, dict)
    for outcome, count in tries.items():
        check_type(outcome, count, int)
    if header["provenance"] not in (FULL, PSEUDONYMOUS):
        raise ValueError(f"provenance is {header['provenance']!r}")
    plan = StoredPlan(header, tuple(map(plan_row, rows)), tries, plan_id)
    # Pseudonyms took the place of the names that the key was made from.
    if header["provenance"] == FULL and Plan(header, plan.rows).plan_id != plan_id:
        raise ValueError("it was changed after it was written, or is damaged")
    return plan


def read_run(output_dir: Path) -> FinishedRun:
    """Read a finished run.

    Args:
        output_dir: the run's folder.

    Raises:
        DataError: a file is missing, damaged, too large, or of a version that wrote less; names it.
    """
    plan_file, manifest_file, run_file = (output_dir / name for name in (PLAN_FILE, MANIFEST_FILE, RUN_FILE))
    text, lines = _read(plan_file, MAX_LINES_BYTES), _read(manifest_file, MAX_LINES_BYTES).splitlines()
    stored = _json(run_file, _read(run_file, MAX_JSON_BYTES))
    with _naming(plan_file):
        plan = parse_plan(text)
    with _naming(manifest_file):
        records = tuple(check_record(_json(manifest_file, line)) for line in lines)
    with _naming(run_file):
        facts, outcome = load_facts(stored), _outcome(records, stored["rows not written"])
        told = sorted([*(record["row"] for record in records), *outcome.missing])
    for record in records:
        if record["plan_id"] != plan.plan_id:
            raise DataError(manifest_file, "belongs to another plan than plan.jsonl", _AGAIN)
    if told != [row.row for row in plan.rows]:
        counts = f"{len(records)} images, {len(plan.rows)} planned, {len(outcome.missing)} given up"
        problem = f"does not fit {PLAN_FILE} and {RUN_FILE}: {counts}"
        raise DataError(manifest_file, problem, _AGAIN)
    return FinishedRun(plan, records, facts, outcome)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file whose parts are missing or something else."""
    try:
        yield
    except McfError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = f"its parts do not hold what the report needs ({type(error).__name__}: {error})"
        raise DataError(path, problem, _AGAIN) from error


def _outcome(records: Sequence[Mapping[str, Any]], missing: Sequence[Mapping[str, Any]]) -> Outcome:
    rejected = {
        record["row"]: [GateResult(item["gate"], tuple(item["reasons"])) for item in record["rejected"]]
        for record in records
    }
    rejected |= {item["row"]: [GateResult({}, tuple(names)) for names in item["reasons"]] for item in missing}
    rejected = {row: results for row, results in rejected.items() if results}
    return Outcome(len(records), rejected, [item["row"] for item in missing])


def _read(path: Path, most: int) -> str:
    try:
        return read_bytes(path, most=most).decode()
    except FileNotFoundError as error:
        problem = "is missing, so this is no folder of a run that came to its end"
        raise DataError(path, problem, "give the output_dir of one, or run the generation again") from error
    except (OSError, ValueError) as error:
        raise DataError(path, f"cannot be read ({error})", "check the path and its permissions") from error


def _json(path: Path, text: str) -> dict[str, Any]:
    try:
        value = parse_json(text)
    except ValueError as error:
        raise DataError(path, f"is not JSON ({error})", _AGAIN) from error
    if not isinstance(value, dict):
        raise DataError(path, "holds something else than objects", _AGAIN)
    return value
