"""Differences of settings image by image: known figures in, known means out, like with like."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcf_bundle.study.ranking_config import Setting
from mcf_bundle.study.ranking_pairs import METRICS, compare_images, paired_table

HEADS = ("a", "a", "b", "c")
BASE = (0.5, 0.6, 0.7, 0.8)


def write_setting(folder: Path, dice: Sequence[float | str], *, donors: Sequence[str] = ("x",) * 4) -> Path:
    """Write what a ranking leaves of a setting: four images, two with one head, and the Dice of each."""
    (folder / "images").mkdir(parents=True)
    (folder / "measures").mkdir()
    records: list[dict[str, Any]] = [
        {
            "name": f"SYN_CS_{row:06d}",
            "host": {"patient": head, "slice": 7},
            "donor": {"patient": donor, "slice": 3},
            "mask_pixels": 100 + row,
        }
        for row, (head, donor) in enumerate(zip(HEADS, donors, strict=True))
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "images" / "manifest.jsonl").write_text(lines)
    rows = [(f"synthetic/{i}", HEADS[i], 7, "synthetic", 100 + i, value) for i, value in enumerate(dice)]
    rows += [(f"composites/{i}", HEADS[i], 7, "composites", 100 + i, 0) for i in range(4)]
    write_table(folder / "measures/label_consistency_cases.csv", "dice", rows)
    named = [(f"SYN_CS_{i:06d}", "x", 2, "synthetic", 0, value or 0) for i, value in enumerate(dice)]
    write_table(folder / "measures/memorization.csv", "tumor_correlation", named)
    return folder


def write_table(path: Path, column: str, rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "patient", "slice", "set", "reference_pixels", column])
        writer.writerows(rows)
    texture = path.parent / "texture_cases.csv"
    texture.write_text("case,patient,slice,set,mask_pixels,flair_rim,flair_texture\n")


def compare(tmp_path: Path, other: Path) -> dict[str, tuple[float, float, float, int, int]]:
    settings = [Setting("base", {}), Setting("other", {"steps": 8})]
    lines = compare_images(settings, [write_setting(tmp_path / "base", BASE), other])
    assert {(line.setting, line.against) for line in lines} == {("other", "base")}
    return {line.metric: (line.difference, line.low, line.high, line.n, line.patients) for line in lines}


def test_the_difference_is_the_mean_over_images_and_its_interval_is_over_heads(tmp_path: Path) -> None:
    found = compare(tmp_path, write_setting(tmp_path / "other", [d + 0.1 for d in BASE]))
    assert found.keys() == {"label_dice", "tumor_correlation"}
    for figures in found.values():
        assert figures == pytest.approx((0.1, 0.1, 0.1, 4, 3))


def test_two_images_on_one_slice_keep_their_own_figures(tmp_path: Path) -> None:
    """The first two hosts are one slice: a figure of one that landed on the other would change the mean."""
    found = compare(tmp_path, write_setting(tmp_path / "other", [0.5, 0.7, 0.7, 0.8]))
    assert found["label_dice"][0] == pytest.approx(0.1 / 4)
    assert found["label_dice"][3:] == (4, 3)


def test_only_images_of_the_same_donor_are_compared(tmp_path: Path) -> None:
    donors = ("x", "x", "y", "x")
    found = compare(tmp_path, write_setting(tmp_path / "other", [0.6, 0.7, 0.0, 1.0], donors=donors))
    difference, low, high, n, patients = found["label_dice"]
    assert (difference, n, patients) == (pytest.approx(np.mean([0.1, 0.1, 0.2])), 3, 2)
    assert low <= difference <= high


def test_an_image_without_a_figure_is_left_out(tmp_path: Path) -> None:
    found = compare(tmp_path, write_setting(tmp_path / "other", ["", 0.7, 0.8, 0.9]))
    assert found["label_dice"][3:] == (3, 3)


def test_the_table_has_a_row_a_setting_and_a_dash_where_nothing_was_measured(tmp_path: Path) -> None:
    places = [write_setting(tmp_path / name, BASE) for name in ("base", "same", "other")]
    (places[1] / "measures/memorization.csv").unlink()
    names = ("base", "same", "other")
    lines = compare_images([Setting(name, {}) for name in names], places)
    (table,) = paired_table(lines).shown
    assert table.columns == ("setting", METRICS["label_dice"][2], METRICS["tumor_correlation"][2], "images")
    assert [row[0] for row in table.rows] == ["same", "other"]
    assert table.rows[0][1:] == ("0.000 [0.000, 0.000]", "-", "4")
    assert len(paired_table(lines).records) == 3


def test_a_single_head_has_no_interval(tmp_path: Path) -> None:
    donors = ("y", "y", "y", "x")
    found = compare(tmp_path, write_setting(tmp_path / "other", BASE, donors=donors))
    assert math.isnan(found["label_dice"][1])


def test_a_setting_that_was_not_measured_is_compared_with_nothing(tmp_path: Path) -> None:
    places = [tmp_path / "rejected", write_setting(tmp_path / "base", BASE), tmp_path / "too"]
    settings = [Setting(name, {}) for name in ("rejected", "base", "too")]
    assert compare_images(settings, places) == []
    assert compare_images(settings[1:], places[1:]) == []


def test_images_that_cannot_be_told_apart_are_left_out(tmp_path: Path) -> None:
    places = [write_setting(tmp_path / name, BASE) for name in ("base", "other")]
    for place in places:
        manifest = place / "images" / "manifest.jsonl"
        manifest.write_text(manifest.read_text().replace('"mask_pixels": 101', '"mask_pixels": 100'))
    lines = compare_images([Setting("base", {}), Setting("other", {})], places)
    assert {line.metric: line.n for line in lines} == {"label_dice": 2, "tumor_correlation": 4}
    (table,) = paired_table(lines).shown
    assert table.rows[0][-1] == "2 to 4"


def test_nothing_measured_is_an_empty_table() -> None:
    assert compare_images([], []) == []
    assert paired_table([]).records == ()
