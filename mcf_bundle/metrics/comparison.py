"""The difference of two segmentation models on the same cases, with an interval over patients."""

from __future__ import annotations

from collections.abc import Sequence

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.case_table import Row, pair_rows
from mcf_bundle.metrics.denominator import Denominator, select_cases
from mcf_bundle.metrics.empty_masks import EmptyPolicy
from mcf_bundle.metrics.summary import Summary, check_metric, pools, summarize_cases


def paired_difference(
    rows: Sequence[Row],
    baseline: Sequence[Row],
    *,
    metric: str,
    denominator: str,
    resamples: int = 2000,
    seed: int = 0,
) -> Summary:
    """Summarize how much one model differs from another on the same cases.

    Args:
        rows: per-case table of one model, rows of `SEGMENTATION_COLUMNS` scored with `penalize`.
        baseline: the other model's, on the same cases.
        metric: a column, from `summary.METRICS`.
        denominator: see `Denominator`; distances do not pool.
        resamples: draws of the bootstrap; each takes the same patients for both models.
        seed: seed of the draws.

    Returns:
        Mean, SD and interval of `rows` minus `baseline`, case by case. The counts of empty masks are those
        of `rows`.

    Raises:
        ArgumentError: the tables differ in cases, references or settings, or exclude empty masks: leaving
            out what a model missed would favor it.
    """
    check_metric(metric)
    pair_rows(rows, baseline, ("patient", "reference_pixels", "unit", "empty_policy", "tolerance"))
    if rows[0]["empty_policy"] != EmptyPolicy.PENALIZE:
        problem = f"models cannot be compared under {rows[0]['empty_policy']!r}: a miss would favor a model"
        raise ArgumentError("rows", problem, "score both with empty='penalize'")
    chosen = select_cases(rows, denominator)
    if denominator == Denominator.PATIENTS and not pools(metric):
        problem = f"{metric} of pooled slices does not follow from the slices"
        raise ArgumentError("denominator", problem, "score volumes, or choose dice or jaccard")
    others = {row["case"]: row for row in select_cases(baseline, denominator)}
    differences = [{**row, metric: row[metric] - others[row["case"]][metric]} for row in chosen]
    return summarize_cases(
        differences, [metric], denominator=denominator, like=rows[0], resamples=resamples, seed=seed
    )[0]
