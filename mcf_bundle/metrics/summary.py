"""Means over a per-case table of segmentation, each with denominator, spread, interval and empty masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.bootstrap import bootstrap_over_patients
from mcf_bundle.metrics.case_table import Row
from mcf_bundle.metrics.denominator import Denominator, as_denominator, counts_of, is_volume, select_cases
from mcf_bundle.metrics.empty_masks import EmptyPolicy
from mcf_bundle.metrics.segmentation import DISTANCES, OVERLAPS

PERCENTAGES = ("hd95_percent_of_head", "asd_percent_of_head")
METRICS = (*OVERLAPS, *DISTANCES, *PERCENTAGES, "surface_dice")


@dataclass(frozen=True)
class Summary:
    """One figure and everything needed to judge it.

    Attributes:
        metric: name of the column that it comes from.
        denominator: what the mean is taken over.
        unit: mm, pixel, % of head length, or nothing for shares.
        mean: over the n cases that have a value; nan if none has.
        sd: standard deviation over the n cases (n - 1); nan below two.
        low: lower end of the 95 % interval by bootstrap over patients; nan below two patients.
        high: upper end.
        n: cases with a value.
        patients: patients among the cases of the denominator.
        excluded: cases without a value, left out of the mean.
        empty_prediction: cases with an empty prediction.
        empty_reference: cases with an empty reference.
        empty_both: cases that are counted in both.
        empty_policy: what empty masks scored.
    """

    metric: str
    denominator: str
    unit: str
    mean: float
    sd: float
    low: float
    high: float
    n: int
    patients: int
    excluded: int
    empty_prediction: int
    empty_reference: int
    empty_both: int
    empty_policy: str

    def __str__(self) -> str:
        """Return one line with everything in it."""
        unit = f" {self.unit}" if self.unit else ""
        warning = "; misses are left out, do not compare" if self.empty_policy == EmptyPolicy.EXCLUDE else ""
        return (
            f"{self.metric}, {self.denominator}: {self.mean:.4g}{unit} (SD {self.sd:.4g}; 95 % interval over "
            f"patients {self.low:.4g} to {self.high:.4g}; n = {self.n} of {self.patients} patients, "
            f"{self.excluded} excluded; empty: {self.empty_prediction} predictions, {self.empty_reference} "
            f"references, {self.empty_both} both; {self.empty_policy}{warning})"
        )


def summarize_segmentation(
    rows: Sequence[Row],
    *,
    metrics: Sequence[str] | None = None,
    denominators: Sequence[str] = tuple(Denominator),
    resamples: int = 2000,
    seed: int = 0,
) -> list[Summary]:
    """Summarize a per-case table: each metric over each denominator.

    Args:
        rows: rows of `SEGMENTATION_COLUMNS`, of one model.
        metrics: columns, from `METRICS`; None takes Dice, Jaccard, HD95 and ASD, and of the others those
            that the table has.
        denominators: see `Denominator`; what does not pool is left out where pixels of slices are pooled.
        resamples: draws of the bootstrap.
        seed: seed of the draws.

    Raises:
        ArgumentError: see `select_cases`, or there is no such metric.
    """
    if metrics is None:
        always = (*OVERLAPS, *DISTANCES)
        metrics = [m for m in METRICS if m in always or any(row[m] == row[m] for row in rows)]
    for name in metrics:
        check_metric(name)
    summaries = []
    for denominator in denominators:
        pooled = denominator == Denominator.PATIENTS and not (rows and is_volume(rows[0]))
        names = [name for name in metrics if pools(name) or not pooled]
        if names:
            chosen = select_cases(rows, denominator)
            summaries += summarize_cases(
                chosen, names, denominator=denominator, like=rows[0], resamples=resamples, seed=seed
            )
    return summaries


def summarize_cases(
    chosen: Sequence[Row],
    metrics: Sequence[str],
    *,
    denominator: str,
    like: Row,
    resamples: int,
    seed: int,
) -> list[Summary]:
    """Summarize what `select_cases` chose, be it nothing; unit and policy are those of the row `like`."""
    values = np.array([[row[name] for name in metrics] for row in chosen], np.float64)
    values = values.reshape(len(chosen), len(metrics))
    patients = [str(row["patient"]) for row in chosen]
    low = high = np.full(len(metrics), np.nan)
    if chosen:
        interval = bootstrap_over_patients(
            lambda cases: _means(values[cases]), patients, resamples=resamples, seed=seed
        )
        low, high = interval.low, interval.high
    counts = [counts_of(row) for row in chosen]
    means, known = _means(values), (~np.isnan(values)).sum(0)
    return [
        Summary(
            metric=name,
            denominator=str(as_denominator(denominator)),
            unit=_unit(name, str(like["unit"])),
            mean=float(means[k]),
            sd=_deviation(values[:, k]),
            low=float(low[k]),
            high=float(high[k]),
            n=int(known[k]),
            patients=len(set(patients)),
            excluded=len(chosen) - int(known[k]),
            empty_prediction=sum(not count.prediction for count in counts),
            empty_reference=sum(not count.reference for count in counts),
            empty_both=sum(not count.prediction and not count.reference for count in counts),
            empty_policy=str(like["empty_policy"]),
        )
        for k, name in enumerate(metrics)
    ]


def check_metric(name: str) -> None:
    """Refuse what is no score of the per-case table.

    Raises:
        ArgumentError: names those that are.
    """
    if name not in METRICS:
        raise ArgumentError("metric", f"expected one of {', '.join(METRICS)}, got {name!r}", "choose one")


def pools(metric: str) -> bool:
    """Return whether a metric of pooled slices follows from the slices' pixel counts."""
    return metric in OVERLAPS


def _unit(metric: str, distance_unit: str) -> str:
    if metric in PERCENTAGES:
        return "% of head length"
    return distance_unit if metric in DISTANCES else ""


def _means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    known = ~np.isnan(values)
    n = known.sum(0)
    total = np.where(known, values, 0.0).sum(0)
    return np.divide(total, n, out=np.full(n.shape, np.nan), where=n > 0)


def _deviation(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.std(ddof=1)) if len(known) > 1 else float("nan")
