"""The per-case table: what a row holds, and that nothing is lost on the way to the file and back."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest

from mcf_bundle.errors import ArgumentError, DataError
from mcf_bundle.metrics.case_table import (
    CLASSIFICATION_COLUMNS,
    SEGMENTATION_COLUMNS,
    check_cases,
    classification_row,
    pair_rows,
    read_case_table,
    write_case_table,
)
from mcf_bundle.metrics.segmentation import segmentation_scores
from tests.metrics.masks import EMPTY, HALF, TUMOR, random_pair, row


def test_a_row_holds_the_scores_the_counts_and_how_they_were_made() -> None:
    pair = random_pair(0, (16, 16))
    found = row("a", 7, *pair, spacing_mm=1.5, tolerance=2.0)
    scores = segmentation_scores(*pair, spacing_mm=1.5, tolerance=2.0)
    assert {name: found[name] for name in scores} == scores
    assert list(found) == list(SEGMENTATION_COLUMNS)
    assert (found["case"], found["patient"], found["slice"]) == ("a_7", "a", 7)
    assert (found["unit"], found["empty_policy"], found["tolerance"]) == ("mm", "penalize", 2.0)
    assert [found[f"{name}_pixels"] for name in ("prediction", "reference", "common")] == [
        pair[0].sum(),
        pair[1].sum(),
        (pair[0] & pair[1]).sum(),
    ]


def test_without_spacing_distances_are_pixels_and_percent_of_the_head_never_mm() -> None:
    found = row("a", 1, HALF, TUMOR, head_length_pixels=5.0)
    assert found["unit"] == "pixel"
    for name in ("hd95", "asd"):
        assert found[f"{name}_percent_of_head"] == pytest.approx(20 * found[name])
    unknown = row("a", 1, HALF, TUMOR)
    assert unknown["unit"] == "pixel"
    assert math.isnan(unknown["hd95_percent_of_head"])


def test_a_miss_costs_the_diagonal_in_percent_of_the_head_too() -> None:
    found = row("a", 1, EMPTY, TUMOR, head_length_pixels=8.0)
    assert found["hd95_percent_of_head"] == pytest.approx(100 * math.sqrt(2))


def test_head_length_beside_spacing_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"head_length_pixels: .* without known spacing"):
        row("a", 1, HALF, TUMOR, head_length_pixels=8.0, spacing_mm=1.0)


def test_a_volume_is_a_case_without_a_slice() -> None:
    found = row("a", None, HALF[None], TUMOR[None])
    assert (found["case"], found["slice"]) == ("a", None)


TABLES = [
    pytest.param(
        [row("a", 1, HALF, TUMOR, tolerance=1.0), row("b", None, EMPTY, TUMOR, empty="exclude")],
        SEGMENTATION_COLUMNS,
        id="segmentation",
    ),
    pytest.param(
        [
            classification_row(1, 0.1 + 0.2, patient="a,b", slice_number=3),
            classification_row(0, 1e-17, patient="x"),
        ],
        CLASSIFICATION_COLUMNS,
        id="classification",
    ),
]


@pytest.mark.parametrize(("rows", "columns"), TABLES)
def test_a_table_comes_back_as_it_was_written(tmp_path: Path, rows: list, columns: Any) -> None:
    path = tmp_path / "new" / "cases.csv"
    write_case_table(path, rows, columns)
    assert repr(read_case_table(path, columns)) == repr(rows)  # to the last digit; nan differs from itself
    with path.open(newline="") as file:
        assert next(csv.reader(file)) == list(columns)


def test_a_row_of_another_kind_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"case a has other columns: \['asd'"):
        write_case_table(tmp_path / "t.csv", [classification_row(0, 0.5, patient="a")], SEGMENTATION_COLUMNS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("case,dice\na,1\n", "expected the columns case, patient, slice, label, probability"),
        ("", "expected the columns"),
        ("case,patient,slice,label,probability\na,a,1,yes,0.5\n", "cannot be read as a per-case table"),
        ("case,patient,slice,label,probability\na,a,1\n", "cannot be read as a per-case table"),
    ],
)
def test_a_file_that_is_no_such_table_is_named(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "cases.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=f"cases.csv: {problem}"):
        read_case_table(path, CLASSIFICATION_COLUMNS)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.csv: cannot be read"):
        read_case_table(tmp_path / "none.csv", CLASSIFICATION_COLUMNS)


def test_a_case_counts_once_and_an_empty_table_is_refused() -> None:
    with pytest.raises(ArgumentError, match="rows: case a_1 stands in the table twice"):
        check_cases([row("a", 1, HALF, TUMOR), row("a", 1, EMPTY, TUMOR)])
    with pytest.raises(ArgumentError, match="rows: the per-case table is empty"):
        check_cases([])


def test_rows_pair_up_by_case_in_any_order() -> None:
    rows = [row("a", number, HALF, TUMOR) for number in range(3)]
    pairs = pair_rows(rows, rows[::-1], ("tolerance", "reference_pixels"))
    assert [(first["case"], second["case"]) for first, second in pairs] == [(f"a_{n}",) * 2 for n in range(3)]


@pytest.mark.parametrize(
    ("baseline", "problem"),
    [
        ([row("a", 1, HALF, TUMOR)], "1 cases stand in one of the tables only, for example a_2"),
        ([row("a", 1, HALF, TUMOR), row("a", 2, HALF, HALF)], "reference_pixels differs .* in a_2"),
        ([row("a", 1, HALF, TUMOR), row("a", 2, HALF, TUMOR, tolerance=1.0)], "tolerance differs .* a_2"),
    ],
)
def test_tables_that_do_not_fit_are_refused(baseline: list, problem: str) -> None:
    rows = [row("a", 1, HALF, TUMOR), row("a", 2, HALF, TUMOR)]
    with pytest.raises(ArgumentError, match=f"baseline: {problem}"):
        pair_rows(rows, baseline, ("reference_pixels", "tolerance"))
