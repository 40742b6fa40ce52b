"""Ranking of settings: on validation patients alone, each setting once, three finalists at most."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from mcf_bundle.__main__ import main
from mcf_bundle.data.datalist import read_datalist
from mcf_bundle.data.lgg import read_cohort
from mcf_bundle.data.splits import TEST, VALIDATION
from mcf_bundle.errors import ArgumentError, DataError, GateError, StudyError
from mcf_bundle.generation import image_evaluation
from mcf_bundle.generation.image_evaluation import ImageEvaluation
from mcf_bundle.generation.image_evaluation_labels import FrozenSegmenter, load_segmenter
from mcf_bundle.generation.image_evaluation_sets import REFERENCE, SYNTHETIC
from mcf_bundle.metrics import texture_forest
from mcf_bundle.networks.checkpoint import save_checkpoint
from mcf_bundle.networks.segmentation_networks import make_segmentation_network
from mcf_bundle.resources import config_path
from mcf_bundle.study import ranking
from mcf_bundle.study.ranking import as_study, rank_settings
from mcf_bundle.study.ranking_config import RankingConfig, Setting, read_ranking
from mcf_bundle.study.ranking_measures import Figure, Measured, rank
from mcf_bundle.study.ranking_pairs import PairedLine
from mcf_bundle.study.ranking_plot import draw_pairs, draw_ranking
from mcf_bundle.study.ranking_tables import ranking_table
from mcf_bundle.study.splits import make_datalists, write_datalists
from tests.generation.bundle_runs import OPEN_GATE, gate, make_workflow
from tests.study.studies import make_config

MADE = 150
"""Start step of the only setting with images."""

CONFIG = RankingConfig(
    name="small",
    grid={"start_step": [100, 150], "guidance_scale": [2.0]},
    images=20,
    measures={"crop": 32, "resamples": 4},
)


def measured(name: str, consistency: float, kid: float, texture: float) -> Measured:
    figures = [Figure(value, value - 0.1, value + 0.1) for value in (consistency, kid, texture)]
    return Measured(Setting(name, {"start_step": 1}), 48, 40, 9, *figures)


# --- The ranks ----------------------------------------------------------------------------------------


def test_high_consistency_low_kid_and_an_auc_near_a_half_are_good() -> None:
    found = [measured("a", 0.9, 0.3, 0.3), measured("b", 0.8, 0.1, 0.6), measured("c", 0.7, 0.2, 0.9)]
    ranked = rank(found, 1)
    ranks = {r.measured.setting.name: (r.consistency_rank, r.kid_rank, r.texture_rank) for r in ranked}
    assert ranks == {"a": (1, 3, 2), "b": (2, 1, 1), "c": (3, 2, 3)}
    assert [r.measured.setting.name for r in ranked] == ["b", "a", "c"]
    assert [r.mean_rank for r in ranked] == pytest.approx([4 / 3, 2, 8 / 3])
    assert [r.finalist for r in ranked] == [True, False, False]


def test_ties_share_their_mean_and_are_ordered_by_label_consistency() -> None:
    ranked = rank([measured("a", 0.5, 0.1, 0.5), measured("b", 0.6, 0.2, 0.5)], 2)
    assert [(r.measured.setting.name, r.texture_rank, r.mean_rank) for r in ranked] == [
        ("b", 1.5, 1.5),
        ("a", 1.5, 1.5),
    ]


def test_a_setting_without_figures_ranks_last_and_never_goes_on() -> None:
    ranked = rank([measured("none", math.nan, math.nan, math.nan), measured("a", 0.1, 9.0, 1.0)], 3)
    assert [(r.measured.setting.name, r.finalist) for r in ranked] == [("a", True), ("none", False)]
    assert ranking_table(ranked, ["validation"]).shown[0].rows[1][1] == "-"


# --- The config ----------------------------------------------------------------------------------------


def test_the_shipped_ranking_is_read() -> None:
    config = read_ranking(config_path("studies/lgg_ranking"))
    assert len({setting.name for setting in config.settings}) == len(config.settings) == 9
    assert config.settings[1].name == "start_step100_guidance_scale2_0"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"grid": {}}, "grid: no setting is named"),
        ({"grid": {"start_stp": [1]}}, "start_stp.*start_step"),
        ({"grid": {"start_step": []}}, r"grid\.start_step: expected a list"),
        ({"grid": {"seed": [1, 2]}}, r"grid\.seed: is the same in all"),
        ({"inference": {"output_dir": "x"}}, r"inference\.output_dir: is the same in all"),
        ({"inference": {"start_step": 3}}, r"grid\.start_step: stands in inference too"),
        ({"measures": {"reference": ["test"]}}, r"measures: 'reference' does not exist"),
        ({"reference": ["test"]}, "reference: measures on test patients, and finalists would be chosen"),
        ({"reference": ["train"]}, "reference: 'train' does not exist"),
        ({"variants": {"a": 3}}, r"variants\.a: expected an object"),
        ({"variants": {"a": {"seed": 3}}}, r"variants\.a\.seed: is the same in all"),
        ({"variants": {"a": {"start_stp": 3}}}, r"variants\.a.*start_stp"),
        ({"variants": {"start_step100_guidance_scale2 0": {}}}, "two settings have one name"),
        ({"images": 5}, "images"),
        ({"finalists": 4}, "3 at most"),
        ({"grid": {"start_step": [1], "steps": ["2-1", "2_1"]}}, "two settings have one name"),
    ],
)
def test_bad_rankings_are_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        replace(CONFIG, **changes)


def test_variants_stand_after_the_grid_and_change_what_they_name_alone() -> None:
    config = replace(CONFIG, variants={"adding": {"blend": "add"}}, inference={"blend": "replace", "seed": 3})
    assert [setting.name for setting in config.settings][-1] == "adding"
    assert config.settings[-1].ids == {"blend": "add"}
    ranked = rank([measured("adding", 0.9, 0.3, 0.3)], 1)
    assert as_study(ranked, {"steps": 5, "start_step": 9}, [])["sets"]["adding"]["overrides"] == {
        "steps": 5,
        "start_step": 1,
    }
    # Seeds and networks are the study's own.
    assert replace(config, inference={"steps": 5, "seed": 3, "ckpt": "a.pt"}).base == {"steps": 5}


def test_settings_of_other_ids_share_a_table() -> None:
    found = [measured("a", 0.9, 0.3, 0.3), measured("b", 0.8, 0.1, 0.6)]
    found[1] = replace(found[1], setting=Setting("b", {"blend": "add"}))
    records = ranking_table(rank(found, 1), ["validation"]).records
    assert [(record["start_step"], record["blend"]) for record in records] in (
        [(1, None), (None, "add")],
        [(None, "add"), (1, None)],
    )


def test_the_shipped_searches_are_read() -> None:
    search, generators, add = (
        read_ranking(config_path(f"studies/lgg_{name}")) for name in ("search", "generators", "add")
    )
    assert search.reference == (VALIDATION,)
    assert {"base", "no_harmonization", "add"} <= {setting.name for setting in search.settings}
    assert TEST in generators.reference
    assert generators.finalists == add.finalists == 0
    assert [setting.name for setting in add.settings] == ["replace", "add"]


def test_an_unknown_key_names_those_that_exist(tmp_path: Path) -> None:
    path = tmp_path / "ranking.json"
    path.write_text(json.dumps({"name": "a", "grids": {}}))
    with pytest.raises(ArgumentError, match=r"ranking\.json:.*'grids' does not exist; choose one of name"):
        read_ranking(path)


# --- A whole ranking ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a generation."""
    folder = tmp_path_factory.mktemp("run") / "out"
    config = make_config(folds=6, validation_share=0.5)
    lists = make_datalists(read_cohort(phantom_cohort), config)
    paths = write_datalists(lists, folder.parent / "splits")
    with gate(OPEN_GATE):
        names = {"datalist": str(next(iter(paths.values()))), "provenance": "full"}
        make_workflow(phantom_cohort, folder, num_images=20, **names).run()
    return folder


def save_segmenter(path: Path, patients: list[str]) -> str:
    torch.manual_seed(0)
    network = make_segmentation_network("unet", preset="smoke", in_channels=3, size=48)
    weights, preset = network.state_dict(), network.architecture
    save_checkpoint(path, weights, preset=preset, kind="segmenter", patients=patients, info={})
    return str(path)


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch, images: Path) -> list[Mapping[str, Any]]:
    """Copy images in the place of generating them, for `MADE` alone; the ids of each call."""
    calls: list[Mapping[str, Any]] = []

    def generate(output_dir: Path, overrides: Mapping[str, Any], line: Any) -> str:
        calls.append(overrides)
        if overrides["start_step"] == MADE:
            shutil.copytree(images, output_dir, dirs_exist_ok=True)
        return "" if overrides["start_step"] == MADE else "the gate rejected all"

    monkeypatch.setattr(ranking, "generate", generate)
    monkeypatch.setattr(texture_forest, "TREES", 5)
    monkeypatch.setattr(texture_forest, "REPEATS", 1)
    return calls


def test_each_setting_is_made_once_and_measured_on_validation_patients(
    phantom_cohort: Path,
    tmp_path: Path,
    generated: list[Mapping[str, Any]],
    images: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused: dict[str, Sequence[str]] = {}

    def load(path: Path, held_out: Mapping[str, Sequence[str]], *, device: torch.device) -> FrozenSegmenter:
        refused.update(held_out)
        return load_segmenter(path, held_out, device=device)

    monkeypatch.setattr(image_evaluation, "load_segmenter", load)
    config = replace(CONFIG, segmenter_ckpt=save_segmenter(tmp_path / "segmenter.pt", ["nobody"]))
    ranked = rank_settings(config, phantom_cohort, tmp_path / "out")
    asked = [(ids["start_step"], ids["guidance_scale"], ids["num_images"]) for ids in generated]
    assert asked == [(100, 2.0, 20), (MADE, 2.0, 20)]
    assert [(item.measured.setting.ids["start_step"], item.finalist) for item in ranked] == [
        (MADE, True),
        (100, False),
    ]
    splits = read_datalist(images / "datalist.json").patient_splits()
    shut = [patient for patient, split in splits.items() if split == TEST]
    measures = tmp_path / "out/runs" / ranked[0].measured.setting.id / "measures"
    record = json.loads((measures / "evaluation.json").read_text())
    assert record["settings"]["reference"] == VALIDATION
    with (measures / "texture_cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {splits[row["patient"]] for row in rows if row["set"] == REFERENCE} == {VALIDATION}
    assert not {row["patient"] for row in rows} & set(shut)
    # Nobody measures the test patients, and a segmenter that knows one is refused all the same.
    assert set(refused[TEST]) == set(shut)
    with (measures / "label_consistency.csv").open(newline="") as file:
        dice = next(float(row["dice"]) for row in csv.DictReader(file) if row["name"] == SYNTHETIC)
    assert ranked[0].measured.consistency.value == dice
    finalists = json.loads((tmp_path / "out" / "finalists.json").read_text())
    assert finalists["sets"]["start_step150_guidance_scale2_0"]["overrides"]["start_step"] == MADE
    assert finalists["test_patients"] == shut
    before = (tmp_path / "out/tables/ranking.csv").read_bytes()
    rank_settings(config, phantom_cohort, tmp_path / "out")
    assert len(generated) == 2
    assert (tmp_path / "out/tables/ranking.csv").read_bytes() == before
    with pytest.raises(StudyError, match=r"another configuration \(other images\)"):
        rank_settings(replace(config, images=21), phantom_cohort, tmp_path / "out")


def test_test_patients_are_measured_where_nothing_is_chosen(
    phantom_cohort: Path, tmp_path: Path, generated: list[Mapping[str, Any]], images: Path
) -> None:
    segmenter = save_segmenter(tmp_path / "segmenter.pt", ["nobody"])
    config = replace(CONFIG, segmenter_ckpt=segmenter, finalists=0, reference=[VALIDATION, TEST])
    config = replace(config, grid={}, variants={"made": {"start_step": MADE}, "not": {"start_step": 1}})
    config = replace(config, measures={**config.measures, "memorization": True})
    ranked = rank_settings(config, phantom_cohort, tmp_path / "out")
    assert not any(item.finalist for item in ranked)
    assert not (tmp_path / "out/finalists.json").exists()
    splits = read_datalist(images / "datalist.json").patient_splits()
    measures = tmp_path / "out/runs/settings/made/measures"
    with (measures / "texture_cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {splits[row["patient"]] for row in rows if row["set"] == REFERENCE} == {VALIDATION, TEST}
    with (tmp_path / "out/tables/quality.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["setting"] for line in lines} == {"made"}
    value = {(line["set"], line["region"], line["metric"]): line["value"] for line in lines}
    with (measures / "quality.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found = value[row["name"], row["region"], row["metric"]]
            assert (float(found) if found else None) == (float(row["value"]) if row["value"] else None)
    with (measures / "memorization_summary.csv").open(newline="") as file:
        audit = {row["figure"]: row for row in csv.DictReader(file)}
    copies = float(value[SYNTHETIC, "crops around the mask", "copies"])
    assert copies == float(audit["tumor_correlation"]["share"])
    shown = (tmp_path / "out/tables/quality.md").read_text()
    assert "against tumors of validation and test patients" in shown
    assert "| real training tumors (made) |" in shown
    assert "| made |" in shown


def test_a_setting_that_fails_stops_the_ranking_with_its_name_and_the_next_start_goes_on(
    phantom_cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def generate(output_dir: Path, overrides: Mapping[str, Any], line: Any) -> str:
        tried.append(overrides["start_step"])
        if overrides["start_step"] == MADE:
            raise DataError("gate.pt", "is damaged", "restore it")
        return "nothing"

    monkeypatch.setattr(ranking, "generate", generate)
    for expected in ([100, MADE], [100, MADE, MADE]):
        with pytest.raises(StudyError, match=r"start_step150_.*: the setting failed: gate\.pt: is damaged"):
            rank_settings(CONFIG, phantom_cohort, tmp_path / "out")
        assert tried == expected


def test_settings_without_enough_images_are_no_finalists(
    phantom_cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "generate", lambda *_: "the gate rejected all")
    with pytest.raises(DataError, match="no setting has enough images"):
        rank_settings(CONFIG, phantom_cohort, tmp_path / "out")
    record = json.loads((tmp_path / "out/runs" / CONFIG.settings[0].id / "done.json").read_text())
    assert record["remark"] == "not measured: the gate rejected all"


def test_a_setting_whose_images_the_gate_rejects_is_a_result_and_the_others_go_on(
    phantom_cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def generate(*_: Any) -> str:
        try:
            raise GateError("gate", "rejected 16 of 16 images", "check start_step")
        except GateError as error:
            raise RuntimeError("failed to run") from error

    monkeypatch.setattr(ranking, "generate", generate)
    with pytest.raises(DataError, match="no setting has enough images"):
        rank_settings(CONFIG, phantom_cohort, tmp_path / "out")
    for setting in CONFIG.settings:
        record = json.loads((tmp_path / "out/runs" / setting.id / "done.json").read_text())
        assert record["remark"] == "not measured: rejected 16 of 16 images"


def test_the_command_asks_for_its_config(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["rank", "--dataset_dir", "x", "--output_dir", "y"])
    assert stopped.value.code == 2
    assert "--config" in capsys.readouterr().err


# --- The reference of an evaluation -------------------------------------------------------------------------


@pytest.mark.parametrize("reference", [[], ["train"], ["test", "test"], "test"])
def test_a_reference_of_other_splits_is_refused(reference: Any, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="reference: expected a list of validation and test"):
        ImageEvaluation("data", "run", str(tmp_path), reference=reference)


# --- The drawing --------------------------------------------------------------------------------------


def test_the_drawing_has_a_row_for_each_setting_and_fills_the_finalists() -> None:
    found = [measured("a", 0.9, 0.3, 0.3), measured("b", 0.8, 0.1, 0.6), measured("c", math.nan, 0.2, 0.9)]
    drawing = ElementTree.fromstring(draw_ranking(rank(found, 1)))
    texts = [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[:3] == ["b", "a", "c"]
    dots = list(drawing.iter("{http://www.w3.org/2000/svg}circle"))
    assert [dot.get("fill") for dot in dots] == [
        *("#0f6b75", "#fff"),  # the third has no label consistency
        *("#0f6b75", "#fff", "#fff"),
        *("#0f6b75", "#fff", "#fff"),
    ]
    kid = [float(str(dot.get("cx"))) for dot in dots[2:5]]
    assert kid[0] < kid[2] < kid[1], "0.1, 0.2 and 0.3 from left to right"


def test_a_ranking_without_any_figure_is_drawn_too() -> None:
    nothing = [measured("a", math.nan, math.nan, math.nan)]
    assert "circle" not in draw_ranking(rank(nothing, 1))


def test_the_drawing_of_pairs_fills_what_is_surely_not_zero() -> None:
    lines = [
        PairedLine("a", "base", "label_dice", 0.2, 0.1, 0.3, 4, 3),
        PairedLine("a", "base", "flair_rim", 0.1, -0.1, 0.3, 4, 3),
        PairedLine("b", "base", "label_dice", -0.2, -0.3, -0.1, 4, 3),
    ]
    drawing = ElementTree.fromstring(draw_pairs(lines))
    texts = [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[:3] == ["a", "b", "label consistency, Dice"]
    assert "rim in FLAIR" in texts
    dots = list(drawing.iter("{http://www.w3.org/2000/svg}circle"))
    assert [dot.get("fill") for dot in dots] == ["#0f6b75", "#0f6b75", "#fff"]
    assert float(str(dots[1].get("cx"))) < float(str(dots[0].get("cx")))
    assert str(drawing.get("aria-label")).startswith("Differences to base: a: label consistency, Dice +0.200")
