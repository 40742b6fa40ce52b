"""What the report says of the gate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mcf_bundle.generation.gate import GateLimits
from mcf_bundle.generation.loop import Outcome
from mcf_bundle.generation.report_table import Table
from mcf_bundle.generation.wording import FIGURES, in_words


def gate_text(limits: GateLimits, rules: Mapping[str, Any]) -> str:
    """Say where the limits come from and what they reject of the real tumors.

    Args:
        limits: the fitted limits.
        rules: from `GateRules.describe`, as in the plan.
    """
    training, validation = limits.counts
    low, high = rules["percentiles"]
    text = (
        f"Limits are percentiles {low:g} and {high:g} of {training} real training tumors, each moved out by "
        f"{rules['small_sample']:g}/n of the distance between them (n = number of tumors with the figure), "
        "because percentiles of few values lie inside the true ones. "
        f"They reject {100 * limits.rejects_training:.1f} % of those tumors"
    )
    if validation:
        text += f" and {100 * limits.rejects_validation:.1f} % of {validation} real validation tumors."
    else:
        text += "; there are no validation tumors to check them on."
    if limits.relaxed:
        names = ", ".join(in_words(name) for name in limits.relaxed)
        text += f" Widened so that at most {100 * rules['max_real_rejection']:g} % are rejected: {names}."
    fixed = [name for name in ("change_outside", "probability_rise") if name in limits.ranges]
    given = [in_words(name) for name in (*fixed, *(n for n in rules["limits"] if n not in fixed))]
    return f"{text} Set, not fitted: {', '.join(given)}." if given else text


def gate_tables(limits: GateLimits, outcome: Outcome) -> tuple[Table, ...]:
    """Tabulate the limits and the rejected images; a dash is a side without a limit."""
    reasons = outcome.reasons
    rows = tuple(
        (in_words(name), name, _side(low), _side(high), reasons.get(name, 0))
        for name, (low, high) in sorted(limits.ranges.items(), key=lambda item: _order(item[0]))
    )
    rejected = tuple(
        (
            row,
            number,
            "; ".join(in_words(reason) for reason in result.reasons),
            "missing" if row in outcome.missing else "replaced by a spare",
        )
        for row, results in sorted(outcome.rejected.items())
        for number, result in enumerate(results)
    )
    return (
        Table(
            "Limits",
            ("figure", "name in the manifest", "smallest", "largest", "rejections"),
            rows,
            "Both limits are inclusive. A dash: no limit on that side.",
        ),
        Table("Rejected images", ("row", "candidate", "figures outside their limits", "outcome"), rejected),
    )


def _side(limit: float) -> float | None:
    return limit if math.isfinite(limit) else None


def _order(name: str) -> int:
    return list(FIGURES).index(name) if name in FIGURES else len(FIGURES)
