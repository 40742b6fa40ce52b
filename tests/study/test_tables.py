"""Tables: files that agree, and the paper's figures beside ours."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.report_table import Table
from mcf_bundle.study.paper_tables import PRINTED_CLASSIFICATION, PRINTED_SEGMENTATION, mcf_arm
from mcf_bundle.study.tables import StudyTable, plain, to_markdown, write_tables
from tests.study.simulated import CONFIG


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_primary_difference_follows_from_the_gathered_cases_alone(study_folder: Path) -> None:
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in read(study_folder / "cases_segmentation.csv"):
        if int(row["reference_pixels"]):
            scores[row["arm"]][row["patient"]].append(float(row["dice"]))
    gaps = [
        np.mean(values) - np.mean(scores["strong"][patient])
        for patient, values in scores["strong_mcf"].items()
    ]
    (found,) = read(study_folder / "tables" / "primary.csv")
    assert float(found["difference"]) == pytest.approx(np.mean(gaps))
    assert float(found["patient_sd"]) == pytest.approx(np.std(gaps, ddof=1))
    assert (found["patients"], found["folds"], found["seeds"], found["runs"]) == ("18", "3", "2", "6")


@pytest.mark.parametrize("name", ["primary", "secondary", "segmentation", "classification"])
def test_csv_and_json_hold_the_same(study_folder: Path, name: str) -> None:
    records = json.loads((study_folder / "tables" / f"{name}.json").read_text())
    assert records
    as_text = [{key: "" if v is None else str(v) for key, v in record.items()} for record in records]
    assert as_text == read(study_folder / "tables" / f"{name}.csv")


def test_every_group_and_arm_has_its_figures(study_folder: Path) -> None:
    figures = read(study_folder / "tables" / "segmentation.csv")
    assert {row["arm"] for row in figures} == set(CONFIG.arms)
    assert all(row["patients"] == "18" and row["low"] and row["high"] for row in figures)


def test_the_papers_figures_stand_beside_ours(study_folder: Path) -> None:
    segmentation = read(study_folder / "tables" / "paper_segmentation.csv")
    classification = read(study_folder / "tables" / "paper_classification.csv")
    assert (len(segmentation), len(classification)) == (
        len(PRINTED_SEGMENTATION),
        len(PRINTED_CLASSIFICATION),
    )
    ours = {
        (row["arm"], row["measure"]): row["value"]
        for row in read(study_folder / "tables" / "segmentation.csv")
    }
    dice = next(row for row in segmentation if (row["model"], row["measure"]) == ("U-Net", "Dice"))
    assert (dice["paper_raw"], dice["paper_mcf"]) == ("0.7884", "0.8129")
    assert dice["ours_raw_value"] == ours["real_only", "slice_dice"]
    assert dice["ours_mcf_value"] == ours["mcf", "slice_dice"]
    assert {row["ours_raw_value"] for row in segmentation if row["model"] == "SegNet"} == {""}
    assert {row["model"]: bool(row["ours_mcf_value"]) for row in classification}["ResNet18"]
    assert not {row["model"]: bool(row["ours_mcf_value"]) for row in classification}["ResNet34"]


def test_the_mcf_arm_is_the_one_augmented_as_real_only() -> None:
    assert mcf_arm(CONFIG) == "mcf"


def test_markdown_escapes_bars_and_says_when_there_is_nothing() -> None:
    assert "a\\|b" in to_markdown(Table("T", ("x",), (("a|b",),)))
    assert "None." in to_markdown(Table("T", ("x",), ()))


def test_nan_and_lists_become_what_csv_and_json_can_hold() -> None:
    assert plain(float("nan")) is None
    assert plain(("a", "b")) == "a; b"
    assert plain(0.5) == 0.5


def test_records_with_other_keys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="differ in their keys"):
        write_tables(tmp_path, [StudyTable("t", ({"a": 1}, {"b": 1}), ())])
