"""What the page says of the runs behind it."""

from __future__ import annotations

from typing import Any

from mcf_bundle.generation.report_table import Cell, Table
from mcf_bundle.study.provenance import NOT_RECORDED, provenance_tables
from mcf_bundle.study.runs import list_runs
from tests.study.simulated import CONFIG

CPU = {"gpu": None, "cpu": "AMD EPYC", "cores": 2, "threads": 1}
START = {
    "command_line": ["mcf-bundle", "study", "--output_dir", "my study"],
    "started": "2026-01-02T00:00:00Z",
    "duration_s": 17.4,
}


def record(number: int, kind: str, seconds: float, commit: str | None, **more: Any) -> dict[str, Any]:
    return {
        "id": f"{kind}/{number}",
        "kind": kind,
        "seconds": seconds,
        "whole": True,
        "remark": "",
        "finished": f"2026-01-01T0{number}:00:00Z",
        "mcf_bundle": "0.1.0",
        "git": commit and {"commit": commit * 40, "dirty": commit == "b"},
        "versions": {"torch": "2.12.1"},
        "python": "3.11.7",
        **more,
    }


RECORDS = [
    record(3, "denoiser", 3600, "a", hardware={**CPU, "gpu": "NVIDIA H100"}),
    record(1, "unet", 1800, "a"),
    record(2, "unet", 900, "b", hardware=CPU, versions={"torch": "2.13.0"}),
    record(4, "unet", 900, None, hardware=CPU, whole=False, remark="early"),
]


def tables_of(records: list[dict[str, Any]], start: dict[str, Any] = START) -> dict[str, Table]:
    tables = provenance_tables({"last_start": start, "runs": records}, CONFIG)
    return {table.title: table for table in tables}


def facts(table: Table) -> dict[Cell, Cell]:
    return {row[0]: row[1] for row in table.rows}


def test_one_table_says_it_at_a_glance() -> None:
    found = facts(tables_of(RECORDS)["At a glance"])
    assert found == {
        "command line": "mcf-bundle study --output_dir 'my study'",
        "study and scale": "simulated, smoke",
        "config, SHA-256": CONFIG.hash,
        "seeds of the models": "0, 1",
        "seed of the splits (split_seed)": "0",
        "runs done": f"4 of {len(list_runs(CONFIG))}, 1 of them cut off on the way",
        "time of all runs": "2 h 0 min",
        "first and last run finished": "2026-01-01T01:00:00Z, 2026-01-01T04:00:00Z",
        "the last start alone": "17 s, from 2026-01-02T00:00:00Z",
    }


def test_time_is_added_up_by_kind() -> None:
    table = tables_of(RECORDS)["Time of the runs"]
    assert table.rows == (("unet", 3, 1.0), ("denoiser", 1, 1.0))
    assert table.note.startswith("Added up: 2 h 0 min.")


def test_every_commit_of_the_runs_is_counted_not_that_of_the_last_start() -> None:
    rows = tables_of(RECORDS)["Code of the runs"].rows
    assert rows == (
        ("a" * 12, False, 2, 1.5),
        ("b" * 12, True, 1, 0.25),
        (NOT_RECORDED, None, 1, 0.25),
    )


def test_versions_that_differ_are_counted() -> None:
    found = facts(tables_of(RECORDS)["Versions of the runs"])
    assert found == {
        "mcf_bundle": "0.1.0",
        "python": "3.11.7",
        "torch": "2.12.1 (3 runs), 2.13.0 (1 run)",
    }


def test_hardware_is_told_apart_and_older_records_have_none() -> None:
    rows = tables_of(RECORDS)["Hardware of the runs"].rows
    assert rows == (
        ("AMD EPYC", "2, 1", 2, 0.5),
        ("NVIDIA H100", "2, 1", 1, 1.0),
        (NOT_RECORDED, None, 1, 0.5),
    )


def test_all_runs_are_listed_with_their_remarks() -> None:
    table = tables_of(RECORDS)["All runs (4)"]
    assert table.rows[-1] == ("unet/4", 15.0, True, "2026-01-01T04:00:00Z", NOT_RECORDED, "early")


def test_a_study_of_no_runs_started_from_python_has_the_glance_alone() -> None:
    (table,) = provenance_tables({}, CONFIG)
    found = facts(table)
    assert found["command line"] == "not recorded: started from Python"
    assert found["time of all runs"] == "0 s"
    assert "the last start alone" not in found
