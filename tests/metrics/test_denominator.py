from __future__ import annotations

import numpy as np
import pytest

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.denominator import pool_by_patient, select_cases
from mcf_bundle.metrics.segmentation import overlap_scores
from tests.metrics.masks import EMPTY, HALF, TUMOR, random_pair, row

ROWS = [
    row("a", 1, TUMOR, TUMOR),
    row("a", 2, EMPTY, TUMOR),
    row("a", 3, EMPTY, EMPTY),
    row("b", 1, HALF, EMPTY),
    row("b", 2, HALF, TUMOR),
]


@pytest.mark.parametrize(
    ("denominator", "cases"),
    [
        ("tumor slices", ["a_1", "a_2", "b_2"]),
        ("all slices", ["a_1", "a_2", "a_3", "b_1", "b_2"]),
        ("pooled per patient", ["a", "b"]),
    ],
)
def test_a_denominator_counts_its_cases_missed_ones_included(denominator: str, cases: list[str]) -> None:
    assert [found["case"] for found in select_cases(ROWS, denominator)] == cases


def test_pooled_dice_is_that_of_the_volume() -> None:
    prediction, reference = random_pair(0, (5, 16, 16))
    rows = [row("a", n, p, r) for n, (p, r) in enumerate(zip(prediction, reference, strict=True))]
    pooled = pool_by_patient(rows)[0]
    expected = overlap_scores(prediction, reference)
    assert {name: pooled[name] for name in expected} == expected
    assert np.isnan(pooled["hd95"])


@pytest.mark.parametrize(
    ("prediction", "reference", "empty", "dice"),
    [
        (EMPTY, EMPTY, "penalize", 1.0),
        (EMPTY, TUMOR, "penalize", 0.0),
        (EMPTY, EMPTY, "exclude", np.nan),
        (HALF, EMPTY, "exclude", np.nan),
    ],
)
def test_a_patient_without_pixels_follows_the_policy(prediction, reference, empty, dice) -> None:
    pooled = pool_by_patient([row("a", n, prediction, reference, empty=empty) for n in range(2)])
    assert [found["dice"] for found in pooled] == pytest.approx([dice], nan_ok=True)


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (row("a", 9, TUMOR, TUMOR, spacing_mm=1.0), "unit mixes mm and pixel"),
        (row("a", 9, TUMOR, TUMOR, empty="exclude"), "empty_policy mixes exclude and penalize"),
        (row("a", 9, TUMOR, TUMOR, tolerance=1.0), "tolerance mixes"),
        (row("a", None, TUMOR, TUMOR), "slices and whole volumes are mixed"),
        (row("a", 1, TUMOR, TUMOR), "case a_1 stands in the table twice"),
    ],
)
def test_rows_that_do_not_go_together_are_refused(other: dict, problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        select_cases([*ROWS, other], "all slices")


@pytest.mark.parametrize("denominator", ["", "slices", "all"])
def test_an_unnamed_denominator_is_refused(denominator: str) -> None:
    with pytest.raises(ArgumentError, match="expected one of tumor slices, all slices, pooled per patient"):
        select_cases(ROWS, denominator)
