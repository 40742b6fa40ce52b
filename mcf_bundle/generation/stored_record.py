"""A line of the manifest or the plan, checked before anything trusts it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcf_bundle.bounded_file import check_type
from mcf_bundle.data.generated_case import CASE_NAME
from mcf_bundle.data.inner_path import is_inner_path
from mcf_bundle.generation.plan import Candidate, PlanRow, SliceId
from mcf_bundle.generation.warp import Transform

Record = Mapping[str, Any]
"""A line of the manifest."""

_RECORD = {
    "row": int,
    "name": str,
    "image": str,
    "label": str,
    "settings": dict,
    "mask_pixels": int,
    "gate": dict,
    "rejected": list,
    "input_sha256": str,
    "sha256": dict,
    "plan_id": str,
}


def check_record(record: Any) -> Record:
    """Return a line of the manifest if it is a whole one whose files lie in the folder of its case.

    Args:
        record: what a line's JSON holds.

    Raises:
        KeyError: a part is missing.
        TypeError: a part is something else.
        ValueError: a part has no such value, or a path leads out of the run's folder.
    """
    check_type("a line", record, dict)
    for name, kind in _RECORD.items():
        check_type(name, record[name], kind)
    _check_name(record["row"], record["name"])
    for path in (record["image"], record["label"], *record["sha256"]):
        if not is_inner_path(path) or not path.startswith(f"{record['name']}/"):
            raise ValueError(f"{path!r} is no file of {record['name']}")
    for digest in record["sha256"].values():
        check_type("sha256", digest, str)
    for item in (record, *record["rejected"]):
        check_type("gate", item["gate"], dict)
        for figure, value in item["gate"].items():
            check_type(figure, value, int | float)
    for item in record["rejected"]:
        check_type("reasons", item["reasons"], list)
        for reason in item["reasons"]:
            check_type("reason", reason, str)
    candidate(record)
    return record


def plan_row(fields: Any) -> PlanRow:
    """Rebuild a row from a line of the plan; errors as in `check_record`."""
    check_type("a line", fields, dict)
    check_type("row", fields["row"], int)
    check_type("name", fields["name"], str)
    check_type("settings", fields["settings"], dict)
    _check_name(fields["row"], fields["name"])
    candidates = tuple(map(candidate, (fields, *fields["spares"])))
    return PlanRow(fields["row"], fields["name"], candidates, fields["settings"])


def candidate(fields: Mapping[str, Any]) -> Candidate:
    """Rebuild a candidate from a line of plan or manifest; errors as in `check_record`."""
    host, donor = (_slice(fields[role]) for role in ("host", "donor"))
    transform = Transform.from_dict(fields["transform"])
    for index in transform.donor_indices:
        check_type("donor_indices", index, int | None)
    check_type("seed", fields["seed"], int)
    return Candidate(host, donor, transform, fields["seed"])


def _slice(fields: Mapping[str, Any]) -> SliceId:
    found = SliceId(**fields)
    check_type("patient", found.patient, str)
    check_type("slice", found.slice, int)
    check_type("level", found.level, int | float)
    return found


def _check_name(row: int, name: str) -> None:
    match = CASE_NAME.fullmatch(name)
    if match is None or int(match["row"]) != row:
        raise ValueError(f"row {row} has the name {name!r}")
