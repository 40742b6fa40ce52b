"""Whether a generator is better than doing nothing: yes only outside the interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.quality_figures import QUALITY_METRICS, check_quality_metric
from mcf_bundle.metrics.quality_table import QualityRow


@dataclass(frozen=True)
class Verdict:
    """What a table says of a set, compared with doing nothing.

    Attributes:
        better: whether the whole interval of the difference lies on the better side.
        text: one sentence with the figures, for a report.
    """

    better: bool
    text: str


def judge(rows: Sequence[QualityRow], name: str, metric: str = "kid") -> Verdict:
    """Judge a set by one metric; choose the metric before looking at the table.

    Args:
        rows: of `compare_image_quality`, with a set that does nothing.
        name: the set.
        metric: a metric with a better side.

    Returns:
        Better only if the interval of the difference excludes 0 on the better side. A set that has more
        images than the one that does nothing is never better by a metric that favors size.

    Raises:
        ArgumentError: the table has no such row, the metric has no better side, or there is no difference.
    """
    check_quality_metric(metric)
    best, favors_more = QUALITY_METRICS[metric].best, QUALITY_METRICS[metric].favors_more_cases
    if not best:
        able = ", ".join(key for key, each in QUALITY_METRICS.items() if each.best)
        raise ArgumentError("metric", f"neither side of {metric} is better", f"choose one of {able}")
    found = [row for row in rows if (row.name, row.metric) == (name, metric)]
    if not found:
        raise ArgumentError("name", f"the table has no {metric} of {name!r}", "measure it first")
    row = found[0]
    if not row.baseline_n:
        problem = f"{name} was not compared with a set that does nothing"
        raise ArgumentError(
            "name", problem, "pass do_nothing to compare_image_quality, and judge another set"
        )
    gap = (
        f"{metric} differs from that of doing nothing by {row.difference:.4g}, 95 % interval "
        f"{row.difference_low:.4g} to {row.difference_high:.4g}"
    )
    if row.difference_low != row.difference_low:
        return Verdict(False, f"{name} cannot be judged: {gap}")
    gained, lost = row.difference_high < 0, row.difference_low > 0
    if best == "high":
        gained, lost = lost, gained
    if lost:
        return Verdict(False, f"{name} is worse than doing nothing: {gap}")
    if not gained:
        return Verdict(False, f"{name} is not shown to be better than doing nothing: {gap}")
    if favors_more and row.n > row.baseline_n:
        size = f"{metric} favors the larger set, {row.n} images against {row.baseline_n}"
        return Verdict(False, f"{name} is not shown to be better than doing nothing: {size}")
    return Verdict(True, f"{name} is better than doing nothing: {gap}")
