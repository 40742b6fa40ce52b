"""Which arms are compared, how they are paired, and what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mcf_bundle.errors import ArgumentError, DataError
from mcf_bundle.metrics.comparison import paired_difference
from mcf_bundle.study.comparisons import (
    Comparison,
    Group,
    compare_arms,
    group_runs,
    plain_counterpart,
    primary_comparison,
    references,
    secondary_comparisons,
)
from mcf_bundle.study.config import Arm
from mcf_bundle.study.run_scores import segmentation_runs
from mcf_bundle.study.statistics import holm
from tests.study.simulated import CONFIG, EFFECTS, config_with, run, segmentation_rows, write_gathered

GROUP = Group("cross_validation", "unet", 1.0)


def arms_of(rows: list[dict[str, Any]], tmp_path: Path) -> Any:
    return group_runs(segmentation_runs(write_gathered(tmp_path / "cases.csv", rows)), CONFIG)


def compared(groups: Any, arm: str, against: str) -> Comparison | None:
    return compare_arms(GROUP, groups[GROUP], arm, against, "dice", seeds=CONFIG.seeds, resamples=60)


def test_known_effects_are_found(tmp_path: Path) -> None:
    groups = arms_of(segmentation_rows(), tmp_path)
    for arm in ("mcf", "shuffled_masks"):
        found = compared(groups, arm, "real_only")
        assert found is not None
        assert found.result.difference == pytest.approx(EFFECTS[arm], abs=0.03)
        assert found.verdict == ("better" if EFFECTS[arm] > 0 else "worse")
        assert (found.result.patients, found.tumor_slices, found.slices, found.result.runs) == (
            18,
            72,
            108,
            6,
        )
    same = compared(groups, "composites", "real_only")
    assert same is not None
    assert same.verdict == "inconclusive"


def test_the_difference_is_that_of_two_evaluations(tmp_path: Path) -> None:
    rows = [row for row in segmentation_rows() if row["seed"] == 0]
    found = compared(arms_of(rows, tmp_path), "mcf", "real_only")
    of_arm = {
        name: [{**row, "tolerance": 0.0} for row in rows if row["arm"] == name]
        for name in ("mcf", "real_only")
    }
    expected = paired_difference(
        of_arm["mcf"], of_arm["real_only"], metric="dice", denominator="tumor slices", resamples=1
    )
    assert found is not None
    assert found.result.difference == pytest.approx(expected.mean)  # each patient has four tumor slices


def test_a_training_that_one_arm_lacks_is_left_out_of_both_and_named(tmp_path: Path) -> None:
    def lacks(row: dict[str, Any]) -> bool:
        return (row["arm"], row["fold"], row["seed"]) == ("mcf", "2", 1)

    whole = segmentation_rows()
    rows = [row for row in whole if not lacks(row)]
    found = compared(arms_of(rows, tmp_path), "mcf", "real_only")
    without = [row for row in rows if not (row["arm"] == "real_only" and lacks({**row, "arm": "mcf"}))]
    again = compared(arms_of(without, tmp_path), "mcf", "real_only")
    assert found is not None
    assert again is not None
    assert found.missing == ("mcf, fold 2, seed 1",)
    assert found.result == again.result
    assert found.result.runs == 5


def test_a_fold_that_one_arm_lacks_is_left_out_with_its_patients(tmp_path: Path) -> None:
    rows = [row for row in segmentation_rows() if (row["arm"], row["fold"]) != ("mcf", "2")]
    found = compared(arms_of(rows, tmp_path), "mcf", "real_only")
    assert found is not None
    assert (found.result.patients, found.result.folds, len(found.missing)) == (12, 2, 2)


def test_arms_without_a_common_training_are_not_compared(tmp_path: Path) -> None:
    rows = [row for row in segmentation_rows() if row["arm"] != "mcf" or row["fold"] == "0"]
    rows = [row for row in rows if row["arm"] != "real_only" or row["fold"] != "0"]
    assert compared(arms_of(rows, tmp_path), "mcf", "real_only") is None


def test_runs_on_different_cases_are_refused(tmp_path: Path) -> None:
    rows = segmentation_rows()
    rows.remove(next(row for row in rows if (row["arm"], row["seed"]) == ("mcf", 1)))
    with pytest.raises(DataError, match="judged on different cases"):
        compared(arms_of(rows, tmp_path), "mcf", "real_only")


def test_a_patient_tested_in_two_folds_is_refused(tmp_path: Path) -> None:
    rows = [row for row in segmentation_rows() if row["fold"] == "0"]
    twice = [*rows, *({**row, "fold": "1"} for row in rows)]
    groups = arms_of(sorted(twice, key=lambda row: (row["arm"], row["fold"], row["seed"])), tmp_path)
    with pytest.raises(DataError, match="tested in two folds"):
        compared(groups, "mcf", "real_only")


def test_the_primary_comparison_stands_alone_and_the_others_are_corrected_together(tmp_path: Path) -> None:
    groups = arms_of(segmentation_rows(), tmp_path)
    primary = primary_comparison(groups, CONFIG, resamples=40)
    assert (primary.group, primary.arm, primary.against, primary.p_holm) == (
        GROUP,
        "strong_mcf",
        "strong",
        None,
    )
    secondary = secondary_comparisons(groups, CONFIG, primary, resamples=40)
    pairs = [(item.arm, item.against) for item in secondary]
    assert ("strong_mcf", "strong") not in pairs
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)
    assert [item.p_holm for item in secondary] == holm([item.result.p for item in secondary])


def test_the_primary_comparison_is_made_on_the_largest_fraction(tmp_path: Path) -> None:
    everybody = segmentation_rows()
    rows = [{**row, "fraction": share} for share in (0.25, 0.1) for row in everybody]
    config = config_with(fractions=[0.1, 0.25])
    primary = primary_comparison(arms_of(rows, tmp_path), config, resamples=40)
    assert primary.group == Group("cross_validation", "unet", 0.25)
    assert primary.result.patients == 18


def test_arms_are_compared_with_real_only_their_augmentation_and_composites() -> None:
    assert references("real_only", CONFIG) == []
    assert references("mcf", CONFIG) == ["real_only", "composites"]
    assert references("strong_mcf", CONFIG) == ["real_only", "strong", "composites"]
    arms = {**CONFIG.arms, "strong_composites": Arm("strong", 0.5, "composites", 0.5)}
    assert references("strong_mcf", config_with(arms=arms)) == ["real_only", "strong", "strong_composites"]
    assert references("strong", config_with(arms=arms)) == ["real_only"]


def test_the_counterpart_has_the_same_share_of_tumor_where_there_is_one() -> None:
    assert plain_counterpart("mcf", CONFIG) == "real_only"
    natural = {**CONFIG.arms, "real_only": Arm("flip", None), "oversampling": Arm("flip", 0.5)}
    config = config_with(arms=natural)
    assert plain_counterpart("mcf", config) == "oversampling"
    assert references("mcf", config) == ["real_only", "oversampling", "composites"]
    assert references("oversampling", config) == ["real_only"], "composites are compared with it"


def test_a_primary_comparison_without_runs_is_refused(tmp_path: Path) -> None:
    groups = arms_of(segmentation_rows({"real_only": 0.0}), tmp_path)
    with pytest.raises(DataError, match="the primary comparison cannot be made"):
        primary_comparison(groups, CONFIG)


def test_a_metric_that_gives_a_patient_no_number_is_refused(tmp_path: Path) -> None:
    groups = arms_of(segmentation_rows({"real_only": 0.0, "mcf": 0.0}), tmp_path)
    with pytest.raises(ArgumentError, match="cannot be paired over patients"):
        compare_arms(GROUP, groups[GROUP], "mcf", "real_only", "slice_dice", seeds=[0])


def test_runs_of_another_study_are_refused(tmp_path: Path) -> None:
    rows = [{**row, **run("gan", 0, 0)} for row in segmentation_rows({"mcf": 0.0})[:6]]
    with pytest.raises(DataError, match="arm 'gan', which the config has not"):
        arms_of(rows, tmp_path)
