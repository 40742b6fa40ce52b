"""docs/metrics.md: its scripts run and print what it says, its tables are the code's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from mcf_bundle.metrics.case_table import SEGMENTATION_COLUMNS
from mcf_bundle.metrics.classification import CLASSIFICATION_METRICS
from mcf_bundle.metrics.denominator import Denominator
from mcf_bundle.metrics.evaluator_metrics import SegmentationMetric
from mcf_bundle.metrics.handlers import CaseTableHandler

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


def table(heading: str) -> dict[str, str]:
    """First and second cell of each row of the table with this heading."""
    body = DOCUMENT.split(heading)[1].split("\n\n")[0]
    return dict(re.findall(r"^\| `([^`]+)` \| (.*?) \|", body, re.MULTILINE))


def test_the_scripts_print_what_the_document_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for script in blocks("python"):
        exec(script, names)
    printed = capsys.readouterr().out.splitlines()
    claimed = re.findall(r"^# (\{.*\})$", DOCUMENT, re.MULTILINE)
    assert printed[: len(claimed)] == claimed
    assert len(printed) == len(claimed) + 10
    assert all("empty: 0 predictions, 0 references, 0 both; penalize" in line for line in printed[2:])


def test_the_tables_are_those_of_the_code() -> None:
    assert table("| Column | Meaning |") == {n: column.meaning for n, column in SEGMENTATION_COLUMNS.items()}
    assert list(table("| Score | Definition |\n")) == list(CLASSIFICATION_METRICS)
    assert list(table("| Name | Cases |")) == [str(name) for name in Denominator]


def test_the_config_instantiates(tmp_path: Path) -> None:
    parser = ConfigParser({"imports": ["$import monai"], "output_dir": str(tmp_path)})
    parser.update(json.loads("{" + blocks("json")[0] + "}"))
    metric = parser.get_parsed_content("key_metric")["val_dice"].metric_fn
    assert isinstance(metric, SegmentationMetric)
    handler = parser.get_parsed_content("handlers")[0]
    assert isinstance(handler, CaseTableHandler)
    assert handler.path == tmp_path / "cases.csv"
