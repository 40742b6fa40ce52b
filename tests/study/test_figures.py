"""Figures of the arms, against the summaries that one evaluation writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcf_bundle.errors import DataError
from mcf_bundle.metrics.case_table import CLASSIFICATION_COLUMNS, LEVEL_COLUMNS
from mcf_bundle.metrics.classification_summary import summarize_classification
from mcf_bundle.metrics.summary import summarize_segmentation
from mcf_bundle.study.classification_figures import classify_arms, read_levels
from mcf_bundle.study.comparisons import group_runs
from mcf_bundle.study.figures import ArmFigure, measure_arms
from mcf_bundle.study.run_scores import classification_runs, segmentation_runs
from mcf_bundle.training.classification_report import ALL, LEVEL_ALONE, LEVELED, MATCHED
from tests.study.simulated import (
    CONFIG,
    classification_rows,
    run,
    segmentation_row,
    segmentation_rows,
    write_gathered,
)


def figures_of(path: Path, resamples: int = 40) -> dict[tuple[str, str], ArmFigure]:
    ((group, arms),) = group_runs(segmentation_runs(path), CONFIG).items()
    found = measure_arms(group, arms, seeds=CONFIG.seeds, resamples=resamples)
    return {(item.arm, item.measure): item for item in found}


def test_with_one_seed_they_are_those_of_the_summary_of_the_cases(tmp_path: Path) -> None:
    rows = [row for row in segmentation_rows({"mcf": 0.1}) if row["seed"] == 0]
    found = figures_of(write_gathered(tmp_path / "cases.csv", rows))
    columns = ["dice", "jaccard"]
    plain = [{**row, "tolerance": 0.0} for row in rows]
    summaries = [
        (prefix, summary)
        for prefix, over in (("slice_", "tumor slices"), ("volume_", "pooled per patient"))
        for summary in summarize_segmentation(plain, metrics=columns, denominators=[over], resamples=40)
    ]
    assert len(summaries) == 4
    for prefix, summary in summaries:
        figure = found["mcf", prefix + summary.metric]
        assert (figure.value, figure.low, figure.high) == pytest.approx(
            (summary.mean, summary.low, summary.high)
        )
        assert figure.patients == summary.patients
        assert np.isnan(figure.seed_sd)


def test_a_patient_counts_once_however_many_tumor_slices_there_are(tmp_path: Path) -> None:
    scores = {"a": [0.2], "b": [0.6, 0.8, 1.0]}
    rows = [
        {**run("mcf", 0, 0), **segmentation_row(patient, number, dice)}
        for patient, values in scores.items()
        for number, dice in enumerate(values)
    ]
    free = {**run("mcf", 0, 0), **segmentation_row("a", 4, 0.0, false_positive=30)}
    clean = {**run("mcf", 0, 0), **segmentation_row("b", 4, 0.0)}
    found = figures_of(write_gathered(tmp_path / "cases.csv", [*rows, free, clean]))
    assert found["mcf", "dice"].value == pytest.approx((0.2 + 0.8) / 2)
    assert found["mcf", "slice_dice"].value == pytest.approx(2.6 / 4)
    # a: 2 * 20 / (130 + 100), since the false positive is part of its volume; b: 2 * 240 / 600.
    assert found["mcf", "volume_dice"].value == pytest.approx((40 / 230 + 0.8) / 2)
    assert found["mcf", "false_positive_area"].value == pytest.approx(15)
    assert found["mcf", "false_positive_share"].value == pytest.approx(0.5)
    assert (found["mcf", "dice"].tumor_slices, found["mcf", "dice"].tumor_free_slices) == (4, 2)


def test_missing_runs_are_named_and_counted(tmp_path: Path) -> None:
    rows = [row for row in segmentation_rows({"mcf": 0.1}) if (row["fold"], row["seed"]) != ("1", 1)]
    figure = figures_of(write_gathered(tmp_path / "cases.csv", rows))["mcf", "dice"]
    assert figure.missing == ("mcf, fold 1, seed 1",)
    assert (figure.runs, figure.folds, figure.seeds, figure.patients) == (5, 3, 2, 18)


def test_classifiers_get_what_their_evaluation_writes_and_the_level_its_own_row(tmp_path: Path) -> None:
    rows, levels = classification_rows()
    path = write_gathered(tmp_path / "cases.csv", rows, CLASSIFICATION_COLUMNS)
    level_path = write_gathered(tmp_path / "levels.csv", levels, LEVEL_COLUMNS)
    ((group, arms),) = group_runs(classification_runs(path), CONFIG).items()
    only = {"mcf": {cell: run for cell, run in arms["mcf"].items() if cell.seed == 0}}
    found = {
        (item.arm, item.slices_of, item.measure): item
        for item in classify_arms(group, only, read_levels(level_path), seeds=[0], resamples=30)
    }
    of_run = [row for row in rows if (row["arm"], row["seed"]) == ("mcf", 0)]
    matched = {row["case"] for row in levels if row["matched"]}
    guesses = [row for row in levels if (row["arm"], row["seed"]) == ("mcf", 0)]
    for arm, slices, table in (
        ("mcf", ALL, of_run),
        ("mcf", MATCHED, [row for row in of_run if row["case"] in matched]),
        (LEVEL_ALONE, ALL, guesses),
        (LEVEL_ALONE, LEVELED, [row for row in guesses if row["leveled"]]),
        (LEVEL_ALONE, MATCHED, [row for row in guesses if row["matched"]]),
    ):
        for summary in summarize_classification(table, resamples=30):
            figure = found[arm, slices, summary.metric]
            assert (figure.value, figure.low, figure.high) == pytest.approx(
                (summary.value, summary.low, summary.high), nan_ok=True
            )
            assert figure.tumor_slices + figure.tumor_free_slices == summary.n


def test_levels_of_other_slices_are_refused(tmp_path: Path) -> None:
    rows, levels = classification_rows()
    path = write_gathered(tmp_path / "cases.csv", rows, CLASSIFICATION_COLUMNS)
    level_path = write_gathered(tmp_path / "levels.csv", levels[:-1], LEVEL_COLUMNS)
    ((group, arms),) = group_runs(classification_runs(path), CONFIG).items()
    with pytest.raises(DataError, match="lacks levels of its slices"):
        classify_arms(group, arms, read_levels(level_path), seeds=CONFIG.seeds)


def test_figures_are_the_mean_over_the_seeds_with_their_spread(tmp_path: Path) -> None:
    rows, _ = classification_rows()
    path = write_gathered(tmp_path / "cases.csv", rows, CLASSIFICATION_COLUMNS)
    ((group, arms),) = group_runs(classification_runs(path), CONFIG).items()
    found = [item for item in classify_arms(group, {"mcf": arms["mcf"]}, {}, seeds=[0, 1], resamples=5)]
    of_seeds = [
        next(
            item.value
            for item in summarize_classification(
                [row for row in rows if (row["arm"], row["seed"]) == ("mcf", seed)], resamples=1
            )
            if item.metric == "auc"
        )
        for seed in (0, 1)
    ]
    auc = next(item for item in found if item.measure == "auc")
    assert auc.value == pytest.approx(np.mean(of_seeds))
    assert auc.seed_sd == pytest.approx(np.std(of_seeds, ddof=1))
