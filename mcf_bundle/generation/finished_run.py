"""A finished run, read back from the files of its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcf_bundle.errors import DataError
from mcf_bundle.generation.gate import GateResult
from mcf_bundle.generation.loop import Outcome
from mcf_bundle.generation.output_folder import MANIFEST_FILE, PLAN_FILE, RUN_FILE
from mcf_bundle.generation.plan import Candidate, Plan, PlanRow, SliceId
from mcf_bundle.generation.run_report import RunFacts
from mcf_bundle.generation.stored_facts import load_facts
from mcf_bundle.generation.warp import Transform

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
        header, *rows = map(json.loads, plan.splitlines())
        plan_id, tries = header.pop("plan_id"), header.pop("tries")
        header.pop("format")
        return cls(
            StoredPlan(header, tuple(map(_row, rows)), tries, plan_id),
            tuple(records),
            load_facts(run),
            _outcome(records, run["rows not written"]),
        )


def read_run(output_dir: Path) -> FinishedRun:
    """Read a finished run.

    Args:
        output_dir: the run's folder.

    Raises:
        DataError: a file is missing, damaged, or of a version that wrote less; names it.
    """
    texts = {name: _read(output_dir / name) for name in (PLAN_FILE, MANIFEST_FILE, RUN_FILE)}
    records = [_json(output_dir / MANIFEST_FILE, line) for line in texts[MANIFEST_FILE].splitlines()]
    facts = _json(output_dir / RUN_FILE, texts[RUN_FILE])
    try:
        run = FinishedRun.parse(texts[PLAN_FILE], records, facts)
    except (KeyError, TypeError, ValueError) as error:
        problem = f"its files do not hold what the report needs ({type(error).__name__}: {error})"
        raise DataError(output_dir, problem, _AGAIN) from error
    for record in records:
        if record.get("plan_id") != run.plan.plan_id:
            raise DataError(output_dir / MANIFEST_FILE, "belongs to another plan than plan.jsonl", _AGAIN)
    return run


def candidate(fields: Mapping[str, Any]) -> Candidate:
    """Rebuild a candidate from a line of plan or manifest; KeyError or TypeError where a part is missing."""
    host, donor = (SliceId(**fields[role]) for role in ("host", "donor"))
    return Candidate(host, donor, Transform.from_dict(fields["transform"]), fields["seed"])


def _row(fields: Mapping[str, Any]) -> PlanRow:
    candidates = tuple(map(candidate, (fields, *fields["spares"])))
    return PlanRow(fields["row"], fields["name"], candidates, fields["settings"])


def _outcome(records: Sequence[Mapping[str, Any]], missing: Sequence[Mapping[str, Any]]) -> Outcome:
    rejected = {
        record["row"]: [GateResult(item["gate"], tuple(item["reasons"])) for item in record["rejected"]]
        for record in records
    }
    rejected |= {item["row"]: [GateResult({}, tuple(names)) for names in item["reasons"]] for item in missing}
    rejected = {row: results for row, results in rejected.items() if results}
    return Outcome(len(records), rejected, [item["row"] for item in missing])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        problem = "is missing, so this is no folder of a run that came to its end"
        raise DataError(path, problem, "give the output_dir of one, or run the generation again") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(path, f"cannot be read ({error})", "check the path and its permissions") from error


def _json(path: Path, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise DataError(path, f"is not JSON ({error})", _AGAIN) from error
    if not isinstance(value, dict):
        raise DataError(path, "holds something else than objects", _AGAIN)
    return value
