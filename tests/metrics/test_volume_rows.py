"""Volumes put together from the slices of an evaluation."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.engines import SupervisedEvaluator
from monai.metrics import compute_average_surface_distance, compute_dice, compute_hausdorff_distance
from torch.utils.data import DataLoader

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.case_table import SEGMENTATION_COLUMNS, read_case_table
from mcf_bundle.metrics.handlers import CaseTableHandler
from mcf_bundle.metrics.volume_rows import VolumeRows

Volumes = dict[str, torch.Tensor]


def blobs(seed: int) -> torch.Tensor:
    """Predicted and reference volume, (2, 18, 15, 7): boxes of random size and place."""
    generator = np.random.default_rng(seed)
    volumes = torch.zeros(2, 18, 15, 7, dtype=torch.bool)
    for volume in volumes:
        for _ in range(3):
            start = generator.integers(0, (12, 9, 3))
            end = start + generator.integers(2, (7, 7, 5))
            volume[tuple(slice(a, b) for a, b in zip(start, end, strict=True))] = True
    return volumes


VOLUMES = {"a": blobs(0), "b": blobs(1)}


def slices(volumes: Volumes, first: int = 5) -> list[dict[str, Any]]:
    """All slices, those of the patients in turn."""
    return [
        {
            "image": pair[0, None, ..., k].float(),
            "label": pair[1, None, ..., k],
            "patient": name,
            "slice": k + first,
        }
        for k in range(7)
        for name, pair in volumes.items()
    ]


def evaluate(path: Path, data: list[dict[str, Any]], **settings: Any) -> list[dict[str, Any]]:
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(data, batch_size=4),
        network=torch.nn.Identity(),
        val_handlers=[CaseTableHandler(path, VolumeRows(**settings))],
    ).run()
    return read_case_table(path, SEGMENTATION_COLUMNS)


@pytest.mark.parametrize(("spacing", "unit"), [(None, "voxel"), ((0.9, 0.9, 5.0), "mm")])
def test_each_patient_scores_as_its_volume_does_in_monai(
    tmp_path: Path, spacing: tuple[float, ...] | None, unit: str
) -> None:
    found = evaluate(tmp_path / "volumes.csv", slices(VOLUMES), spacing_mm=spacing)
    assert [(row["case"], row["patient"], row["slice"]) for row in found] == [
        ("a", "a", None),
        ("b", "b", None),
    ]
    for row in found:
        prediction, reference = VOLUMES[row["patient"]][:, None, None]
        assert row["unit"] == unit
        assert row["dice"] == pytest.approx(compute_dice(prediction, reference).item())
        settings = {"include_background": True, "spacing": spacing}
        far = compute_hausdorff_distance(prediction, reference, percentile=95, **settings)
        near = compute_average_surface_distance(prediction, reference, symmetric=True, **settings)
        assert (row["hd95"], row["asd"]) == (far.item(), near.item())


def test_their_summary_lies_beside_and_counts_each_patient_once(tmp_path: Path) -> None:
    found = evaluate(tmp_path / "volumes.csv", slices(VOLUMES), resamples=20)
    with (tmp_path / "volumes_summary.csv").open(newline="") as file:
        lines = {line["metric"]: line for line in csv.DictReader(file)}
    assert set(lines) == {"dice", "jaccard", "hd95", "asd"}
    for name, line in lines.items():
        assert (line["denominator"], line["n"]) == ("pooled per patient", "2")
        assert float(line["mean"]) == pytest.approx(np.mean([row[name] for row in found]))
    assert lines["hd95"]["unit"] == "voxel"


def test_slices_that_are_missing_keep_the_others_apart(tmp_path: Path) -> None:
    volume = torch.zeros(2, 18, 15, 7, dtype=torch.bool)
    volume[0, 4:9, 4:9, 0] = volume[1, 4:9, 4:9, 6] = True
    ends = [item for item in slices({"a": volume}) if item["slice"] in (5, 11)]
    (row,) = evaluate(tmp_path / "volumes.csv", ends)
    assert (row["hd95"], row["asd"]) == (6, 6)


def test_a_missed_tumor_is_as_far_away_as_the_volume_is_long(tmp_path: Path) -> None:
    volume = VOLUMES["a"].clone()
    volume[0] = False
    (row,) = evaluate(tmp_path / "volumes.csv", slices({"a": volume}), spacing_mm=(1, 1, 4))
    assert (row["dice"], row["hd95"]) == (0, pytest.approx(np.linalg.norm([18, 15, 28])))


def test_slices_of_two_shapes_make_no_volume(tmp_path: Path) -> None:
    data = [
        {"image": torch.zeros(1, side, 8), "label": torch.zeros(1, side, 8), "patient": "a", "slice": side}
        for side in (8, 9)
    ]
    engine = CaseTableHandler(tmp_path / "volumes.csv", VolumeRows("image"))
    rows = [engine.rows.row(item) for item in data]
    with pytest.raises(ArgumentError, match="the slices of patient a differ in their shape"):
        engine.rows.as_table(rows)


def test_two_spacings_are_not_three() -> None:
    with pytest.raises(ArgumentError, match="spacing: expected one number or 3"):
        VolumeRows(spacing_mm=(1.0, 2.0))
