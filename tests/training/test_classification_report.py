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
    tables: Any = {
        (ALL, CLASSIFIER): rows,
        (LEVELED, LEVEL_ALONE): [{**row, "probability": 0.5} for row in rows[1:]],
        (MATCHED, LEVEL_ALONE): [{**row, "probability": 0.5} for row in rows[2:]],
    }
    found = level_rows(tables)
    assert [(row["case"], row["probability"], row["matched"]) for row in found] == [
        ("p_1", 0.5, 0),
        ("p_2", 0.5, 1),
        ("p_3", 0.5, 1),
    ]
    assert all(set(row) == set(LEVEL_COLUMNS) for row in found)
    assert level_rows({(ALL, CLASSIFIER): rows}) == []
