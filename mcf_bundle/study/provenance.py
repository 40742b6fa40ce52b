"""What was run, for the page: one table at a glance, then time, code, hardware and packages of all runs."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mcf_bundle.generation.report_table import Cell, Table
from mcf_bundle.study.config import StudyConfig
from mcf_bundle.study.runs import duration, list_runs

NOT_RECORDED = "not recorded"

_SHORT_COMMIT = 12

Records = Sequence[Mapping[str, Any]]


def provenance_tables(provenance: Mapping[str, Any], config: StudyConfig) -> tuple[Table, ...]:
    """Show what was run with what.

    Args:
        provenance: `runs`, the records of the finished runs as `StudyFolder.finish` writes them, and
            `last_start`: `command_line` as a list of words, `started` and `duration_s` of the process that
            wrote the report. Either may be missing.
        config: the study.
    """
    records: Records = provenance.get("runs", ())
    overview = _overview(records, provenance.get("last_start", {}), config)
    if not records:
        return (overview,)
    return (
        overview,
        _time_table(records),
        _code_table(records),
        _hardware_table(records),
        _package_table(records),
        _run_table(records),
    )


def _overview(records: Records, start: Mapping[str, Any], config: StudyConfig) -> Table:
    line = start.get("command_line")
    cut_off = sum(not record.get("whole", True) for record in records)
    rows: list[tuple[Cell, ...]] = [
        ("command line", shlex.join(line) if line else f"{NOT_RECORDED}: started from Python"),
        ("study and scale", f"{config.name}, {config.scale}"),
        ("config, SHA-256", config.hash),
        ("seeds of the models", ", ".join(map(str, config.seeds))),
        ("seed of the splits (split_seed)", str(config.split_seed)),
        ("runs done", f"{len(records)} of {len(list_runs(config))}, {cut_off} of them cut off on the way"),
        ("time of all runs", duration(_seconds(records))),
    ]
    if times := sorted(record["finished"] for record in records if "finished" in record):
        rows.append(("first and last run finished", f"{times[0]}, {times[-1]}"))
    if "duration_s" in start:
        rows.append(("the last start alone", f"{duration(start['duration_s'])}, from {start['started']}"))
    note = (
        "The time of all runs is added up, also of those that ran side by side. The last start is the one "
        "that wrote this page; it did only the runs that were left."
    )
    return Table("At a glance", ("what", "value"), tuple(rows), note)


def _time_table(records: Records) -> Table:
    rows = _grouped(records, lambda record: (record["kind"],))
    note = f"Added up: {duration(_seconds(records))}. A run that was cut off counts its last part alone."
    return Table("Time of the runs", ("kind", "runs", "hours"), rows, note, "hours")


def _code_table(records: Records) -> Table:
    rows = _grouped(records, _code)
    note = "The last start's code wrote this page; these made the runs."
    if len(rows) > 1:
        note = f"The runs are of {len(rows)} states of the code. {note}"
    return Table("Code of the runs", ("git commit", "changed since", "runs", "hours"), rows, note)


def _code(record: Mapping[str, Any]) -> tuple[Cell, ...]:
    git = record.get("git")
    return (git["commit"][:_SHORT_COMMIT], git["dirty"]) if git else (NOT_RECORDED, None)


def _package_table(records: Records) -> Table:
    found: dict[str, Counter[str]] = {}
    for record in records:
        own = {name: record.get(name) for name in ("mcf_bundle", "python")}
        for name, version in {**own, **record.get("versions", {})}.items():
            found.setdefault(name, Counter())[version or NOT_RECORDED] += 1
    rows = tuple((name, _versions(counts)) for name, counts in found.items())
    return Table("Versions of the runs", ("package", "version"), rows)


def _versions(counts: Counter[str]) -> str:
    """Name the only version, or each with its number of runs."""
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(
        f"{version} ({number} run{'s' if number > 1 else ''})" for version, number in counts.most_common()
    )


def _hardware_table(records: Records) -> Table:
    rows = _grouped(records, _hardware)
    note = "Threads are those of one run; several runs may have shared the cores."
    return Table("Hardware of the runs", ("device", "cores, threads", "runs", "hours"), rows, note)


def _hardware(record: Mapping[str, Any]) -> tuple[Cell, ...]:
    found = record.get("hardware")
    if not found:
        return (NOT_RECORDED, None)
    return (found["gpu"] or found["cpu"], f"{found['cores']}, {found['threads']}")


def _run_table(records: Records) -> Table:
    rows = tuple(
        (
            record["id"],
            round(record["seconds"] / 60, 1),
            not record.get("whole", True),
            record.get("finished"),
            _code(record)[0],
            record.get("remark") or None,
        )
        for record in records
    )
    columns = ("run", "minutes", "cut off", "finished", "git commit", "remark")
    return Table(f"All runs ({len(records)})", columns, rows)


def _grouped(
    records: Records, key: Callable[[Mapping[str, Any]], tuple[Cell, ...]]
) -> tuple[tuple[Cell, ...], ...]:
    """Return a row for each different key with its number of runs and hours, the most runs first."""
    counts = Counter(map(key, records))
    return tuple(
        (*found, number, round(_seconds([record for record in records if key(record) == found]) / 3600, 3))
        for found, number in counts.most_common()
    )


def _seconds(records: Records) -> float:
    return math.fsum(record["seconds"] for record in records)  # exact in any order
