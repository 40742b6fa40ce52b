from __future__ import annotations

from typing import Any

import pytest

from mcf_bundle.generation.gate import GateLimits
from mcf_bundle.generation.loop import Outcome
from mcf_bundle.generation.plan import Plan
from mcf_bundle.generation.report import ReportContent
from mcf_bundle.generation.run_report import PoolCounts, RunFacts, report_content
from tests.generation.disc_rows import disc_cases, plan_row

FEW, MANY = GateLimits({}, (), 0.04, 0.05, (50, 20)), GateLimits({}, (), 0.04, 0.10, (50, 20))


def content(
    limits: GateLimits = FEW, *, count: int = 2, settings: dict[str, Any] | None = None, **header: Any
) -> ReportContent:
    """Report a run whose images are all on the head of one patient."""
    rows = tuple(plan_row(disc_cases(), [0], row=row) for row in range(count))
    pool = PoolCounts(0, 0, {})
    facts = RunFacts(limits, pool, pool, (), {}, settings or {}, {}, str, 8)
    return report_content(Plan(header, rows, {"csf": 3, "accepted": 2}), Outcome(count), facts, ())


def test_a_gate_that_rejects_more_real_tumors_than_its_rules_allow_is_warned_of() -> None:
    assert content(FEW).warnings == ()
    (warning,) = content(MANY).warnings
    assert "10.0 % of 20 real validation tumors, more than 5 %" in warning
    assert content(MANY, rules={"gate": {"max_real_rejection": 0.1}}).warnings == ()


@pytest.mark.parametrize(("settings", "warns"), [({}, True), ({"max_patient_share": 1.0}, False)])
def test_too_many_images_on_one_head_are_warned_of(settings: dict[str, Any], warns: bool) -> None:
    report = content(count=3, settings=settings)
    assert len(report.warnings) == warns
    assert all("3 of 3 images (100 %) have the head of one host patient" in text for text in report.warnings)
    assert "at most 3 of 3 images (100.0 %) on one host patient" in report.summary


def test_pairs_that_were_tried_have_their_outcome_in_words() -> None:
    plan = next(section for section in content().sections if section.title == "Plan")
    table = next(table for table in plan.tables if table.title == "Pairs tried")
    assert table.rows == (("over fluid, bone or air", 3), ("accepted", 2))
