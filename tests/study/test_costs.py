"""What arms cost, by hand."""

from __future__ import annotations

import pytest

from mcf_bundle.study.costs import cost_table
from mcf_bundle.study.runs import list_runs
from tests.study.studies import smoke_config

RUNS = list_runs(smoke_config())
CUT_OFF = "generator/gate/f0-p100"
RECORDS = {
    run.id: {"seconds": 3600.0 * (number + 1), "whole": run.id != CUT_OFF} for number, run in enumerate(RUNS)
}


def hours(*beginnings: str) -> float:
    """Add up the runs whose id begins with one of these."""
    return sum(RECORDS[run.id]["seconds"] for run in RUNS if run.id.startswith(beginnings)) / 3600


def test_an_arm_costs_its_models_and_everything_behind_its_slices_once() -> None:
    lines = {(line["model"], line["arm"]): line for line in cost_table(RUNS, RECORDS).records}
    assert len(lines) == 4
    plain, composites = lines["unet", "strong"], lines["unet", "strong_composites"]
    assert (plain["runs"], plain["generator_h"], plain["cut_off"]) == (2, 0, 0)
    assert plain["training_h"] == pytest.approx(hours("segmentation/unet/strong/"))
    assert composites["training_h"] == pytest.approx(hours("segmentation/unet/strong_composites/"))
    # Composites are made of a generated set, which its three networks made, in each of two folds.
    assert composites["generator_h"] == pytest.approx(hours("generator/", "sets/"))
    assert composites["generator_h"] == pytest.approx(lines["shufflenet", "strong_composites"]["generator_h"])


def test_runs_that_were_cut_off_are_counted_and_unfinished_ones_left_out() -> None:
    found = {(line["model"], line["arm"]): line["cut_off"] for line in cost_table(RUNS, RECORDS).records}
    assert found["unet", "strong_composites"] == found["shufflenet", "strong_composites"] == 1
    some = {name: record for name, record in RECORDS.items() if not name.startswith("classification")}
    assert {line["model"] for line in cost_table(RUNS, some).records} == {"unet"}
