from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.case_table import classification_row
from mcf_bundle.metrics.classification import CLASSIFICATION_METRICS, classification_scores
from mcf_bundle.metrics.classification_summary import (
    paired_classification_difference,
    summarize_classification,
)


def table(noise: float, patients: int = 6, seed: int = 0) -> list[dict[str, Any]]:
    """Cases whose probability is their label, blurred."""
    rng = np.random.default_rng(seed)
    return [
        classification_row(
            n % 2,
            np.clip(n % 2 + noise * rng.standard_normal(), 0, 1),
            patient=f"p{n % patients}",
            slice_number=n,
        )
        for n in range(60)
    ]


def test_values_are_those_of_all_cases_together_with_their_counts() -> None:
    rows = table(0.7, patients=7)
    labels, probabilities = ([row[name] for row in rows] for name in ("label", "probability"))
    scores = classification_scores(labels, probabilities, threshold=0.4)
    found = summarize_classification(rows, threshold=0.4, resamples=30)
    assert {line.metric: line.value for line in found} == scores
    assert {(line.n, line.tumor, line.patients, line.threshold) for line in found} == {(60, 30, 7, 0.4)}
    assert all(line.low < line.high for line in found)
    assert "n = 60 of 7 patients, 30 with tumor, 30 without; threshold 0.4" in str(found[0])


def test_one_class_is_nan_with_a_count_and_resamples_of_one_class_too() -> None:
    # With an even number of patients each patient has one class only: some draws have no tumor at all.
    found = {line.metric: line for line in summarize_classification(table(0.5, patients=2), resamples=400)}
    assert 100 < found["auc"].undefined_resamples < 300
    alone = [row for row in table(0.5, patients=2) if row["label"]]
    auc = {line.metric: line for line in summarize_classification(alone, resamples=5)}["auc"]
    assert np.isnan([auc.value, auc.low, auc.high]).all()
    assert (auc.n, auc.tumor) == (30, 30)


def test_the_difference_is_paired_and_turns_its_sign() -> None:
    good, poor = table(0.3, patients=7), table(1.5, patients=7)
    forth = paired_classification_difference(good, poor[::-1], resamples=60)
    back = paired_classification_difference(poor, good, resamples=60)
    alone = [
        {line.metric: line.value for line in summarize_classification(t, resamples=1)} for t in (good, poor)
    ]
    for one, other in zip(forth, back, strict=True):
        assert one.value == pytest.approx(alone[0][one.metric] - alone[1][one.metric])
        assert [one.value, one.low, one.high] == pytest.approx([-other.value, -other.high, -other.low])
    by_name = {line.metric: line for line in forth}
    assert list(by_name) == list(CLASSIFICATION_METRICS)
    assert by_name["auc"].low > 0


def test_a_classifier_does_not_differ_from_itself() -> None:
    found = paired_classification_difference(table(0.5), table(0.5), resamples=20)
    assert {(line.value, line.low, line.high) for line in found} == {(0, 0, 0)}


@pytest.mark.parametrize("column", ["label", "patient"])
def test_tables_that_disagree_about_a_case_are_refused(column: str) -> None:
    other = table(0.5)
    other[3] = {**other[3], column: {"label": 0, "patient": "somebody"}[column]}
    with pytest.raises(ArgumentError, match=f"baseline: {column} differs .* p3_3"):
        paired_classification_difference(table(0.5), other)


def test_a_case_counts_once() -> None:
    with pytest.raises(ArgumentError, match="stands in the table twice"):
        summarize_classification([*table(0.5), table(0.5)[0]])
