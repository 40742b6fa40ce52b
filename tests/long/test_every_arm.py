"""The shipped study with all of its arms and sets, at its smallest scale, through the real runner."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcf_bundle.data.datalist import read_datalist
from mcf_bundle.data.lgg import read_volume
from mcf_bundle.data.splits import TEST, TRAIN
from mcf_bundle.data.volume import Volume
from mcf_bundle.networks.checkpoint import read_checkpoint
from mcf_bundle.resources import config_path
from mcf_bundle.study.config import GENERATED, StudyConfig
from mcf_bundle.study.config_file import read_config
from mcf_bundle.study.execution import BEST, TRAINING_FOLDER
from mcf_bundle.study.folder import StudyFolder
from mcf_bundle.study.given_set import read_given_set
from mcf_bundle.study.runner import run_study
from mcf_bundle.study.runs import ModelRun, SetRun, list_runs
from mcf_bundle.study.splits import list_splits, patients_of

pytestmark = pytest.mark.long

MODEL, INSTITUTION = "unet", "PA"
SPLITS = ("f0-p100", "f1-p100", f"i{INSTITUTION}-p100")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> StudyConfig:
    """The shipped study at `smoke`, with every arm, one model and a left-out institution."""
    content = json.loads(config_path("studies/lgg").read_text())
    smoke = content["scales"]["smoke"]
    smoke["choose"] = {"arms": list(content["arms"]), "models": [MODEL]}
    smoke["models"] = {MODEL: smoke["models"][MODEL]}
    smoke["institutions"] = [INSTITUTION]
    path = tmp_path_factory.mktemp("config") / "every_arm.json"
    path.write_text(json.dumps({**content, "scales": {"smoke": smoke}}))
    return read_config(path, "smoke")


@pytest.fixture(scope="module")
def study(config: StudyConfig, phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """Folder of the finished study."""
    folder = StudyFolder(tmp_path_factory.mktemp("study") / "out")
    run_study(config, phantom_cohort, folder.path)
    return folder


def manifest(study: StudyFolder, name: str, split: str) -> list[dict[str, Any]]:
    """Return the lines of a set's manifest."""
    lines = (study.of(f"sets/{name}/{split}") / "manifest.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def cases(study: StudyFolder, name: str, split: str) -> list[Volume]:
    """Return the images of a set with their masks, in the order of the manifest."""
    folder = study.of(f"sets/{name}/{split}")
    return [read_volume(folder / record["name"]) for record in manifest(study, name, split)]


def settings_of(study: StudyFolder, arm: str, split: str) -> list[dict[str, Any]]:
    """Return the config of each start of an arm's training."""
    path = study.of(f"segmentation/{MODEL}/{arm}/{split}/s0") / TRAINING_FOLDER / "run.json"
    return [start["config"] for start in json.loads(path.read_text())["runs"]]


def test_the_study_has_every_arm_and_set_that_is_shipped(config: StudyConfig) -> None:
    shipped = json.loads(config_path("studies/lgg").read_text())
    assert list(config.arms) == list(shipped["arms"])
    assert list(config.sets) == list(shipped["sets"])
    assert tuple(split.name for split in list_splits(config)) == SPLITS


def test_every_test_slice_is_scored_once_in_every_arm(study: StudyFolder, config: StudyConfig) -> None:
    with (study.path / "cases_segmentation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for split in list_splits(config):
        datalist = read_datalist(study.splits / f"{split.name}.json")
        expected = Counter(f"{e.patient}_{e.slice}" for e in datalist.entries if e.split == TEST)
        for arm in config.arms:
            place = (split.question, split.fold, arm)
            scored = Counter(r["case"] for r in rows if (r["question"], r["fold"], r["arm"]) == place)
            assert scored == expected, place


def test_every_arm_takes_the_same_number_of_steps(study: StudyFolder, config: StudyConfig) -> None:
    for run in list_runs(config):
        if isinstance(run, ModelRun):
            last = read_checkpoint(study.of(run.id) / TRAINING_FOLDER / "model_last.pt")
            assert last.info["epoch"] == config.models[MODEL].overrides["max_epochs"], run.id


def test_every_set_shows_training_patients_of_its_split_alone(
    study: StudyFolder, config: StudyConfig
) -> None:
    runs = [run for run in list_runs(config) if isinstance(run, SetRun)]
    assert len(runs) == len(config.sets) * len(SPLITS)
    for run in runs:
        training = set(patients_of(read_datalist(study.splits / f"{run.split.name}.json"), TRAIN))
        records = manifest(study, run.set_name, run.split.name)
        assert records, run.id
        assert {record[role]["patient"] for record in records for role in ("host", "donor")} <= training


@pytest.mark.parametrize("split", SPLITS)
def test_each_way_to_generate_gives_images_of_its_own(
    study: StudyFolder, config: StudyConfig, split: str
) -> None:
    names = [name for name, item in config.sets.items() if item.kind == GENERATED]
    assert len(names) == 5
    images = {name: np.stack([case.image[1] for case in cases(study, name, split)]) for name in names}
    for one, other in combinations(names, 2):
        assert not np.array_equal(images[one], images[other]), (one, other)
    told = {name: manifest(study, name, split)[0]["settings"] for name in names}
    assert told["mcf_no_guidance"]["guidance_scale"] == 0 != told["mcf"]["guidance_scale"]
    assert told["mcf_fusion1"]["fusion"] == "fusion1_independent" != told["mcf"]["fusion"]
    assert told["mcf_no_neighbors"]["neighbors"] is False
    assert [name for name in names if "mask" in told[name]] == ["mcf_mask"]
    assert all("neighbors" not in told[name] for name in names if name != "mcf_no_neighbors")


@pytest.mark.parametrize("split", SPLITS)
def test_the_negative_control_has_the_images_with_masks_of_others(study: StudyFolder, split: str) -> None:
    masks = {case.patient: case.mask for case in cases(study, "mcf", split)}
    pairs = zip(
        cases(study, "mcf", split),
        cases(study, "shuffled", split),
        manifest(study, "shuffled", split),
        strict=True,
    )
    for generated, shuffled, record in pairs:
        np.testing.assert_array_equal(shuffled.image, generated.image)
        np.testing.assert_array_equal(shuffled.mask, masks[record["masks_of"]])
        assert record["masks_of"] != generated.patient
    assert not any(case.mask.any() for case in cases(study, "hosts", split))


@pytest.mark.parametrize("split", SPLITS)
def test_arms_differ_in_what_they_train_on(study: StudyFolder, split: str) -> None:
    (only,) = settings_of(study, "strong_mcf_only", split)
    assert only["synthetic_share"] == 1.0
    (hosts,) = settings_of(study, "strong_hosts", split)
    assert hosts["synthetic_dir"] == str(study.of(f"sets/hosts/{split}"))
    (real,) = settings_of(study, "real_only", split)
    assert (real["synthetic_dir"], real["tumor_share"]) == (None, None)


@pytest.mark.parametrize("split", SPLITS)
def test_the_best_epoch_of_an_arm_with_pretraining_is_one_of_its_fine_tuning(
    study: StudyFolder, split: str
) -> None:
    first, then = settings_of(study, "strong_mcf_first", split)
    assert (first["synthetic_share"], then["synthetic_share"]) == (1.0, 0.0)
    best = read_checkpoint(
        study.of(f"segmentation/{MODEL}/strong_mcf_first/{split}/s0") / TRAINING_FOLDER / BEST
    )
    assert best.info["epoch"] > first["max_epochs"]
    assert best.info["synthetic_share"] == 0.0


def test_every_arm_stands_in_the_comparisons_and_in_the_costs(
    study: StudyFolder, config: StudyConfig
) -> None:
    compared = [*json.loads((study.path / "tables" / "secondary.json").read_text())]
    compared += json.loads((study.path / "tables" / "primary.json").read_text())
    pairs = {(row["arm"], row["against"]) for row in compared}
    assert {
        ("strong_mcf", "strong"),
        ("strong_shuffled", "strong"),
        ("strong_mcf", "strong_composites"),
    } <= pairs
    assert {name for pair in pairs for name in pair} == set(config.arms)
    costs = json.loads((study.path / "tables" / "costs.json").read_text())
    assert [row["arm"] for row in costs] == list(config.arms)
    assert all((row["generator_h"] > 0) == (config.arms[row["arm"]].synthetic is not None) for row in costs)


def test_a_generation_s_folder_is_what_another_generator_has_to_give(
    study: StudyFolder, tmp_path: Path
) -> None:
    folder, datalist = tmp_path / SPLITS[0], read_datalist(study.splits / f"{SPLITS[0]}.json")
    shutil.copytree(study.of(f"sets/mcf/{SPLITS[0]}"), folder)
    generator = {"name": "MCF", "patients": patients_of(datalist, TRAIN)}
    (folder / "generator.json").write_text(json.dumps(generator))
    given = read_given_set(folder, datalist)
    assert given.cases == tuple(record["name"] for record in manifest(study, "mcf", SPLITS[0]))
