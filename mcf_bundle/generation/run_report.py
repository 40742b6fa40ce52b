"""What the report says of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcf_bundle.data.pool import Pool
from mcf_bundle.data.pseudonyms import Naming
from mcf_bundle.generation.gate import GateLimits
from mcf_bundle.generation.gate_report import gate_tables, gate_text
from mcf_bundle.generation.gate_rules import GateRules
from mcf_bundle.generation.loop import Outcome
from mcf_bundle.generation.networks import classifier_warnings
from mcf_bundle.generation.pairing import PairingRules, share_warnings
from mcf_bundle.generation.plan import Plan, reuse, summarize_plan
from mcf_bundle.generation.report import Figure, ReportContent, Section
from mcf_bundle.generation.report_table import Table
from mcf_bundle.generation.tile import Tile
from mcf_bundle.generation.wording import in_words


@dataclass(frozen=True)
class PoolCounts:
    """How a pool of hosts or donors came about.

    Attributes:
        members: slices in the pool.
        considered: slices that were looked at.
        excluded: by rule, the slices that it was the first one to exclude.
    """

    members: int
    considered: int
    excluded: Mapping[str, int]

    @classmethod
    def of(cls, pool: Pool) -> PoolCounts:
        """Count a pool."""
        return cls(len(pool.members), pool.considered, dict(pool.excluded))


@dataclass(frozen=True, eq=False)
class RunFacts:
    """What the report tells beside the images.

    Attributes:
        limits: the gate's limits.
        hosts: counts of the pool of hosts.
        donors: counts of the pool of donors.
        pinned: patients put into the training set because a checkpoint saw them.
        skipped: patients left out, with the reason.
        settings: the run's settings.
        networks: facts of each network by role.
        naming: from a patient's name to what is written.
        batch_size: rows read ahead; for run.json alone, since it changes nothing.
    """

    limits: GateLimits
    hosts: PoolCounts
    donors: PoolCounts
    pinned: Sequence[str]
    skipped: Mapping[str, str]
    settings: Mapping[str, Any]
    networks: Mapping[str, Mapping[str, Any]]
    naming: Naming
    batch_size: int


def report_content(plan: Plan, outcome: Outcome, facts: RunFacts, tiles: Sequence[Tile]) -> ReportContent:
    """Gather the report of a run."""
    planned = len(plan.rows)
    rejected = sum(map(len, outcome.rejected.values()))
    tried = outcome.written + rejected
    gate_rules = {**GateRules().describe(), **plan.header.get("rules", {}).get("gate", {})}
    warnings = []
    if outcome.missing:
        warnings.append(
            f"{len(outcome.missing)} of {planned} images are missing: all their candidates were rejected."
        )
    if facts.skipped:
        warnings.append(f"{len(facts.skipped)} patients were left out because of damaged files (see Data).")
    warnings += facts.limits.warnings(gate_rules["max_real_rejection"])
    max_share = facts.settings.get("max_patient_share", PairingRules().max_patient_share)
    warnings += share_warnings(plan.rows, max_share)
    warnings += classifier_warnings(facts.networks)
    return ReportContent(
        title="Synthetic tumor slices",
        headline=f"{outcome.written} of {planned} images",
        summary=tuple(line.strip() for line in summarize_plan(plan)[1:]),
        warnings=tuple(warnings),
        figures=(
            Figure(str(len(reuse(plan.rows)["host patients"])), "host patients"),
            Figure(str(len(reuse(plan.rows)["donor patients"])), "donor patients"),
            Figure(
                f"{100 * rejected / max(tried, 1):.0f} %", f"rejected by the gate ({rejected} of {tried})"
            ),
        ),
        tiles=tiles,
        image_count=outcome.written,
        sections=(
            Section("Gate", gate_tables(facts.limits, outcome), gate_text(facts.limits, gate_rules)),
            Section("Plan", _plan_tables(plan, facts)),
            Section("Data", _data_tables(facts)),
            Section("Settings", _settings_tables(plan, facts)),
        ),
    )


def _plan_tables(plan: Plan, facts: RunFacts) -> tuple[Table, ...]:
    tables = []
    for title, counts in reuse(plan.rows).items():
        times: dict[int, int] = {}
        for count in counts.values():
            times[count] = times.get(count, 0) + 1
        tables.append(
            Table(
                f"Reuse of {title}", ("times used", "how many"), tuple(sorted(times.items())), bars="how many"
            )
        )
    tries = tuple(
        (in_words(outcome), count) for outcome, count in sorted(plan.tries.items(), key=lambda item: -item[1])
    )
    tables.append(Table("Pairs tried", ("outcome", "pairs"), tries, bars="pairs"))
    return tuple(tables)


def _data_tables(facts: RunFacts) -> tuple[Table, ...]:
    tables = [
        Table(
            f"{title}: {pool.members} of {pool.considered} training slices",
            ("first rule that excluded the slice", "slices"),
            tuple((rule, count) for rule, count in pool.excluded.items()),
        )
        for title, pool in (("Hosts", facts.hosts), ("Donors", facts.donors))
    ]
    skipped = tuple(
        (facts.naming(patient), reason.replace(patient, facts.naming(patient)))
        for patient, reason in facts.skipped.items()
    )
    pinned = tuple((facts.naming(patient),) for patient in facts.pinned)
    tables.append(Table("Patients left out", ("patient", "reason"), skipped))
    note = "A checkpoint was trained on them, so they can be neither validated nor tested on."
    tables.append(Table("Patients pinned to training", ("patient",), pinned, note))
    return tuple(tables)


def _settings_tables(plan: Plan, facts: RunFacts) -> tuple[Table, ...]:
    settings = tuple((name, str(value)) for name, value in facts.settings.items())
    networks = tuple(
        (f"{role}: {name}", str(value))
        for role, values in facts.networks.items()
        for name, value in values.items()
    )
    plan_facts = (
        ("plan", plan.plan_id),
        *((n, str(v)) for n, v in plan.header.items() if n != "checkpoints"),
    )
    return (
        Table("Run", ("setting", "value"), settings),
        Table("Plan", ("setting", "value"), plan_facts),
        Table("Networks", ("fact", "value"), networks),
        Table("Rules", ("rule", "value"), tuple(_leaves(plan.header.get("rules", {})))),
    )


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of nested settings with their paths."""
    for name, value in node.items():
        path = f"{prefix} {name}".strip()
        if isinstance(value, Mapping):
            yield from _leaves(value, path)
        else:
            yield path, str(value)
