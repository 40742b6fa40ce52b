"""Gathered tables, run by run."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcf_bundle.errors import DataError
from mcf_bundle.metrics.case_table import SEGMENTATION_COLUMNS
from mcf_bundle.study.run_cases import RunKey, read_runs
from mcf_bundle.study.run_scores import classification_runs, segmentation_runs
from tests.study.simulated import run, segmentation_row, segmentation_rows, write_gathered


def test_runs_come_in_the_order_of_the_file_with_their_own_cases(tmp_path: Path) -> None:
    rows = [{**run(arm, 0, 3), **segmentation_row("p", n, 0.5)} for arm in ("b", "a") for n in range(2)]
    found = list(read_runs(write_gathered(tmp_path / "cases.csv", rows), SEGMENTATION_COLUMNS))
    assert [key for key, _ in found] == [
        RunKey("cross_validation", "unet", arm, 1.0, "0", 3) for arm in ("b", "a")
    ]
    assert [[row["case"] for row in cases] for _, cases in found] == [["p_0", "p_1"]] * 2
    assert found[0][1][0]["dice"] == 0.5


def broken(kind: str, tmp_path: Path) -> Path:
    rows = [{**run(arm, 0, 0), **segmentation_row("p", 0, 0.5)} for arm in ("a", "b")]
    if kind == "stands in two places":
        rows.append({**rows[0], **segmentation_row("p", 1, 0.5)})
    if kind == "stands in the table twice":
        rows.insert(0, rows[0])
    if kind == "does not fit its columns":
        rows[1]["dice"] = "high"
    if kind == "names no run":
        rows[0]["arm"] = ""
    if kind == "a miss would favor its arm":
        rows[1]["empty_policy"] = "exclude"
    if kind == "is a whole volume":
        rows[1]["slice"] = ""
    if kind == "has distances in mm":
        rows[1]["unit"] = "mm"
    return write_gathered(tmp_path / "cases.csv", rows)


@pytest.mark.parametrize(
    "problem",
    [
        "stands in two places",
        "stands in the table twice",
        "does not fit its columns",
        "names no run",
        "a miss would favor its arm",
        "is a whole volume",
        "has distances in mm",
    ],
)
def test_what_cannot_be_trusted_is_refused_with_its_name(problem: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=problem):
        segmentation_runs(broken(problem, tmp_path))


def volume(patient: str, **changes: object) -> dict[str, object]:
    row = {**segmentation_row(patient, 0, 0.5), "unit": "voxel", "hd95": 3.0, "asd": 1.0}
    return {**run("a", 0, 0), **row, "case": patient, "slice": "", **changes}


def test_volumes_stand_beside_the_slices_of_their_run(tmp_path: Path) -> None:
    rows = [{**run("a", 0, 0), **segmentation_row(p, n, 0.5)} for p in "pq" for n in range(2)]
    volumes = [volume("p", hd95=5.0), volume("q")]
    paths = [write_gathered(tmp_path / f"{n}.csv", table) for n, table in enumerate((rows, volumes))]
    (found,) = segmentation_runs(*paths)
    assert found.sums["volume_hd95"].tolist() == [5, 3]
    assert found.weights["volume_asd"].tolist() == [1, 1]
    assert (found.units["hd95"], found.units["volume_hd95"], found.units["volume_dice"]) == (
        "pixel",
        "voxel",
        "",
    )


@pytest.mark.parametrize(
    ("volumes", "problem"),
    [
        ([volume("p")], "lacks volumes of its patients"),
        ([volume("p"), volume("q", slice=3)], "case q of the run .* is a slice"),
        ([volume("p"), volume("q", unit="mm")], "has distances in mm, others have voxel"),
        ([volume("p", arm="b"), volume("q", arm="b")], "lacks volumes of its patients"),
    ],
)
def test_volumes_that_are_not_those_of_the_slices_are_refused(
    tmp_path: Path, volumes: list[dict[str, object]], problem: str
) -> None:
    rows = [{**run("a", 0, 0), **segmentation_row(p, n, 0.5)} for p in "pq" for n in range(2)]
    paths = [write_gathered(tmp_path / f"{n}.csv", table) for n, table in enumerate((rows, volumes))]
    with pytest.raises(DataError, match=problem):
        segmentation_runs(*paths)


def test_a_table_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = write_gathered(tmp_path / "cases.csv", segmentation_rows({"real_only": 0.0}))
    with pytest.raises(DataError, match="expected the columns"):
        classification_runs(path)
    with pytest.raises(DataError, match="cannot be read"):
        segmentation_runs(tmp_path / "missing.csv")
