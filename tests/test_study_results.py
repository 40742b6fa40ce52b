"""The tables and sentences of docs/results/study.md against the tables that the study wrote."""

from __future__ import annotations

import csv

import pytest

from mcf_bundle.study.tables import CLASSIFICATION_BLOCK, FIGURE_BLOCKS, format_p, points, with_interval
from tests.bundles.config_files import ROOT

FOLDER = ROOT / "docs" / "results" / "study"
PAGE = (ROOT / "docs" / "results" / "study.md").read_text()
LINES = PAGE.splitlines()
TEXT = " ".join(PAGE.split())
SHOWN = ("Mean over a patient's tumor slices, then patients", "Volumes of the patients", "Tumor-free slices")


def stored(table: str) -> list[dict[str, str]]:
    with (FOLDER / f"{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def difference(row: dict[str, str]) -> str:
    return points(row["measure"], *(float(row[name]) for name in ("difference", "low", "high")))


def figure(row: dict[str, str]) -> str:
    return with_interval(
        *(float(row[name] or "nan") for name in ("value", "low", "high")), 1 if row["unit"] else 3
    )


def compared(arm: str, against: str, model: str = "unet") -> str:
    """Return a difference with its interval, as a sentence has it."""
    for row in (*stored("primary"), *stored("secondary")):
        if (row["arm"], row["against"], row["model"]) == (arm, against, model):
            return difference(row)
    raise KeyError(arm, against, model)


@pytest.mark.parametrize("table", ["primary", "secondary"])
def test_every_comparison_stands_on_the_page(table: str) -> None:
    for row in stored(table):
        adjusted = format_p(float(row["p_holm"])) if row["p_holm"] else "alone"
        cells = (
            row["arm"],
            row["against"],
            difference(row),
            format_p(float(row["p"])),
            adjusted,
            row["verdict"],
        )
        assert any(line.startswith(f"| {' | '.join(cells)} |") for line in LINES), cells


@pytest.mark.parametrize("table", ["segmentation", "classification"])
def test_every_figure_of_the_page_s_tables_is_the_stored_one(table: str) -> None:
    names = {name for title in SHOWN for name in FIGURE_BLOCKS[title]} | set(CLASSIFICATION_BLOCK)
    rows = [
        row for row in stored(table) if row["measure"] in names and row["slices_of"] != "slices with a level"
    ]
    assert rows
    for row in rows:
        lines = [line for line in LINES if line.startswith(f"| {row['arm']} |")]
        assert any(figure(row) in line for line in lines), (row["arm"], row["measure"])


def test_every_arm_s_cost_is_the_stored_one() -> None:
    for row in stored("costs"):
        cells = (
            row["model"],
            row["arm"],
            row["runs"],
            *(f"{float(row[n]):.2f}" for n in ("training_h", "generator_h")),
        )
        assert f"| {' | '.join(cells)} | {row['cut_off']} |" in LINES


def test_the_sentences_have_the_stored_figures() -> None:
    assert f"changes Dice by {compared('strong_mcf', 'strong')} points" in TEXT
    assert f"Dice {compared('strong_mcf', 'strong_composites')} points" in TEXT
    assert f"accuracy {compared('strong_mcf', 'strong_composites', 'resnet18')})" in TEXT
    assert f"Dice {compared('strong_mcf', 'real_only')} points" in TEXT
    assert f"alone gives {compared('strong', 'real_only')}." in TEXT
    assert f"accuracy {compared('strong_mcf', 'strong', 'resnet18')} points over" in TEXT
    assert f"composites {compared('strong_composites', 'strong', 'resnet18')}." in TEXT
    assert f"augmentation is {compared('strong_shuffled', 'strong')} points" in TEXT
    shares = {
        row["arm"]: float(row["value"])
        for row in stored("segmentation")
        if row["measure"] == "false_positive_share"
    }
    assert f"something on {shares['strong']:.3f} of the tumor-free slices" in TEXT
    assert f"with MCF on {shares['strong_mcf']:.3f};" in TEXT


def test_the_images_figures_are_the_stored_ones() -> None:
    rows = {(row["of"], row["region"], row["metric"]): row for row in stored("images")}
    texture = {of: float(rows[of, "", "auc"]["value"]) for of in ("synthetic", "composites")}
    copies = float(rows["synthetic", "", "copies"]["value"])
    assert f"copies of their donor's is {copies:.3f}" in TEXT
    assert (
        f"an AUC of {texture['synthetic']:.3f}, that of composites with {texture['composites']:.3f}" in TEXT
    )
    for of in ("synthetic", "composites", "unmodified hosts", "real training tumors"):
        line = next(line for line in LINES if line.startswith(f"| {of} |"))
        for region in ("crops around the mask", "whole slices"):
            for metric in ("kid", "fid"):
                figure = rows[of, region, metric]
                assert (
                    f"{float(figure['value']):.3g} [{float(figure['low']):.3g}, {float(figure['high']):.3g}]"
                    in line
                )


def test_the_split_by_slice_is_the_stored_one() -> None:
    rows = [row for row in stored("split_by_slice") if row["over"].startswith("a patient's")]
    for row in rows:
        ends = (float(row[name]) for name in ("difference", "difference_low", "difference_high"))
        gain = points(row["measure"], *ends)
        name = "Dice" if row["measure"] == "dice" else "accuracy"
        assert f"{name} {gain}" in TEXT
        assert any(
            line.startswith(f"| {row['model']} | strong | {name} | {row['over']} |") and gain in line
            for line in LINES
        )
    assert len(rows) == 2


def test_the_design_s_smallest_difference_is_the_stored_one() -> None:
    (row,) = stored("primary")
    assert f"could have found {100 * float(row['smallest_difference']):.1f} points" in TEXT
    assert (row["patients"], row["folds"], row["seeds"]) == ("60", "3", "3")


def test_the_ranking_is_the_stored_one_in_its_order() -> None:
    rows = stored("ranking")
    lines = [line for line in LINES if line.startswith("| start_step")]
    assert len(lines) == len(rows) == 9
    for line, row in zip(lines, rows, strict=True):
        figures = [
            with_interval(*(float(row[f"{name}{end}"]) for end in ("", "_low", "_high")), digits)
            for name, digits in (("consistency", 3), ("kid", 4), ("texture", 3))
        ]
        cells = [value for figure in zip(figures, _ranks(row), strict=True) for value in figure]
        assert line.startswith(f"| {row['setting']} | {' | '.join(cells)} | {float(row['mean_rank']):.2f} |")


def _ranks(row: dict[str, str]) -> list[str]:
    return [f"{float(row[f'{name}_rank']):g}" for name in ("consistency", "kid", "texture")]


def test_the_figures_beside_the_paper_are_the_stored_ones() -> None:
    for table in ("paper_segmentation", "paper_classification"):
        for row in stored(table):
            shown = any(line.startswith(f"| {row['model']} | {row['measure']} |") for line in LINES)
            assert shown == bool(row["ours_raw_value"]), row
