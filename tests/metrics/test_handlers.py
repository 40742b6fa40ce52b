"""The per-case table that an evaluation leaves behind."""

from __future__ import annotations

import csv
import importlib
import logging
import math
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import pytest
import torch
from monai.engines import SupervisedEvaluator
from torch.utils.data import DataLoader

from mcf_bundle.data.normalization import IntensityScale
from mcf_bundle.data.triplet_dataset import SliceRef, TripletDataset
from mcf_bundle.data.volume import Volume
from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.case_table import (
    CLASSIFICATION_COLUMNS,
    SEGMENTATION_COLUMNS,
    read_case_table,
    segmentation_row,
)
from mcf_bundle.metrics.handlers import CaseTableHandler, ClassificationRows, SegmentationRows, write_summary
from tests.metrics.masks import EMPTY, HALF, TUMOR

MASKS = [(TUMOR, TUMOR), (EMPTY, TUMOR), (HALF, EMPTY), (EMPTY, EMPTY), (HALF, TUMOR)]
NAMES = ["b", "a", "a", "b", "c"]


def items() -> list[dict[str, Any]]:
    return [
        {
            "image": torch.from_numpy(prediction)[None].float(),
            "label": torch.from_numpy(reference)[None],
            "patient": name,
            "slice": 10 - number,
        }
        for number, (name, (prediction, reference)) in enumerate(zip(NAMES, MASKS, strict=True))
    ]


def evaluate(handler: CaseTableHandler, data: list[dict[str, Any]], **options: Any) -> None:
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(data, batch_size=2),
        network=torch.nn.Identity(),
        val_handlers=[handler],
        **options,
    ).run()


@pytest.mark.parametrize("decollate", [True, False])
@pytest.mark.parametrize("scoring", [{}, {"spacing_mm": 2.0, "tolerance": 3.0}])
def test_each_case_is_a_row_sorted_by_patient_and_slice(
    tmp_path: Path, decollate: bool, scoring: dict[str, Any]
) -> None:
    path = tmp_path / "cases.csv"
    handler = CaseTableHandler(path, SegmentationRows(**scoring))
    for _ in range(2):  # a second evaluation replaces the first
        evaluate(handler, items(), decollate=decollate)
    expected = [
        segmentation_row(*masks, patient=name, slice_number=10 - number, **scoring)
        for number, (name, masks) in enumerate(zip(NAMES, MASKS, strict=True))
    ]
    found = read_case_table(path, SEGMENTATION_COLUMNS)
    assert [row["case"] for row in found] == ["a_8", "a_9", "b_7", "b_10", "c_6"]
    by_case = {row["case"]: row for row in expected}
    for row in found:
        assert row == pytest.approx(by_case[row["case"]], nan_ok=True)


def test_the_summary_lies_beside_and_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="mcf_bundle.metrics.handlers"):
        evaluate(CaseTableHandler(tmp_path / "cases.csv", SegmentationRows()), items())
    with (tmp_path / "cases_summary.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 10
    by_name = {(line["metric"], line["denominator"]): line for line in lines}
    assert float(by_name["dice", "tumor slices"]["mean"]) == pytest.approx((1 + 0 + 0.4) / 3)
    assert by_name["dice", "all slices"]["empty_prediction"] == "2"
    assert "dice, all slices: 0.48 (SD" in caplog.text
    assert "empty: 2 predictions, 2 references, 1 both; penalize" in caplog.text


def test_a_classifier_leaves_probabilities(tmp_path: Path) -> None:
    logits = [[0.0, 0.0], [0.0, 2.0], [3.0, 0.0], [-1.0, 1.0]]
    data = [
        {"image": torch.tensor(pair), "label": number % 2, "patient": f"p{number}", "slice": number}
        for number, pair in enumerate(logits)
    ]
    path = tmp_path / "classes.csv"
    evaluate(CaseTableHandler(path, ClassificationRows()), data)
    found = read_case_table(path, CLASSIFICATION_COLUMNS)
    expected = [1 / (1 + math.exp(zero - one)) for zero, one in logits]
    np.testing.assert_allclose([row["probability"] for row in found], expected, rtol=1e-7)
    assert [row["label"] for row in found] == [0, 1, 0, 1]
    assert "\nauc,1.0," in (tmp_path / "classes_summary.csv").read_text()


class TwoLogits(torch.nn.Module):
    """Half the mean gray level as the logit of tumor, 0 as the other."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean((1, 2, 3))
        return torch.stack([torch.zeros_like(mean), mean / 2], dim=1)


@pytest.mark.parametrize("decollate", [True, False])
def test_slices_of_the_training_data_name_their_cases(tmp_path: Path, decollate: bool) -> None:
    image, mask = np.zeros((4, 3, 8, 8), np.uint8), np.zeros((4, 8, 8), bool)
    image[2], mask[2] = 20, True
    volume = Volume("P_A_1", "A", (1, 2, 4, 5), image, mask)
    scale = IntensityScale(background=(0.0, 0.0, 0.0), span=(10.0, 10.0, 10.0))
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(
            TripletDataset([SliceRef(volume, scale, i) for i in (1, 2)]), batch_size=2
        ),
        network=TwoLogits(),
        val_handlers=[CaseTableHandler(tmp_path / "classes.csv", ClassificationRows())],
        decollate=decollate,
    ).run()
    found = read_case_table(tmp_path / "classes.csv", CLASSIFICATION_COLUMNS)
    assert [(row["case"], row["label"]) for row in found] == [("P_A_1_2", 0), ("P_A_1_4", 1)]
    # Gray levels 0 and 20 of a span of 10 are -1 and 3 in the network range.
    expected = [1 / (1 + math.exp(-logit)) for logit in (-0.5, 1.5)]
    assert [row["probability"] for row in found] == pytest.approx(expected)


def test_a_dataset_that_does_not_name_its_cases_is_told_so(tmp_path: Path) -> None:
    data = [{key: item[key] for key in ("image", "label", "slice")} for item in items()]
    with pytest.raises(ArgumentError, match="neither batch nor output has patient"):
        evaluate(CaseTableHandler(tmp_path / "cases.csv", SegmentationRows()), data)


def test_one_probability_is_not_two_logits() -> None:
    item = {"pred": torch.tensor([0.3]), "label": 0, "patient": "a", "slice": 1}
    with pytest.raises(ArgumentError, match=r"pred: expected two logits a case, got shape \(1,\)"):
        ClassificationRows().row(item)


def test_a_summary_without_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="there are none to write"):
        write_summary(tmp_path / "s.csv", [])


@pytest.mark.slow
def test_two_processes_write_what_one_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)  # where spawned processes find the module
    dealt_cases = importlib.import_module("dealt_cases")
    one, two = tmp_path / "one", tmp_path / "two"
    dealt_cases.evaluate_cases(0, one, 1)
    idist.spawn("gloo", dealt_cases.evaluate_cases, args=(two, 2), nproc_per_node=2)
    for name in ("cases.csv", "cases_summary.csv", "volumes.csv", "volumes_summary.csv"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
