"""The benchmark's table: what a row says, how things are timed in turn, and that the docs show the file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import __main__ as bench
from benchmarks import calls, networks, precisions
from benchmarks.__main__ import GPU_ROWS, main, markdown_of
from benchmarks.row import Row, Timing, not_measured, time_in_turn

ROOT = Path(__file__).resolve().parents[1]
KEYS = {"name", "ours", "peer", "peer_name", "unit", "ratio", "bar", "met"}


@pytest.mark.parametrize(
    ("row", "ratio", "met"),
    [
        ({"ours": 6.0, "peer": 2.0, "bar": 2.5}, 3.0, True),
        ({"ours": 6.0, "peer": 2.0, "bar": 3.5}, 3.0, False),
        ({"ours": 2.0, "peer": 6.0, "bar": 2.5, "better": "smaller"}, 3.0, True),
        ({"ours": 0.04, "peer": None, "bar": 0.05, "limit": True}, None, True),
        ({"ours": 0.06, "peer": None, "bar": 0.05, "limit": True}, None, False),
        ({"ours": 6.0, "peer": 2.0}, 3.0, None),
    ],
)
def test_a_ratio_above_1_is_better_and_a_bar_is_met_or_not(
    row: dict[str, Any], ratio: float | None, met: bool | None
) -> None:
    made = Row(name="a", peer_name="b", unit="c", **row)
    assert (made.ratio, made.met) == (ratio, met)
    assert made.to_dict().keys() >= KEYS


def test_what_cannot_be_measured_is_null() -> None:
    row = not_measured("a", "b", 4.0, "no GPU here")
    assert row.keys() == Row(name="a", ours=1.0, peer=None, peer_name="", unit="b").to_dict().keys()
    assert row["met"] is row["ours"] is row["ratio"] is None


def test_things_are_timed_in_alternating_order_after_a_warm_up() -> None:
    called: list[str] = []
    timings = time_in_turn([lambda: called.append("a"), lambda: called.append("b")], 3)
    assert "".join(called) == "ab" + "ab" + "ba" + "ab"
    assert [len(timing.seconds) for timing in timings] == [3, 3]


def test_rates_are_medians_with_their_range() -> None:
    timing = Timing((1.0, 2.0, 4.0))
    assert timing.rate(8) == 4.0
    assert timing.rate_spread(8) == (2.0, 8.0)


def test_only_knows_every_section_in_the_order_of_the_table() -> None:
    assert tuple(bench.sections(Path(), Path(), torch.device("cpu"), images=1)) == bench.SECTIONS


ROW = Row(name="a", ours=6.0, peer=2.0, peer_name="b", unit="c")


def fail() -> list[Row]:
    raise RuntimeError("no memory left")


def measure_only(monkeypatch: pytest.MonkeyPatch, folder: Path, **measured: Any) -> Path:
    """Run what is given in the place of the sections."""
    monkeypatch.setattr(bench, "sections", lambda *_, **__: measured)
    main(["--dataset_dir", "x", "--output", str(folder / "rows.json"), "--only", *measured])
    return folder / "rows.json"


def rows_in(path: Path) -> list[str]:
    return [row["section"] for row in json.loads(path.read_text())["rows"] if row["section"] != "gpu"]


def test_a_section_that_fails_loses_no_row_of_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match="no memory left"):
        measure_only(monkeypatch, tmp_path, network=lambda: [ROW], metrics=fail)
    assert rows_in(tmp_path / "rows.json") == ["network"]
    path = measure_only(monkeypatch, tmp_path, metrics=lambda: [ROW, ROW])
    assert rows_in(path) == ["network", "metrics", "metrics"]


def test_rows_of_another_machine_are_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = measure_only(monkeypatch, tmp_path, network=lambda: [ROW])
    content = json.loads(path.read_text())
    content["machine"]["processor"] = "another"
    path.write_text(json.dumps(content))
    with pytest.raises(SystemExit, match="was measured with another processor; give --output"):
        measure_only(monkeypatch, tmp_path, metrics=lambda: [ROW])


def test_the_docs_show_the_results_that_are_in_the_file() -> None:
    results = json.loads((ROOT / "benchmarks/results.json").read_text())
    assert all(row.keys() >= KEYS for row in results["rows"])
    assert all((row["date"] is None) == (row["ours"] is None) for row in results["rows"])
    assert {name for name, _, _ in GPU_ROWS} <= {row["name"] for row in results["rows"]}
    assert markdown_of(results["rows"]) in (ROOT / "docs/performance.md").read_text()


def test_the_docs_show_the_distances_by_solver_and_calls_that_are_in_the_file() -> None:
    stored = json.loads((ROOT / "benchmarks/calls.json").read_text())
    table = calls.markdown_of(stored["rows"], guidance_scale=2.0)
    assert table.count("\n") == 10, "three solvers by three spacings"
    assert table in (ROOT / "docs/performance.md").read_text()
    assert f"from L = {stored['start_step']})" in (ROOT / "docs/performance.md").read_text()


def test_precisions_are_timed_beside_each_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(networks, "SIZE", 32)
    monkeypatch.setattr(precisions, "fast_precision", lambda device: f"the one of {device.type}")
    precisions.main(["--preset", "smoke", "--repeats", "2"])
    first, _, *table = capsys.readouterr().out.splitlines()
    assert ", the one of " in first
    assert first.endswith(" threads, 2 runs each")
    assert [line.split(" | ")[0] for line in table] == ["| Precision", "| ---", "| float32", "| bfloat16"]
    assert all(re.fullmatch(r"\| \w+( \| \d+ \(\d+ to \d+\)){2} \|", line) for line in table[2:])
