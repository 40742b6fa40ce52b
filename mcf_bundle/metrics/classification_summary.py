"""Summaries of a per-case table of classification, of one classifier or of two on the same cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.metrics.bootstrap import Statistic, bootstrap_over_patients
from mcf_bundle.metrics.case_table import Row, check_cases, pair_rows
from mcf_bundle.metrics.classification import CLASSIFICATION_METRICS, classification_scores


@dataclass(frozen=True)
class ClassificationSummary:
    """One figure of a classifier and everything needed to judge it.

    Attributes:
        metric: from `CLASSIFICATION_METRICS`.
        value: over all cases; nan where it is not defined.
        low: lower end of the 95 % interval by bootstrap over patients; nan below two patients.
        high: upper end.
        n: cases.
        tumor: cases of class tumor; none, or all, leaves most figures undefined.
        patients: patients.
        threshold: probabilities above it were called tumor.
        undefined_resamples: draws in which the figure was not defined, left out of the interval.
    """

    metric: str
    value: float
    low: float
    high: float
    n: int
    tumor: int
    patients: int
    threshold: float
    undefined_resamples: int

    def __str__(self) -> str:
        """Return one line with everything in it."""
        return (
            f"{self.metric}: {self.value:.4g} (95 % interval over patients {self.low:.4g} to "
            f"{self.high:.4g}; n = {self.n} of {self.patients} patients, {self.tumor} with tumor, "
            f"{self.n - self.tumor} without; "
            f"threshold {self.threshold:g}; undefined in {self.undefined_resamples} resamples)"
        )


def summarize_classification(
    rows: Sequence[Row], *, threshold: float = 0.5, resamples: int = 2000, seed: int = 0
) -> list[ClassificationSummary]:
    """Summarize a per-case table: every metric of `CLASSIFICATION_METRICS`.

    Args:
        rows: rows of `CLASSIFICATION_COLUMNS`, of one model.
        threshold: probabilities above it are called tumor.
        resamples: draws of the bootstrap.
        seed: seed of the draws.

    Raises:
        ArgumentError: the table is empty or holds a case twice, or see `classification_scores`.
    """
    check_cases(rows)
    return _summarize(rows, _statistic(rows, threshold), threshold, resamples, seed)


def paired_classification_difference(
    rows: Sequence[Row],
    baseline: Sequence[Row],
    *,
    threshold: float = 0.5,
    resamples: int = 2000,
    seed: int = 0,
) -> list[ClassificationSummary]:
    """Summarize how much one classifier differs from another on the same cases.

    Args:
        rows: per-case table of one model.
        baseline: the other model's, on the same cases, in any order.
        threshold: probabilities above it are called tumor.
        resamples: draws of the bootstrap; each takes the same patients for both models.
        seed: seed of the draws.

    Returns:
        Value and interval of `rows` minus `baseline`, for each metric.

    Raises:
        ArgumentError: the tables differ in cases, patients or labels, or see `summarize_classification`.
    """
    pairs = pair_rows(rows, baseline, ("patient", "label"))
    first = _statistic(rows, threshold)
    second = _statistic([other for _, other in pairs], threshold)
    return _summarize(rows, lambda cases: first(cases) - second(cases), threshold, resamples, seed)


def _statistic(rows: Sequence[Row], threshold: float) -> Statistic:
    labels = np.array([row["label"] for row in rows])
    probabilities = np.array([row["probability"] for row in rows], np.float64)

    def statistic(cases: NDArray[np.intp]) -> NDArray[np.float64]:
        scores = classification_scores(labels[cases], probabilities[cases], threshold=threshold)
        return np.array([scores[name] for name in CLASSIFICATION_METRICS])

    return statistic


def _summarize(
    rows: Sequence[Row], statistic: Statistic, threshold: float, resamples: int, seed: int
) -> list[ClassificationSummary]:
    patients = [str(row["patient"]) for row in rows]
    values = statistic(np.arange(len(rows)))
    interval = bootstrap_over_patients(statistic, patients, resamples=resamples, seed=seed)
    return [
        ClassificationSummary(
            metric=name,
            value=float(values[k]),
            low=float(interval.low[k]),
            high=float(interval.high[k]),
            n=len(rows),
            tumor=sum(row["label"] == 1 for row in rows),
            patients=len(set(patients)),
            threshold=threshold,
            undefined_resamples=int(interval.undefined[k]),
        )
        for k, name in enumerate(CLASSIFICATION_METRICS)
    ]
