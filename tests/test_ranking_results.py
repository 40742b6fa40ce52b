"""The pages of docs/results on rankings have the figures of the tables beside them, and no others."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mcf_bundle.study.ranking_measures import QualityLine
from mcf_bundle.study.ranking_pairs import PairedLine, paired_table
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


def paired_lines(folder: str) -> list[str]:
    """Return the lines of the table of differences to the first setting."""
    stored = [
        PairedLine(
            *(row[key] for key in ("setting", "against", "metric")),
            *(float(row[key]) for key in ("difference", "low", "high")),
            *(int(row[key]) for key in ("n", "patients")),
        )
        for row in rows_of(f"{folder}/paired")
    ]
    (table,) = paired_table(stored).shown
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
    expected = [*paired_lines(name), *quality_lines(name, ["validation", "test"])]
    assert lines_of(RESULTS / f"{name}.md") == expected
