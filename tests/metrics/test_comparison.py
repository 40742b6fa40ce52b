"""Two models on the same cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.comparison import paired_difference
from mcf_bundle.metrics.summary import summarize_segmentation
from tests.metrics.masks import EMPTY, HALF, TUMOR, Mask, random_pair, row

DENOMINATORS = ["tumor slices", "all slices", "pooled per patient"]


def table(model: int, patients: int = 5) -> list[dict[str, Any]]:
    rows = []
    for number in range(3 * patients):
        reference = random_pair(number, (24, 24))[0] & (number % 4 != 3)
        prediction = np.roll(reference, 1 + model, axis=0)
        rows.append(row(f"p{number % patients}", number, prediction, reference))
    return rows


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("metric", ["dice", "jaccard"])
def test_the_mean_difference_is_the_difference_of_the_means(denominator: str, metric: str) -> None:
    first, second = table(0), table(3)
    difference = paired_difference(first, second, metric=metric, denominator=denominator, resamples=50)
    means = [
        summarize_segmentation(rows, metrics=[metric], denominators=[denominator], resamples=1)[0].mean
        for rows in (first, second)
    ]
    assert difference.mean == pytest.approx(means[0] - means[1])
    assert difference.denominator == denominator
    assert difference.low <= difference.mean <= difference.high
    assert difference.low > 0  # a shift of 1 pixel beats one of 4 in every patient


def test_swapping_the_models_turns_the_sign() -> None:
    options: dict[str, Any] = {"metric": "hd95", "denominator": "tumor slices", "resamples": 50}
    forth = paired_difference(table(0), table(2), **options)
    back = paired_difference(table(2), table(0), **options)
    assert [forth.mean, forth.low, forth.high] == pytest.approx([-back.mean, -back.high, -back.low])
    assert forth.sd == pytest.approx(back.sd)


def test_a_model_does_not_differ_from_itself_in_any_order() -> None:
    rows = table(1)
    found = paired_difference(rows, rows[::-1], metric="asd", denominator="all slices", resamples=20)
    assert (found.mean, found.sd, found.low, found.high, found.excluded) == (0, 0, 0, 0, 0)


def test_pairing_removes_what_patients_have_in_common() -> None:
    # Every case is worse by a similar amount while cases differ widely: the paired interval is the narrower.
    first, second = table(0, patients=10), table(1, patients=10)
    options: dict[str, Any] = {"resamples": 300}
    paired = paired_difference(first, second, metric="dice", denominator="tumor slices", **options)
    alone = summarize_segmentation(first, metrics=["dice"], denominators=["tumor slices"], **options)[0]
    assert paired.high - paired.low < alone.high - alone.low


def rows_of(*predictions: Mask, **scoring: Any) -> list[dict[str, Any]]:
    return [row("a", number, mask, TUMOR, **scoring) for number, mask in enumerate(predictions)]


def test_a_model_that_misses_loses() -> None:
    found = paired_difference(
        rows_of(TUMOR, EMPTY), rows_of(TUMOR, HALF), metric="hd95", denominator="tumor slices"
    )
    assert found.mean > 0
    assert found.empty_prediction == 1


@pytest.mark.parametrize(
    ("rows", "options", "problem"),
    [
        (rows_of(TUMOR, empty="exclude"), {}, "rows: models cannot be compared under 'exclude'"),
        (
            rows_of(TUMOR),
            {"metric": "hd95", "denominator": "pooled per patient"},
            "denominator: hd95 of pooled",
        ),
        (rows_of(TUMOR), {"metric": "case"}, "metric: expected"),
        (rows_of(TUMOR), {"denominator": "slices"}, "denominator: expected"),
    ],
)
def test_comparisons_that_would_mislead_are_refused(
    rows: list[dict[str, Any]], options: dict[str, Any], problem: str
) -> None:
    chosen = {"metric": "dice", "denominator": "tumor slices", **options}
    with pytest.raises(ArgumentError, match=problem):
        paired_difference(rows, rows, **chosen)


@pytest.mark.parametrize(
    ("baseline", "problem"),
    [
        (rows_of(TUMOR, TUMOR), "cases stand in one of the tables only"),
        (rows_of(TUMOR, spacing_mm=1.0), "unit differs"),
        (rows_of(TUMOR, empty="exclude"), "empty_policy differs"),
    ],
)
def test_tables_of_other_cases_or_settings_are_refused(baseline: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(ArgumentError, match=f"baseline: .*{problem}"):
        paired_difference(rows_of(TUMOR), baseline, metric="dice", denominator="tumor slices")
