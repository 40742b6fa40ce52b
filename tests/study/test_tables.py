"""Tables: files that agree, and the paper's figures beside ours."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.image_evaluation_measures import CROPS, WHOLE
from mcf_bundle.generation.report_table import Table
from mcf_bundle.resources import config_path
from mcf_bundle.study.config import Arm, Primary, StudyConfig, SyntheticSet
from mcf_bundle.study.config_file import read_config
from mcf_bundle.study.paper_protocol import protocol_table
from mcf_bundle.study.paper_tables import (
    PRINTED_CLASSIFICATION,
    PRINTED_SEGMENTATION,
    mcf_arm,
    paper_tables,
)
from mcf_bundle.study.tables import StudyTable, plain, to_markdown, write_tables
from tests.study.simulated import CONFIG, PATIENTS, SLICES, TUMOR_SLICES, config_with


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
    assert (dice["paper_raw"], dice["paper_generated"]) == ("0.7884", "0.8129")
    assert dice["ours_raw_value"] == ours["real_only", "slice_dice"]
    assert dice["ours_generated_value"] == ours["mcf", "slice_dice"]
    assert {row["ours_raw_value"] for row in segmentation if row["model"] == "SegNet"} == {""}
    assert {row["model"]: bool(row["ours_generated_value"]) for row in classification}["ResNet18"]
    assert not {row["model"]: bool(row["ours_generated_value"]) for row in classification}["ResNet34"]


def test_ours_beside_the_paper_say_how_many_patients_and_slices(study_folder: Path) -> None:
    found = {
        (row["model"], row["measure"]): tuple(row[f"ours_{name}"] for name in ("raw_patients", "raw_slices"))
        for name in ("segmentation", "classification")
        for row in read(study_folder / "tables" / f"paper_{name}.csv")
    }
    assert found["U-Net", "HD95"] == (str(PATIENTS), str(PATIENTS * TUMOR_SLICES))
    assert found["ResNet18", "accuracy"] == (str(PATIENTS), str(PATIENTS * SLICES))
    assert found["SegNet", "Dice"] == ("", "")
    assert "| 18, 72 |" in (study_folder / "tables" / "paper_segmentation.md").read_text()


ALONE = {"neighbors": False}
"""Of sampling and training alike."""


def test_the_papers_dice_without_neighbors_stands_beside_an_arm_of_such_a_set(study_folder: Path) -> None:
    (row,) = read(study_folder / "tables" / "paper_neighbors.csv")
    assert (row["model"], row["measure"], row["paper_raw"]) == ("U-Net", "Dice", "0.7884")
    assert (row["paper_generated"], row["ours_generated_value"]) == ("0.7668", "")
    assert row["ours_raw_value"]
    assert mcf_arm(CONFIG, neighbors=False) is None
    sets = {**CONFIG.sets, "mcf": SyntheticSet("generated", overrides=ALONE, denoiser=ALONE)}
    assert mcf_arm(config_with(sets=sets), neighbors=False) == "mcf"
    assert mcf_arm(config_with(sets=sets)) is None


def judged(of: str, value: float, *, name: str = "mcf", region: str = WHOLE) -> dict[str, Any]:
    counts = {"n": 133, "patients": 12, "reference_n": 121, "reference_patients": 19}
    figure = {"value": value, "low": value - 1, "high": value + 1, "extractor": "gate", **counts}
    return {"set": name, "of": of, "region": region, "metric": "fid", **figure}


def test_our_fid_stands_beside_the_papers_with_n_and_a_warning() -> None:
    sets = {**CONFIG.sets, "alone": SyntheticSet("generated", overrides=ALONE, denoiser=ALONE)}
    config = config_with(sets=sets, arms={**CONFIG.arms, "alone": Arm("flip", 0.5, "alone", 0.5)})
    records = [
        judged("synthetic", 4.5),
        judged("synthetic", 99.0, region=CROPS),
        judged("composites", 3.5),
        judged("synthetic", 7.5, name="alone"),
    ]
    table = next(item for item in paper_tables([], config, records) if item.name == "paper_fid")
    rows = {row[0]: row[1:] for row in table.shown[0].rows}
    counts = ("133, 12", "121, 19")
    assert rows["MCF"] == ("70.58", "4.50 [3.50, 5.50]", *counts)
    assert rows["fusion without the neighbors"] == ("127.68", "7.50 [6.50, 8.50]", *counts)
    assert rows["composites (judged with mcf)"] == (None, "3.50 [2.50, 4.50]", *counts)
    assert rows["GAN"] == ("1015.72", None, None, None)
    assert "cannot be compared" in table.shown[0].note
    assert [row["ours_fid_value"] for row in table.records if row["method"] == "MCF"] == [4.5]


def test_without_judged_images_the_papers_fid_stands_alone() -> None:
    table = next(item for item in paper_tables([], CONFIG) if item.name == "paper_fid")
    assert "no set was judged" in table.shown[0].note
    assert {row[2] for row in table.shown[0].rows} == {None}


def what_differs(config: StudyConfig) -> str:
    rows = {row[0]: row[2] for row in protocol_table(config, []).rows}
    return str(rows["raw against MCF"])


def test_the_protocol_names_all_in_which_our_two_arms_differ() -> None:
    assert what_differs(CONFIG) == "mcf and real_only differ in MCF's images alone"
    shipped = config_path("studies/lgg")
    assert what_differs(read_config(shipped, "cpu")) == (
        "strong_mcf against real_only mixes three things: augmentation (strong against none), share of tumor "
        "slices in an epoch (0.5 against as they come), MCF's images; strong_mcf against strong differs in "
        "MCF's images alone"
    )
    assert what_differs(read_config(shipped, "paper")) == (
        "mcf against real_only mixes two things: share of tumor slices in an epoch (0.5 against as they "
        "come), MCF's images; mcf against oversampling differs in MCF's images alone"
    )
    blind = {name: arm for name, arm in CONFIG.arms.items() if arm.synthetic != "mcf"}
    primary = Primary("unet", "strong", "real_only", "dice")
    assert what_differs(config_with(arms=blind, primary=primary)) == "no arm with generated slices"


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
