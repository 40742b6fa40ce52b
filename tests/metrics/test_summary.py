"""Summaries: each mean with n, spread, interval and empty masks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.summary import Summary, summarize_segmentation
from tests.metrics.masks import EMPTY, HALF, TUMOR, Mask, row

DIAGONAL = 8 * math.sqrt(2)
DICE_OF_HALF = 2 * 4 / (4 + 16)


def cohort(empty: str = "penalize") -> list[dict[str, Any]]:
    return [
        row("a", 1, TUMOR, TUMOR, empty=empty),
        row("a", 2, EMPTY, TUMOR, empty=empty),
        row("a", 3, EMPTY, EMPTY, empty=empty),
        row("b", 1, HALF, EMPTY, empty=empty),
        row("b", 2, HALF, TUMOR, empty=empty),
    ]


def summary(rows: list[dict[str, Any]], metric: str, denominator: str) -> Summary:
    return summarize_segmentation(rows, metrics=[metric], denominators=[denominator], resamples=20)[0]


@pytest.mark.parametrize(
    ("denominator", "values", "empty"),
    [
        ("tumor slices", [1, 0, DICE_OF_HALF], (1, 0, 0)),
        ("all slices", [1, 0, 1, 0, DICE_OF_HALF], (2, 2, 1)),
        ("pooled per patient", [2 * 16 / 48, 2 * 4 / 24], (0, 0, 0)),
    ],
)
def test_a_mean_comes_with_its_denominator_spread_and_empty_masks(
    denominator: str, values: list[float], empty: tuple[int, int, int]
) -> None:
    found = summary(cohort(), "dice", denominator)
    assert (found.metric, found.denominator, found.unit) == ("dice", denominator, "")
    assert found.mean == pytest.approx(np.mean(values))
    assert found.sd == pytest.approx(np.std(values, ddof=1))
    assert (found.n, found.patients, found.excluded) == (len(values), 2, 0)
    assert (found.empty_prediction, found.empty_reference, found.empty_both) == empty
    assert found.low <= found.mean <= found.high


def test_excluded_cases_are_left_out_and_counted() -> None:
    found = summary(cohort("exclude"), "hd95", "all slices")
    assert (found.n, found.excluded) == (2, 3)
    assert (found.empty_prediction, found.empty_reference, found.empty_both) == (2, 2, 1)
    assert found.mean < summary(cohort(), "hd95", "all slices").mean
    assert "misses are left out, do not compare" in str(found)


def test_the_line_prints_how_many_were_empty_on_either_side() -> None:
    line = str(summary(cohort(), "hd95", "all slices"))
    assert line.startswith(f"hd95, all slices: {summary(cohort(), 'hd95', 'all slices').mean:.4g} pixel")
    assert "n = 5 of 2 patients, 0 excluded" in line
    assert "empty: 2 predictions, 2 references, 1 both; penalize" in line


MASKS = st.sampled_from([EMPTY, HALF, TUMOR])


@settings(deadline=None)
@given(st.lists(st.tuples(MASKS, MASKS), min_size=1, max_size=6), st.integers(0, 5))
def test_missing_one_more_tumor_never_improves_any_mean(pairs: list[tuple[Mask, Mask]], which: int) -> None:
    which %= len(pairs)
    pairs[which] = (pairs[which][0], TUMOR)
    rows = [row(f"p{n % 2}", n, *pair) for n, pair in enumerate(pairs)]
    missed = [*rows[:which], row(f"p{which % 2}", which, EMPTY, TUMOR), *rows[which + 1 :]]
    before, after = (summarize_segmentation(table, resamples=1) for table in (rows, missed))
    assert len(before) == len(after) == 10
    for good, bad in zip(before, after, strict=True):
        if good.metric in ("dice", "jaccard"):
            assert bad.mean <= good.mean + 1e-12
        else:
            assert bad.mean >= good.mean - 1e-12
        assert bad.n == good.n


def test_distances_do_not_pool() -> None:
    found = {(line.metric, line.denominator) for line in summarize_segmentation(cohort(), resamples=1)}
    assert ("dice", "pooled per patient") in found
    assert ("hd95", "pooled per patient") not in found
    assert summarize_segmentation(cohort(), metrics=["asd"], denominators=["pooled per patient"]) == []


@pytest.mark.parametrize(
    ("scoring", "units"),
    [
        ({}, {"hd95": "pixel"}),
        ({"spacing_mm": 0.5, "tolerance": 1.0}, {"hd95": "mm", "surface_dice": ""}),
        ({"head_length_pixels": 8.0}, {"hd95": "pixel", "hd95_percent_of_head": "% of head length"}),
    ],
)
def test_what_the_table_has_is_summarized_in_its_unit(scoring: dict, units: dict[str, str]) -> None:
    rows = [row("a", 1, HALF, TUMOR, **scoring)]
    found = {s.metric: s.unit for s in summarize_segmentation(rows, denominators=["all slices"])}
    common = {"dice": "", "jaccard": "", "asd": units["hd95"]}
    percent = {"asd_percent_of_head": "% of head length"} if "head_length_pixels" in scoring else {}
    assert found == {**common, **units, **percent}


def test_no_tumor_slices_give_nothing_and_no_zero() -> None:
    found = summary([row("a", 1, EMPTY, EMPTY)], "dice", "tumor slices")
    assert (found.n, found.patients) == (0, 0)
    assert np.isnan([found.mean, found.sd, found.low, found.high]).all()


def test_one_case_has_a_mean_but_no_spread() -> None:
    found = summary([row("a", 1, HALF, TUMOR)], "dice", "tumor slices")
    assert found.mean == pytest.approx(DICE_OF_HALF)
    assert np.isnan([found.sd, found.low, found.high]).all()


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"metric: expected one of dice, .* got 'case'"):
        summary(cohort(), "case", "all slices")
