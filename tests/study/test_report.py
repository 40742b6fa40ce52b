"""The page of a study: the answer first, nothing from outside, the same bytes again."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

import pytest
from PIL import Image

from mcf_bundle.errors import ArgumentError, DataError
from mcf_bundle.study.config import TUMORS, Primary
from mcf_bundle.study.curves import draw_curves
from mcf_bundle.study.report import write_report
from tests.study.simulated import (
    CONFIG,
    EFFECTS,
    config_with,
    segmentation_rows,
    write_gathered,
    write_study,
)


def report(folder: Path, rows: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    """Report segmentation alone; returns the JSON."""
    write_report(
        folder,
        segmentation_csv=write_gathered(folder / "cases.csv", rows),
        classification_csv=None,
        **{"config": CONFIG, "provenance": {}, "resamples": 30, **options},
    )
    return json.loads((folder / "report.json").read_text())


def test_the_answer_comes_first_with_interval_and_verdict(study_folder: Path) -> None:
    page = (study_folder / "report.html").read_text()
    headline = re.search(r'<p class="headline">(.*?)</p>', page)
    assert headline
    figure = r"\+[\d.]+"
    pattern = rf"strong_mcf against strong, unet: {figure} points of Dice, 95 % interval {figure} to {figure}"
    assert re.fullmatch(rf"{pattern}: better", headline[1])
    assert page.index("MCF is not shown to help") < page.index("<h2")
    assert f"**{headline[1]}**" in (study_folder / "report.md").read_text()
    assert json.loads((study_folder / "report.json").read_text())["answer"] == headline[1]


def test_each_drawing_of_the_page_is_a_file_too(study_folder: Path) -> None:
    page = (study_folder / "report.html").read_text()
    drawings = {path.name: path.read_text() for path in (study_folder / "plots").iterdir()}
    assert "primary_comparison.svg" in drawings
    assert len(drawings) == page.count("<svg ")
    for text in drawings.values():
        assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
        assert text.partition("aria-label")[2].strip() in page


def test_the_page_loads_nothing_and_its_drawings_are_whole(study_folder: Path) -> None:
    page = (study_folder / "report.html").read_text()

    class Links(HTMLParser):
        found: ClassVar[list[str]] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.found += [value or "" for name, value in attrs if name in ("src", "href")]
            assert tag != "script"

    links = Links()
    links.feed(page)
    assert links.found
    assert all(link.startswith(("#", "data:")) for link in links.found)
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) == 3  # the primary comparison, segmentation, classification
    for drawing in drawings:
        texts = [element.text for element in ElementTree.fromstring(drawing).iter() if element.text]
        assert "inconclusive" in texts or "better" in texts


def test_the_plot_shows_every_arm_against_real_only(study_folder: Path) -> None:
    page = (study_folder / "report.html").read_text()
    drawing = re.findall(r"<svg.*?</svg>", page, re.DOTALL)[1]
    for arm in set(EFFECTS) - {"real_only"}:
        assert f">{arm}</text>" in drawing
    assert drawing.count("<circle") == len(EFFECTS) - 1


def test_what_was_run_and_its_hours_are_shown(study_folder: Path) -> None:
    text = (study_folder / "report.md").read_text()
    assert "| command line | mcf-bundle study |" in text
    assert "| seeds of the models | 0, 1 |" in text
    assert "| torch | 2.12 |" in text
    assert "| models | 3 | 1.5 |" in text
    assert "| None |" not in text


def test_distances_of_volumes_are_explained_where_they_are_shown_and_else_missed(tmp_path: Path) -> None:
    rows = segmentation_rows()
    volumes = [
        {**row, "case": row["patient"], "slice": "", "unit": "voxel"} for row in rows if row["slice"] == 1
    ]
    report(tmp_path, rows, volumes_csv=write_gathered(tmp_path / "volumes.csv", volumes))
    text = (tmp_path / "report.md").read_text()
    assert "say nothing about millimeters" in text
    assert "do not follow from the slices" not in text
    report(tmp_path, rows)
    assert "do not follow from the slices" in (tmp_path / "report.md").read_text()


def test_the_page_says_what_was_tuned_for_whom(study_folder: Path, tmp_path: Path) -> None:
    text = (study_folder / "report.md").read_text()
    assert "No arm's training settings were tuned" in text
    assert "only MCF's settings are chosen beforehand" in text
    arms = {name: arm for name, arm in CONFIG.arms.items() if arm.synthetic is None}
    config = config_with(arms=arms, primary=Primary("unet", "strong", "real_only", "dice"))
    report(tmp_path, segmentation_rows({name: EFFECTS[name] for name in arms}), config=config)
    text = (tmp_path / "report.md").read_text()
    assert "No arm's training settings were tuned" in text
    assert "chosen beforehand" not in text
    assert "keep their tumors" not in text
    report(tmp_path, segmentation_rows(), config=config_with(left_out=TUMORS, fractions=[1.0, 0.5]))
    assert "training patients who keep their tumors" in (tmp_path / "report.md").read_text()


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = segmentation_rows()
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    report(tmp_path / "a", rows)
    report(tmp_path / "b", rows)
    for name in ("report.html", "report.md", "report.json", "tables/secondary.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_an_arm_without_effect_is_said_not_to_help(tmp_path: Path) -> None:
    found = report(tmp_path, segmentation_rows({**EFFECTS, "mcf": 0.0, "strong_mcf": EFFECTS["strong"]}))
    assert found["verdict"] == "inconclusive"
    assert found["where_mcf_does_not_help"].startswith("MCF is not shown to help in 3 of 3 comparisons")


def test_a_gain_everywhere_is_said_too(tmp_path: Path) -> None:
    found = report(tmp_path, segmentation_rows())
    assert found["where_mcf_does_not_help"].startswith("MCF was better")


def test_a_negative_control_that_helps_is_a_warning(tmp_path: Path) -> None:
    found = report(tmp_path, segmentation_rows({**EFFECTS, "shuffled_masks": 0.1}))
    assert any("negative control shuffled_masks" in warning for warning in found["warnings"])


def test_a_control_by_masks_is_none_of_networks_that_see_no_masks(study_folder: Path) -> None:
    warnings = json.loads((study_folder / "report.json").read_text())["warnings"]
    found = [text for text in warnings if "shuffled_masks" in text]
    assert len(found) == 1
    assert found[0].startswith("shuffled_masks is no control of the classifiers: they see no masks")


def test_a_missing_training_makes_the_verdict_provisional(tmp_path: Path) -> None:
    rows = [
        row for row in segmentation_rows() if (row["arm"], row["fold"], row["seed"]) != ("strong_mcf", "0", 1)
    ]
    found = report(tmp_path, rows)
    assert "verdict is provisional: strong_mcf, fold 0, seed 1." in found["warnings"][0]


def test_a_missing_fold_and_a_missing_arm_are_warnings(tmp_path: Path) -> None:
    rows = [row for row in segmentation_rows() if row["fold"] != "2" and row["arm"] != "mcf"]
    warnings = " ".join(report(tmp_path, rows)["warnings"])
    assert "2 of 3 folds" in warnings
    assert "no training of mcf." in warnings


def test_a_seed_that_the_config_has_and_no_arm_is_missing(tmp_path: Path) -> None:
    found = report(tmp_path, segmentation_rows(), config=config_with(seeds=[0, 1, 2]))
    assert any("strong_mcf, fold 0, seed 2" in warning for warning in found["warnings"])


def test_classifiers_alone_can_be_reported(tmp_path: Path) -> None:
    paths = write_study(tmp_path)
    primary = Primary("resnet18", "strong_mcf", "strong", "accuracy")
    write_report(
        tmp_path,
        segmentation_csv=None,
        classification_csv=paths["classification_csv"],
        config=config_with(primary=primary),
        provenance={},
        resamples=20,
    )
    text = (tmp_path / "report.md").read_text()
    assert "points of accuracy" in text
    assert "No levels were handed in" in text


def test_pictures_and_curves_are_inside_the_page(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "truth.png")
    report(
        tmp_path,
        segmentation_rows(),
        pictures={"p01 <b>": tmp_path / "truth.png"},
        curves={"unet": {"mcf": [(0, 0.1), (10, float("nan")), (20, 0.5)]}},
    )
    page = (tmp_path / "report.html").read_text()
    assert 'src="data:image/png;base64,' in page
    assert "p01 &lt;b&gt;" in page
    assert "<polyline" in page


def test_what_is_no_picture_or_curve_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DataError, match="is no PNG"):
        report(tmp_path, segmentation_rows(), pictures={"p": tmp_path / "text.png"})
    with pytest.raises(DataError, match="cannot be read"):
        report(tmp_path, segmentation_rows(), pictures={"p": tmp_path / "missing.png"})
    with pytest.raises(ArgumentError, match="no finite point"):
        draw_curves({"unet": {"mcf": [(0, float("nan"))]}})
