"""What run.json keeps of a run for its report: the facts that plan and manifest lack."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mcf_bundle.generation.gate import GateLimits
from mcf_bundle.generation.run_report import PoolCounts, RunFacts

_SHARES = ("rejects_training", "rejects_validation")


def store_facts(facts: RunFacts) -> dict[str, Any]:
    """Return a run's facts as values for strict JSON, with patients named as everywhere in the output.

    null stands for a free side of a range and for an unknown share.
    """
    limits, naming = facts.limits, facts.naming
    return {
        "settings": {**facts.settings, "batch_size": facts.batch_size},
        "gate": {
            "limits": {name: [_finite(low), _finite(high)] for name, (low, high) in limits.ranges.items()},
            "relaxed": list(limits.relaxed),
            **{name: _finite(getattr(limits, name)) for name in _SHARES},
            "counts": list(limits.counts),
        },
        "hosts": vars(facts.hosts),
        "donors": vars(facts.donors),
        "pinned": [naming(patient) for patient in facts.pinned],
        "skipped": {
            naming(patient): reason.replace(patient, naming(patient))
            for patient, reason in facts.skipped.items()
        },
        "networks": {role: dict(values) for role, values in facts.networks.items()},
    }


def load_facts(stored: Mapping[str, Any]) -> RunFacts:
    """Rebuild a run's facts from `store_facts`; KeyError, TypeError or ValueError where a part is missing."""
    gate = stored["gate"]
    ranges = {
        name: (-math.inf if low is None else low, math.inf if high is None else high)
        for name, (low, high) in gate["limits"].items()
    }
    shares = {name: math.nan if gate[name] is None else gate[name] for name in _SHARES}
    training, validation = gate["counts"]
    settings = dict(stored["settings"])
    batch_size = settings.pop("batch_size")
    return RunFacts(
        limits=GateLimits(ranges, tuple(gate["relaxed"]), counts=(training, validation), **shares),
        hosts=PoolCounts(**stored["hosts"]),
        donors=PoolCounts(**stored["donors"]),
        pinned=stored["pinned"],
        skipped=stored["skipped"],
        settings=settings,
        networks=stored["networks"],
        naming=str,
        batch_size=batch_size,
    )


def _finite(value: float) -> float | None:
    """Return the value, None in the place of what strict JSON cannot write."""
    return float(value) if math.isfinite(value) else None
