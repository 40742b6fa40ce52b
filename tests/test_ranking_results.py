"""The pages of docs/results on rankings have the figures of the tables beside them, and no others."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mcf_bundle.study.ranking_measures import QualityLine
from mcf_bundle.study.ranking_pairs import PairedLine, paired_table
from mcf_bundle.study.ranking_plot import draw_pairs
from mcf_bundle.study.ranking_tables import quality_table
from mcf_bundle.study.tables import to_markdown, with_interval
from tests.bundles.config_files import ROOT

RESULTS = ROOT / "docs" / "results"


def lines_of(page: Path) -> list[str]:
    """Return the lines of a page's tables."""
    return [line for line in page.read_text().splitlines() if line.startswith("|")]


def rows_of(table: str) -> list[dict[str, str]]:
    """Return the records of a table that a ranking wrote."""
    with (RESULTS / f"{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def quality_lines(folder: str, reference: list[str]) -> list[str]:
    """Return the lines of the tables of everything that was measured."""
    stored = [
        QualityLine(
            *(row[key] for key in ("setting", "set", "region", "metric")),
            *(float(row[key]) if row[key] else None for key in ("value", "low", "high")),
            *(int(row[key]) for key in ("n", "patients")),
        )
        for row in rows_of(f"{folder}/quality")
    ]
    shown = quality_table(stored, reference).shown
    return [line for table in shown for line in to_markdown(table).splitlines() if line.startswith("|")]


def stored_pairs(folder: str) -> list[PairedLine]:
    """Return the differences to the first setting."""
    return [
        PairedLine(
            *(row[key] for key in ("setting", "against", "metric")),
            *(float(row[key]) for key in ("difference", "low", "high")),
            *(int(row[key]) for key in ("n", "patients")),
        )
        for row in rows_of(f"{folder}/paired")
    ]


@pytest.mark.parametrize("folder", ["search", "generators", "add"])
def test_the_drawing_of_pairs_is_that_of_the_stored_ones(folder: str) -> None:
    assert (RESULTS / folder / "paired.svg").read_text() == draw_pairs(stored_pairs(folder))


def paired_lines(folder: str) -> list[str]:
    """Return the lines of the table of differences to the first setting."""
    (table,) = paired_table(stored_pairs(folder)).shown
    return [line for line in to_markdown(table).splitlines() if line.startswith("|")]


def ranking_lines() -> list[str]:
    """Return the lines of the search's ranking, without its head."""
    lines = []
    for row in rows_of("search/ranking"):
        cells = [row["setting"]]
        for name, digits in (("consistency", 3), ("kid", 4), ("texture", 3)):
            ends = (float(row[f"{name}{end}"] or "nan") for end in ("", "_low", "_high"))
            cells += [with_interval(*ends, digits), f"{float(row[f'{name}_rank']):g}"]
        counts = f"{row['judged']} of {row['images']}", row["reference_patients"]
        finalist = "yes" if row["finalist"] == "True" else "no"
        cells += [f"{float(row['mean_rank']):.2f}", finalist, *counts]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def test_the_search_s_page_has_the_stored_figures_and_no_others() -> None:
    ranking = ranking_lines()
    assert len(ranking) > 10
    found = lines_of(RESULTS / "search.md")
    paired = paired_lines("search")
    assert found[: len(paired)] == paired
    head = len(paired) + 2
    assert found[head:] == [*ranking, *quality_lines("search", ["validation"])]


@pytest.mark.parametrize("name", ["generators"])
def test_a_comparison_s_page_has_the_stored_figures_and_no_others(name: str) -> None:
    splits = ["validation", "test"]
    expected = [*paired_lines(name), *quality_lines(name, splits)]
    expected += [*paired_lines("add"), *quality_lines("add", splits)]
    assert lines_of(RESULTS / f"{name}.md") == expected


def quality_of(folder: str, setting: str, metric: str, set_: str = "synthetic") -> dict[str, str]:
    """Return a figure of a setting, of crops where there are some."""
    found = [
        row
        for row in rows_of(f"{folder}/quality")
        if (row["setting"], row["set"], row["metric"]) == (setting, set_, metric)
    ]
    return found[-1]


def figure_of(folder: str, setting: str, set_: str, metric: str) -> str:
    """Return a figure with its interval as a sentence has it."""
    row = quality_of(folder, setting, metric, set_)
    value, low, high = (_bare(row[end], 2 if metric == "fid" else 3) for end in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def paired_of(folder: str, setting: str, metric: str) -> str:
    """Return a paired difference as a sentence has it."""
    (row,) = (r for r in rows_of(f"{folder}/paired") if (r["setting"], r["metric"]) == (setting, metric))
    low, high = (_bare(row[end]) for end in ("low", "high"))
    return f"{_bare(row['difference'])} [{low}, {high}]"


def _bare(value: str, digits: int = 3) -> str:
    return f"{float(value):.{digits}f}".replace("0.", ".", 1)


def prose(name: str) -> str:
    return " ".join((RESULTS / f"{name}.md").read_text().split())


def test_the_sentences_about_the_generators_have_the_stored_figures() -> None:
    text = prose("generators")
    assert f"({_bare(quality_of('generators', 'mcf', 'copies')['value'], 2)} count as copies" in text
    assert f"without it Dice is {paired_of('generators', 'no_guidance', 'label_dice')}" in text
    for setting in ("nine_channels", "no_neighbors"):
        assert f"({paired_of('generators', setting, 'label_dice')})" in text
    both = [
        _bare(quality_of("generators", name, "label_dice")["value"]) for name in ("no_harmonization", "mcf")
    ]
    assert "label consistency {} against {} over all images".format(*both) in text
    assert f"{paired_of('generators', 'no_harmonization', 'label_dice')} on the 35 pairs" in text
    plain = ("no_harmonization", "composites")
    fid, auc, dice = (figure_of("generators", *plain, m) for m in ("fid", "texture_auc", "label_dice"))
    assert f"FID of crops {fid}, texture AUC {auc}), with a label consistency of {dice}" in text
    assert f"against {figure_of('generators', 'mcf', 'composites', 'label_dice')} of the harmonized" in text
    assert f"(AUC {float(quality_of('add', 'add', 'texture_auc')['value']):.3f})" in text
    assert float(quality_of("add", "add", "copies")["value"]) == 0


def test_the_sentences_about_the_search_have_the_stored_figures() -> None:
    text = prose("search")
    copies = {
        name: f"{100 * float(quality_of('search', name, 'copies')['value']):.0f} %"
        for name in ("base", "start_step_50", "start_step_300", "start_step_400")
    }
    assert (
        f"{copies['base']} of the tumors count as copies at L = 150, {copies['start_step_300']} at 300"
        in text
    )
    assert f"{copies['start_step_400']} at 400 ({copies['start_step_50']} at 50)" in text
    assert f"(Dice {paired_of('search', 'start_step_300', 'label_dice')}; at 400" in text
    assert f"at 400 {paired_of('search', 'start_step_400', 'label_dice')})" in text
    assert f"({paired_of('search', 'nine_channels', 'label_dice')})" in text
