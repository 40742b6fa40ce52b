"""An evaluation of a finished run on the phantom: what it compares, writes and refuses."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from mcf_bundle.data.datalist import read_datalist
from mcf_bundle.data.lgg import read_volume
from mcf_bundle.errors import ArgumentError, CheckpointError, DataError, LeakageError
from mcf_bundle.generation.image_evaluation import ImageEvaluation
from mcf_bundle.generation.image_evaluation_labels import load_segmenter
from mcf_bundle.generation.image_evaluation_measures import CROPS, FOREST_FIGURES, WHOLE
from mcf_bundle.generation.image_evaluation_profiles import draw_profiles
from mcf_bundle.generation.image_evaluation_sets import (
    COMPOSITES,
    HOSTS,
    LEVEL_TOLERANCE,
    REFERENCE,
    SYNTHETIC,
    TRAINING,
    gather_sets,
)
from mcf_bundle.metrics import texture_forest
from mcf_bundle.metrics.quality_figures import QUALITY_METRICS
from mcf_bundle.networks.checkpoint import save_checkpoint
from mcf_bundle.networks.segmentation_networks import make_segmentation_network
from mcf_bundle.resources import bundle_root
from tests.generation.bundle_runs import OPEN_GATE, gate, make_workflow

SETS = (SYNTHETIC, HOSTS, COMPOSITES, TRAINING)


@pytest.fixture(scope="module")
def run_dir(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run with twelve images."""
    folder = tmp_path_factory.mktemp("run") / "out"
    with gate(OPEN_GATE):
        make_workflow(phantom_cohort, folder, num_images=12).run()
    return folder


def save_segmenter(path: Path, patients: list[str], *, in_channels: int = 3, kind: str = "segmenter") -> Path:
    torch.manual_seed(0)
    network = make_segmentation_network("unet", preset="smoke", in_channels=in_channels, size=48)
    save_checkpoint(
        path,
        network.state_dict(),
        preset=network.architecture,
        kind=kind,
        patients=patients,
        info={},
    )
    return path


def evaluation(dataset_dir: Path, run_dir: Path, output_dir: Path, **overrides: Any) -> ImageEvaluation:
    """Build the evaluation from the shipped config."""
    config = ConfigParser()
    config.read_config(bundle_root("mcf_diffusion") / "configs" / "evaluate_images.json")
    places = {"dataset_dir": dataset_dir, "synthetic_dir": run_dir, "output_dir": output_dir}
    defaults = {"crop": 32, "resamples": 5, "memorization": False, "device": "$torch.device('cpu')"}
    for name, value in {**{k: str(v) for k, v in places.items()}, **defaults, **overrides}.items():
        config[name] = value
    return config.get_parsed_content("evaluation")


@pytest.fixture(scope="module")
def small_forests() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texture_forest, "TREES", 5)
        patch.setattr(texture_forest, "REPEATS", 1)
        yield


@pytest.fixture(scope="module")
def evaluated(
    phantom_cohort: Path, run_dir: Path, tmp_path_factory: pytest.TempPathFactory, small_forests: None
) -> tuple[ImageEvaluation, Path]:
    """An evaluation with a segmenter, and its folder."""
    folder = tmp_path_factory.mktemp("evaluated") / "out"
    weights = save_segmenter(folder.parent / "segmenter.pt", ["nobody"])
    made = evaluation(phantom_cohort, run_dir, folder, segmenter_ckpt=str(weights), memorization=True)
    made.run()
    return made, folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_sets_are_what_they_are_called(
    evaluated: tuple[ImageEvaluation, Path], phantom_cohort: Path, run_dir: Path
) -> None:
    data, gathered = evaluated[0].data, evaluated[0].gathered
    by_name = {record["host"]["patient"]: record for record in data.run.records}
    splits = read_datalist(run_dir / "datalist.json").patient_splits()
    names = {data.source.cohort.volumes[i].patient for i in range(len(data.source.cohort.volumes))}
    assert set(splits) == names
    assert all(case.patient in splits and splits[case.patient] == "train" for case in data.training.values())
    assert {splits[case.patient] for case in data.held_out.values()} == {"validation", "test"}
    assert {image.patient for image in gathered.reference} <= data.held_out.keys()
    assert {image.patient for image in gathered.sets[TRAINING]} <= data.training.keys()
    assert {image.patient for image in gathered.sets[SYNTHETIC]} <= by_name.keys()
    for host in gathered.sets[HOSTS]:
        volume = read_volume(phantom_cohort / data.training[host.patient].patient)
        stored = volume.image[volume.slice_numbers.index(host.slice)]
        np.testing.assert_array_equal(host.image, data.training[host.patient].scale.normalize(stored))


def test_hosts_differ_from_synthetic_images_where_the_mask_is(
    evaluated: tuple[ImageEvaluation, Path],
) -> None:
    sets = evaluated[0].gathered.sets
    for made, host, composite in zip(*(sets[name] for name in (SYNTHETIC, HOSTS, COMPOSITES)), strict=True):
        np.testing.assert_array_equal(made.mask, host.mask)
        change = np.abs(made.image - host.image).mean(0)
        assert change[made.mask].mean() > 5 * change[~made.mask].mean()
        assert not np.array_equal(composite.image, made.image)


def test_the_reference_has_as_many_images_at_the_same_levels(evaluated: tuple[ImageEvaluation, Path]) -> None:
    gathered = evaluated[0].gathered
    assert len(gathered.reference) == len(gathered.sets[SYNTHETIC]) > 0
    for made, real in zip(gathered.sets[SYNTHETIC], gathered.reference, strict=True):
        assert abs(made.level - real.level) <= LEVEL_TOLERANCE
    assert len({(image.patient, image.slice) for image in gathered.reference}) == len(gathered.reference)


def test_every_figure_is_written_with_n(evaluated: tuple[ImageEvaluation, Path]) -> None:
    folder = evaluated[1]
    quality = table(folder / "quality.csv")
    assert {row["region"] for row in quality} == {WHOLE, CROPS}
    assert len(quality) == 2 * len(SETS) * len(QUALITY_METRICS)
    texture = table(folder / "texture.csv")
    assert len(texture) == len(SETS) + (len(SETS) + 1) * len(FOREST_FIGURES)
    assert all(
        int(row["n"]) >= 0 and int(row["patients"]) > 0 for row in [*quality, *texture] if row["value"]
    )
    cases = table(folder / "texture_cases.csv")
    assert [row["set"] for row in cases].count(SYNTHETIC) == len(evaluated[0].gathered.reference)
    labels = table(folder / "label_consistency.csv")
    assert [row["name"] for row in labels] == [
        *(SYNTHETIC, COMPOSITES, REFERENCE, f"{REFERENCE} with the mask moved")
    ]
    assert len(table(folder / "label_consistency_cases.csv")) == sum(int(row["n"]) for row in labels)
    assert (folder / "memorization.csv").is_file()
    assert json.loads((folder / "evaluation.json").read_text())["settings"]["crop"] == 32


def test_the_document_names_every_file(evaluated: tuple[ImageEvaluation, Path]) -> None:
    document = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text()
    section = document.split("## Evaluating a finished run")[1]
    rows = section.split("| File | Content |")[1].split("\n\n")[0].splitlines()[2:]
    named = {name.strip("/") for row in rows for name in re.findall(r"`([^`]+)`", row.split(" | ")[0])}
    written = {path.name for path in evaluated[1].iterdir()}
    assert written <= named
    assert named - written <= {"copies"}, "no copy, no picture"


def test_the_page_needs_nothing_else_and_has_every_section(evaluated: tuple[ImageEvaluation, Path]) -> None:
    page = (evaluated[1] / "evaluation.html").read_text()
    for title in ("Image quality", "Profiles", "Texture", "Label consistency", "Memorization", "Settings"):
        assert f">{title}</h2>" in page
    assert page.count("<svg ") == 2
    assert "<script" not in page
    assert "http" not in page.replace('xmlns="http://www.w3.org/2000/svg"', "").replace("http-equiv", "")
    assert "doing nothing" in page


def test_without_a_segmenter_the_page_says_so(
    phantom_cohort: Path, run_dir: Path, tmp_path: Path, evaluated: tuple[ImageEvaluation, Path]
) -> None:
    plain = evaluation(phantom_cohort, run_dir, tmp_path / "out")
    vars(plain).update(data=evaluated[0].data, gathered=evaluated[0].gathered)
    plain.run()
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert "No segmenter was given" in page
    assert "Left out (memorization)." in page
    assert not (tmp_path / "out" / "label_consistency.csv").exists()


def test_same_seed_same_tables(
    phantom_cohort: Path, run_dir: Path, tmp_path: Path, evaluated: tuple[ImageEvaluation, Path]
) -> None:
    again = evaluation(phantom_cohort, run_dir, tmp_path / "out")
    vars(again).update(data=evaluated[0].data, gathered=evaluated[0].gathered)
    again.run()
    for name in ("quality.csv", "texture.csv", "texture_cases.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (evaluated[1] / name).read_bytes()


# --- Refusals ----------------------------------------------------------------------------------------


def test_networks_that_know_the_held_out_patients_are_refused(
    phantom_cohort: Path, run_dir: Path, tmp_path: Path, evaluated: tuple[ImageEvaluation, Path]
) -> None:
    data = evaluated[0].data
    (known,) = data.held_out_patients["test"][:1]
    weights = save_segmenter(tmp_path / "segmenter.pt", [known])
    with pytest.raises(LeakageError, match=f"segmenter_ckpt: was trained on patient {known}"):
        load_segmenter(weights, data.held_out_patients, device=torch.device("cpu"))
    gate_weights = torch.load(bundle_root("mcf_diffusion") / "models" / "model_gate.pt", weights_only=True)
    path = tmp_path / "gate.pt"
    save_checkpoint(
        path,
        gate_weights["model"],
        preset=gate_weights["meta"]["preset"],
        kind="gate",
        patients=[known],
        info={},
    )
    made = evaluation(phantom_cohort, run_dir, tmp_path / "out", extractor_weights=str(path))
    vars(made).update(data=data)
    with pytest.raises(LeakageError, match="extractor_weights: was trained on"):
        made.run()
    assert not (tmp_path / "out").exists()


def test_other_checkpoints_than_a_slice_s_segmenter_are_refused(tmp_path: Path) -> None:
    device = torch.device("cpu")
    with pytest.raises(CheckpointError, match="wants 9 channels"):
        load_segmenter(save_segmenter(tmp_path / "nine.pt", [], in_channels=9), {}, device=device)
    with pytest.raises(CheckpointError, match="holds a gate"):
        load_segmenter(save_segmenter(tmp_path / "gate.pt", [], kind="gate"), {}, device=device)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_segmenter(tmp_path / "none.pt", {}, device=device)


def test_folders_that_are_no_run_or_hold_other_data_are_refused(
    phantom_cohort: Path, run_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"plan.jsonl: is missing"):
        evaluation(phantom_cohort, tmp_path / "empty", tmp_path / "out").run()
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy)
    count = len((copy / "manifest.jsonl").read_text().splitlines())
    (copy / "manifest.jsonl").write_text("")
    facts = json.loads((copy / "run.json").read_text())
    facts["rows not written"] = [{"row": row, "reasons": []} for row in range(count)]
    (copy / "run.json").write_text(json.dumps(facts))
    with pytest.raises(DataError, match="the run has no images"):
        evaluation(phantom_cohort, copy, tmp_path / "out").run()
    with pytest.raises(ArgumentError, match="output_dir: lies in the folder of the run"):
        ImageEvaluation(str(phantom_cohort), str(run_dir), str(run_dir / "evaluation"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"extractor": "resnet"}, "there is no extractor 'resnet'; choose one of gate"),
        ({"crop": 0}, "crop: expected a whole number"),
        ({"resamples": 0}, "resamples: expected"),
        ({"memorization": "yes"}, "memorization: expected True or False"),
        ({"device": "tpu9"}, "device: "),
    ],
)
def test_bad_settings_are_refused_at_once(overrides: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=message):
        ImageEvaluation("data", str(tmp_path / "run"), str(tmp_path / "out"), **overrides)


def test_too_few_images_are_refused(evaluated: tuple[ImageEvaluation, Path]) -> None:
    data = evaluated[0].data
    few = replace(data, run=replace(data.run, records=data.run.records[:5]))
    with pytest.raises(DataError, match=r"of 5 synthetic images have a match .* 6 are needed"):
        gather_sets(few)


def test_a_crop_larger_than_the_images_is_refused_before_anything_is_written(
    phantom_cohort: Path, run_dir: Path, tmp_path: Path, evaluated: tuple[ImageEvaluation, Path]
) -> None:
    made = evaluation(phantom_cohort, run_dir, tmp_path / "out", crop=65)
    vars(made).update(data=evaluated[0].data, gathered=evaluated[0].gathered)
    with pytest.raises(ArgumentError, match="crop: a square of 65 pixels does not fit"):
        made.run()
    assert not (tmp_path / "out").exists()


# --- Drawings ----------------------------------------------------------------------------------------


def test_a_drawing_has_a_curve_a_set_and_panel_at_the_right_height() -> None:
    """Images of intensity 0.5 and 0.25 in a panel whose axis ends at 0.6."""
    half, quarter = (np.full((2, 3, 8, 8), value, np.float32) for value in (0.5, 0.25))
    tree = ElementTree.fromstring(draw_profiles({"<a>": half}, quarter, reference_name="real"))
    lines = [node for node in tree.iter() if node.tag.endswith("polyline")]
    assert len(lines) == 6 * 2
    heights = [float(node.get("points", "").split()[0].split(",")[1]) for node in lines[:2]]
    floor, top = 170 - 28, 24
    expected = [floor - value / 0.6 * (floor - top) for value in (0.25, 0.5)]
    assert heights == pytest.approx(expected, abs=0.06)
