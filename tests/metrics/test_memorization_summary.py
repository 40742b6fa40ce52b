"""Limits, shares and copies, counted by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.case_table import read_case_table, write_case_table
from mcf_bundle.metrics.memorization_summary import (
    AUDIT_FIGURES,
    audit_warnings,
    find_copies,
    image_limits,
    split_sets,
    summarize_memorization,
)
from mcf_bundle.metrics.memorization_table import HELD_OUT, MEMORIZATION_COLUMNS, SYNTHETIC


def row(case: str, kind: str, patient: str, **figures: Any) -> dict[str, Any]:
    made = {n: float("nan") if c.kind is float else None for n, c in MEMORIZATION_COLUMNS.items()}
    made |= {"case": case, "set": kind, "patient": patient, "host": f"host of {case}", "mask_pixels": 400}
    return made | figures


def held_out(count: int = 101, patients: int = 20, **figures: Any) -> list[dict[str, Any]]:
    """Slices with the figures 0, 0.005, ... for each column, in this order, and equal masks."""
    return [
        row(
            f"h{i}", HELD_OUT, f"v{i % patients}", tumor_correlation=i / 200, tumor_feature=i / 200, **figures
        )
        for i in range(count)
    ]


def synthetic(*values: float, **figures: Any) -> list[dict[str, Any]]:
    return [
        row(
            f"s{i}",
            SYNTHETIC,
            f"d{i}",
            tumor_correlation=value,
            tumor_feature=value if i % 2 else 0,
            **figures,
        )
        for i, value in enumerate(values)
    ]


def test_the_limit_is_the_99th_percentile_of_the_held_out_slices() -> None:
    limits = image_limits(synthetic(0.3), held_out(), "tumor_correlation")
    np.testing.assert_allclose(limits, [99 / 200])


def test_large_tumors_are_judged_by_large_tumors() -> None:
    small, large = held_out(40), held_out(30)
    for item in small:
        item |= {"case": f"small {item['case']}", "mask_pixels": 100, "tumor_correlation": 0.9}
    images = [row("a", SYNTHETIC, "d", mask_pixels=pixels) for pixels in (100, 200, 201, 800, 801)]
    limits = image_limits(images, small + large, "tumor_correlation")
    of_large = np.percentile([i / 200 for i in range(30)], 99)
    np.testing.assert_allclose(limits[:4], [0.9, 0.9, of_large, of_large])
    # None is as large as 401 pixels: the 20 largest count, in the order of the table.
    assert limits[4] == pytest.approx(np.percentile([i / 200 for i in range(20)], 99))


def test_heads_have_one_limit_whatever_the_mask() -> None:
    rows = [row(f"h{i}", HELD_OUT, "v", outside_correlation=i / 200, mask_pixels=i) for i in range(101)]
    images = [row("a", SYNTHETIC, "d", mask_pixels=pixels) for pixels in (1, 10_000)]
    np.testing.assert_allclose(image_limits(images, rows, "outside_correlation"), 99 / 200)


def test_shares_and_means_are_those_counted_by_hand() -> None:
    rows = synthetic(0.4, 0.495, 0.5, 0.9, donor_drop=0.25, donor_correlation=0.6) + held_out()
    found = {item.figure: item for item in summarize_memorization(rows, resamples=200)}
    assert set(found) == {"tumor_correlation", "tumor_feature", "donor_correlation", "donor_drop"}
    tumor = found["tumor_correlation"]
    assert (tumor.above, tumor.share, tumor.n, tumor.patients) == (2, 0.5, 4, 4)
    assert (tumor.held_out_n, tumor.held_out_patients) == (101, 20)
    assert tumor.mean == pytest.approx((0.4 + 0.495 + 0.5 + 0.9) / 4)
    assert tumor.limit == pytest.approx(99 / 200)
    assert tumor.share_low < 0.5 < tumor.share_high
    assert found["donor_correlation"].share == 1
    drop = found["donor_drop"]
    assert (drop.mean, drop.mean_low, drop.mean_high) == pytest.approx((0.25, 0.25, 0.25))
    assert math.isnan(drop.limit)
    assert math.isnan(drop.share)
    assert "above" in str(tumor)
    assert "above" not in str(drop)


def test_the_unit_of_heads_is_the_host_and_that_of_tumors_the_donor() -> None:
    rows = synthetic(0.1, 0.2, outside_correlation=1.0) + held_out(outside_correlation=0.5)
    for item in rows[:2]:
        item["host"] = "one"
    found = {item.figure: item for item in summarize_memorization(rows, resamples=20)}
    assert found["outside_correlation"].patients == 1
    assert math.isnan(found["outside_correlation"].share_low)
    assert found["tumor_correlation"].patients == 2


def test_copies_say_what_gave_them_away_the_surest_first() -> None:
    rows = synthetic(0.6, 0.7, 0.1, 0.8) + held_out()
    rows[2]["tumor_feature"] = 0.9
    assert [(copy.case, copy.by) for copy in find_copies(rows)] == [
        ("s3", "both"),
        ("s1", "both"),
        ("s0", "correlation"),
        ("s2", "feature"),
    ]


def test_a_table_survives_its_file(tmp_path: Path) -> None:
    rows = synthetic(0.6, 0.7) + held_out(3)
    write_case_table(tmp_path / "memorization.csv", rows, MEMORIZATION_COLUMNS)
    again = read_case_table(tmp_path / "memorization.csv", MEMORIZATION_COLUMNS)
    first, second = (summarize_memorization(table, resamples=20) for table in (rows, again))
    assert str(first) == str(second)


def test_few_held_out_slices_or_patients_are_a_warning() -> None:
    assert not audit_warnings(synthetic(0.5) + held_out())
    assert len(audit_warnings(synthetic(0.5) + held_out(30, 3))) == 2


@pytest.mark.parametrize(("rows", "missing"), [(synthetic(0.5), HELD_OUT), (held_out(), SYNTHETIC)])
def test_a_table_without_one_of_the_sets_is_refused(rows: list[dict[str, Any]], missing: str) -> None:
    with pytest.raises(ArgumentError, match=f"there are no {missing} ones"):
        split_sets(rows)


def test_every_figure_is_a_column() -> None:
    for name, figure in AUDIT_FIGURES.items():
        assert MEMORIZATION_COLUMNS[name].kind is float
        assert not figure.held_out or MEMORIZATION_COLUMNS[figure.held_out].kind is float
