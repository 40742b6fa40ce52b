"""What the report of a classifier keeps of the slices' levels."""

from __future__ import annotations

from typing import Any

from mcf_bundle.metrics.case_table import LEVEL_COLUMNS, classification_row
from mcf_bundle.training.classification_report import (
    ALL,
    CLASSIFIER,
    LEVEL_ALONE,
    LEVELED,
    MATCHED,
    level_rows,
)


def test_level_rows_have_what_the_level_alone_says_and_which_slices_are_matched() -> None:
    rows: list[Any] = [classification_row(n % 2, 0.1 * n, patient="p", slice_number=n) for n in range(4)]
    alone = [{**row, "probability": 0.5} for row in rows]
    tables: Any = {
        (ALL, CLASSIFIER): rows,
        (ALL, LEVEL_ALONE): alone,
        (LEVELED, LEVEL_ALONE): alone[1:],
        (MATCHED, LEVEL_ALONE): alone[2:],
    }
    found = level_rows(tables)
    assert [(row["case"], row["probability"], row["leveled"], row["matched"]) for row in found] == [
        ("p_0", 0.5, 0, 0),
        ("p_1", 0.5, 1, 0),
        ("p_2", 0.5, 1, 1),
        ("p_3", 0.5, 1, 1),
    ]
    assert all(set(row) == set(LEVEL_COLUMNS) for row in found)


def test_without_levels_every_slice_still_has_its_row() -> None:
    rows: list[Any] = [classification_row(1, 0.1, patient="p", slice_number=0)]
    found = level_rows({(ALL, CLASSIFIER): rows, (ALL, LEVEL_ALONE): rows})
    assert [(row["leveled"], row["matched"]) for row in found] == [(0, 0)]
