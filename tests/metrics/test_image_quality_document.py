"""docs/metrics.md, image quality: its tables are the code's; its script runs with the others of the page."""

from __future__ import annotations

import re
from pathlib import Path

from mcf_bundle.metrics.extractors import EXTRACTORS
from mcf_bundle.metrics.quality_figures import QUALITY_METRICS

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text()


def cells(heading: str) -> list[list[str]]:
    """Cells of each row of the table with this heading."""
    rows = DOCUMENT.split(heading)[1].split("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if row.startswith("|")][1:]


def test_the_metrics_are_those_of_the_code() -> None:
    found = {row[0].strip("`"): (row[1], row[2]) for row in cells("| Metric | Meaning | Better | Function |")}
    expected = {name: (metric.meaning, metric.best or "-") for name, metric in QUALITY_METRICS.items()}
    assert found == expected


def test_the_extractors_are_those_of_the_code_with_their_licenses() -> None:
    rows = cells("| Extractor | Features | Weights | License of the weights |")
    found = {name: row[3] for row in rows for name in re.findall(r"`([^`]+)`", row[0])}
    assert list(found) == list(EXTRACTORS)
    assert all(EXTRACTORS[name].license.startswith(license) for name, license in found.items())


def test_the_metrics_that_favor_size_are_named() -> None:
    named = re.search(r"favors the larger set \(([^)]*)\)", DOCUMENT)
    assert named is not None
    favoring = [name for name, metric in QUALITY_METRICS.items() if metric.favors_more_cases]
    assert re.findall(r"`([^`]+)`", named[1]) == favoring
