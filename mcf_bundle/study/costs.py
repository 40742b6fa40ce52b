"""What each arm of a study costs: its models, and the generator and set behind its synthetic slices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mcf_bundle.generation.report_table import Cell, Table
from mcf_bundle.study.runs import ModelRun, Run
from mcf_bundle.study.tables import StudyTable

_NOTE = (
    "Wall time on the machine of each run. The generator's share is all that the arm's synthetic slices "
    "needed: networks, images, and the set that another is derived from. It is counted whole in every arm, "
    "although arms share it. A run that was cut off counts its last part alone."
)


def cost_table(runs: Sequence[Run], records: Mapping[str, Mapping[str, Any]]) -> StudyTable:
    """Add up what the runs of each model and arm took.

    Args:
        runs: of the study, each after all that it needs.
        records: by id of a finished run, with `seconds` and `whole`; others are left out.
    """
    needed: dict[str, set[str]] = {}
    for run in runs:
        needed[run.id] = set(run.needs).union(*(needed[name] for name in run.needs))
    groups: dict[tuple[str, str], list[ModelRun]] = {}
    for run in runs:
        if isinstance(run, ModelRun) and run.id in records:
            groups.setdefault((run.model, run.arm), []).append(run)
    lines: list[dict[str, Any]] = []
    for (model, arm), same in groups.items():
        behind = set().union(*(needed[run.id] for run in same)) & records.keys()
        own = [run.id for run in same]
        lines.append(
            {
                "model": model,
                "arm": arm,
                "runs": len(own),
                "training_h": _hours(own, records),
                "generator_h": _hours(behind, records),
                "cut_off": sum(not records[name]["whole"] for name in {*own, *behind}),
            }
        )
    columns = (
        "model",
        "arm",
        "runs",
        "their training and evaluation, h",
        "generator and images, h",
        "cut off",
    )
    rows: list[tuple[Cell, ...]] = [
        (*(line[key] for key in ("model", "arm", "runs")), *_shown(line), line["cut_off"]) for line in lines
    ]
    return StudyTable("costs", tuple(lines), (Table("What each arm costs", columns, tuple(rows), _NOTE),))


def _hours(names: Iterable[str], records: Mapping[str, Mapping[str, Any]]) -> float:
    return math.fsum(records[name]["seconds"] for name in names) / 3600  # exact in any order


def _shown(line: Mapping[str, Any]) -> tuple[str, str]:
    return f"{line['training_h']:.2f}", f"{line['generator_h']:.2f}"
