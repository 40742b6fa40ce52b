from __future__ import annotations

import numpy as np

from mcf_bundle.generation.gate import GateLimits, GateResult
from mcf_bundle.generation.gate_report import gate_tables, gate_text
from mcf_bundle.generation.gate_rules import GateRules
from mcf_bundle.generation.loop import Outcome
from mcf_bundle.generation.report_table import render_table

LIMITS = GateLimits(
    {"tumor_probability": (0.07, np.inf), "flair_rim": (0.05, 0.8), "change_outside": (-np.inf, 0.03)},
    relaxed=("flair_rim",),
    rejects_training=0.04,
    rejects_validation=0.025,
    counts=(268, 96),
)


def test_a_free_side_is_a_dash_and_a_figure_has_words_beside_its_name() -> None:
    outcome = Outcome(rejected={3: [GateResult({}, ("flair_rim",))]})
    limits, _ = gate_tables(LIMITS, outcome)
    assert limits.rows == (
        ("P(tumor) by the gate's classifier", "tumor_probability", 0.07, None, 0),
        ("FLAIR step at the tumor's edge", "flair_rim", 0.05, 0.8, 1),
        ("change outside the grown mask", "change_outside", None, 0.03, 0),
    )
    html = render_table(limits)
    assert "inf" not in html
    assert html.count('<td class="number">-</td>') == 2


def test_rejected_images_have_their_reasons_in_words() -> None:
    rejected = {3: [GateResult({}, ("flair_rim", "change_outside"))], 5: [GateResult({}, ("flair_rim",))]}
    _, table = gate_tables(LIMITS, Outcome(rejected=rejected, missing=[5]))
    edge = "FLAIR step at the tumor's edge"
    assert table.rows == (
        (3, 0, f"{edge}; change outside the grown mask", "replaced by a spare"),
        (5, 0, edge, "missing"),
    )


def test_the_text_names_percentiles_margin_rates_and_what_was_widened_or_set() -> None:
    text = gate_text(LIMITS, GateRules(percentiles=(2.0, 97.5), limits={"pre_rim": (0, 1)}).describe())
    for part in (
        "percentiles 2 and 97.5 of 268 real training tumors",
        "moved out by 10/n",
        "reject 4.0 % of those",
        "2.5 % of 96 real validation tumors",
        "at most 5 % are rejected: FLAIR step at the tumor's edge.",
        "Set, not fitted: change outside the grown mask, pre-contrast step at the tumor's edge.",
    ):
        assert part in text


def test_without_validation_tumors_the_text_says_so() -> None:
    limits = GateLimits({}, rejects_training=0.01, counts=(20, 0))
    text = gate_text(limits, GateRules().describe())
    assert "there are no validation tumors" in text
    assert "nan" not in text
    assert "Set, not fitted" not in text
