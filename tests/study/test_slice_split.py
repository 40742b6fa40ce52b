"""Split by slice: what leaks there leaks nowhere else, and how much it flatters is measured."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mcf_bundle.data.datalist import Datalist, make_datalist, read_datalist, to_json
from mcf_bundle.data.lgg import Cohort, read_cohort
from mcf_bundle.data.splits import TEST, TRAIN, VALIDATION
from mcf_bundle.data.training_data import TrainingData
from mcf_bundle.errors import ArgumentError, CheckpointError, DataError, LeakageError
from mcf_bundle.generation.image_evaluation_labels import load_segmenter
from mcf_bundle.metrics.case_table import CLASSIFICATION_COLUMNS
from mcf_bundle.networks.checkpoint import hash_patient, read_checkpoint, save_checkpoint
from mcf_bundle.networks.classification_ensemble import load_classifiers
from mcf_bundle.networks.classification_networks import make_classification_network
from mcf_bundle.networks.known_patients import refuse_known
from mcf_bundle.resources import config_path
from mcf_bundle.study.config import Model, Primary, SliceSplit, StudyConfig
from mcf_bundle.study.config_file import read_config
from mcf_bundle.study.execution import BEST, TRAINING_FOLDER, Workplace, execute
from mcf_bundle.study.folder import StudyFolder
from mcf_bundle.study.gather import CASES_FILE
from mcf_bundle.study.report import write_report
from mcf_bundle.study.runs import ModelRun, list_runs
from mcf_bundle.study.slice_split import KINDS, REMARK, SliceSplitData, load_classifier
from mcf_bundle.study.split_comparison import SHOWN, split_table
from mcf_bundle.study.splits import BY_SLICE, CROSS_VALIDATION, Split, make_datalists, write_datalists
from tests.study.simulated import CONFIG as SIMULATED
from tests.study.simulated import run, segmentation_row, write_gathered
from tests.study.studies import make_config

CPU = torch.device("cpu")

LGG_CPU = "c46543d50a2fee57f4c107cbc18099f52669fa866cd3bf7405967c3bd390b85a"
"""Hash of the shipped study at the scale cpu from before there was a key for splits by slice.

Its generator had the defaults of that time, which its config names since they changed.
"""


def smoke_config() -> StudyConfig:
    config = read_config(config_path("studies/lgg_by_slice"), "smoke")
    small = {"network_name": "shufflenet", "size": 64, "batch_size": 4, "epoch_length": 1, "max_epochs": 1}
    models = {"unet": config.models["unet"], "shufflenet": Model("tumor_classification", small)}
    return replace(config, models=models, slice_split=SliceSplit(list(models), ["strong"], [0]))


CONFIG = smoke_config()


@pytest.fixture(scope="module")
def cohort(phantom_cohort: Path) -> Cohort:
    return read_cohort(phantom_cohort)


@pytest.fixture(scope="module")
def finished(
    phantom_cohort: Path, cohort: Cohort, tmp_path_factory: pytest.TempPathFactory
) -> dict[ModelRun, Path]:
    """The runs by slice of a fold with their folders, trained and evaluated."""
    place = make_place(phantom_cohort, cohort, tmp_path_factory.mktemp("study"))
    runs = [item for item in list_runs(CONFIG) if isinstance(item, ModelRun) and item.split.name == "s0-p100"]
    assert [execute(item, place) for item in runs] == [REMARK, REMARK]
    return {item: place.folder.of(item.id) for item in runs}


def make_place(dataset_dir: Path, cohort: Cohort, path: Path) -> Workplace:
    folder, datalists = StudyFolder(path), make_datalists(cohort, CONFIG)
    for item in list_runs(CONFIG):
        folder.of(item.id).mkdir(parents=True)
    return Workplace(CONFIG, dataset_dir, folder, datalists, write_datalists(datalists, folder.splits))


@pytest.fixture(scope="module")
def datalists(cohort: Cohort) -> dict[str, Datalist]:
    return {split.name: item for split, item in make_datalists(cohort, CONFIG).items()}


@pytest.fixture
def datalist(cohort: Cohort, tmp_path: Path) -> Path:
    path = tmp_path / "datalist.json"
    path.write_text(to_json(make_datalist(cohort, split_by="slice")))
    return path


# --- Config and splits -------------------------------------------------------------------------------


def test_a_study_without_a_split_by_slice_keeps_its_hash(tmp_path: Path) -> None:
    content = json.loads(config_path("studies/lgg").read_text())
    path = tmp_path / "lgg.json"
    path.write_text(json.dumps({**content, "generator": {}}))
    assert read_config(path, "cpu").hash == LGG_CPU


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (SliceSplit(["vnet"], ["strong"], [0]), r"slice_split\.models: 'vnet' does not exist; choose one of"),
        (SliceSplit(["unet"], ["weak"], [0]), r"slice_split\.arms: 'weak' does not exist"),
        (SliceSplit(["unet"], ["composites"], [0]), "'composites' has synthetic slices"),
        (SliceSplit(["unet"], ["strong"], [7]), "7 is none of the study's seeds"),
        (SliceSplit([], ["strong"], [0]), r"slice_split\.models: expected a list"),
    ],
)
def test_a_split_by_slice_of_what_is_not_there_is_refused(asked: SliceSplit, problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        make_config(slice_split=asked)


def test_it_stands_beside_numbered_folds() -> None:
    with pytest.raises(ArgumentError, match="beside numbered folds"):
        make_config(slice_split=SliceSplit(["unet"], ["strong"], [0]), folds=[["a"], ["b"]])


def test_its_runs_are_those_that_were_asked_for_and_come_last() -> None:
    config = make_config(seeds=[0, 1], slice_split=SliceSplit(["resnet18"], ["strong"], [1]))
    ids = [item.id for item in list_runs(config)]
    assert ids[-2:] == [f"classification/resnet18/strong/s{fold}-p100/s1" for fold in (0, 1)]
    assert ids[:-2] == [item.id for item in list_runs(make_config(seeds=[0, 1]))]


def test_each_slice_tests_once_and_the_shares_are_those_of_the_split_by_patient(cohort: Cohort) -> None:
    config = make_config(folds=3, validation_share=0.25, slice_split=SliceSplit(["unet"], ["strong"], [0]))
    made = [item for split, item in make_datalists(cohort, config).items() if split.question == BY_SLICE]
    tested = Counter((e.patient, e.slice) for item in made for e in item.entries if e.split == TEST)
    everything = {(v.patient, number) for v in cohort.volumes for number in v.slice_numbers}
    assert tested == Counter(everything)
    for item in made:
        counts = Counter(entry.split for entry in item.entries)
        assert item.leaks
        assert counts[TEST] == pytest.approx(len(everything) / 3, abs=1)
        assert counts[VALIDATION] == pytest.approx(len(everything) / 6, abs=1)
        assert counts[TRAIN] == pytest.approx(len(everything) / 2, abs=2)


# --- The data ------------------------------------------------------------------------------------------


def test_training_data_still_refuses_a_split_by_slice(phantom_cohort: Path, datalist: Path) -> None:
    with pytest.raises(LeakageError, match="has slices in"):
        TrainingData(phantom_cohort, datalist=datalist).slices(TRAIN)


def test_slices_are_those_of_the_list_and_a_warning_says_that_they_leak(
    phantom_cohort: Path, datalist: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = SliceSplitData(phantom_cohort, datalist=datalist)
    entries = read_datalist(datalist).entries
    for split in (TRAIN, VALIDATION, TEST):
        expected = sorted((e.patient, e.slice) for e in entries if e.split == split)
        refs = data.slices(split, min_foreground=0)
        assert sorted((ref.volume.patient, ref.volume.slice_numbers[ref.index]) for ref in refs) == expected
    assert [record.message for record in caplog.records if REMARK in record.message] == [
        f"{datalist}: {REMARK}"
    ]


def test_it_takes_no_synthetic_slices_and_no_split_by_patient(
    phantom_cohort: Path, cohort: Cohort, datalist: Path, tmp_path: Path
) -> None:
    with pytest.raises(ArgumentError, match="synthetic_dir"):
        SliceSplitData(phantom_cohort, datalist=datalist, synthetic_dir=tmp_path)
    (tmp_path / "by_patient.json").write_text(to_json(make_datalist(cohort)))
    with pytest.raises(DataError, match="is split by patient"):
        SliceSplitData(phantom_cohort, datalist=tmp_path / "by_patient.json").slices(TRAIN)


# --- Runs on it -------------------------------------------------------------------------------------------


def test_every_test_slice_is_scored_once(
    finished: dict[ModelRun, Path], datalists: dict[str, Datalist]
) -> None:
    expected = {f"{e.patient}_{e.slice}" for e in datalists["s0-p100"].entries if e.split == TEST}
    for folder in finished.values():
        with (folder / CASES_FILE).open(newline="") as file:
            assert Counter(row["case"] for row in csv.DictReader(file)) == Counter(expected)


def test_its_checkpoints_are_taken_nowhere_else(finished: dict[ModelRun, Path], cohort: Cohort) -> None:
    everybody = [volume.patient for volume in cohort.volumes]
    classifier = make_classification_network("shufflenet", in_channels=3, size=64)
    loaders: dict[str, Callable[[Path], Any]] = {
        "segmentation": lambda path: load_segmenter(path, {}, device=CPU),
        "classification": lambda path: load_classifiers(classifier, path, device=CPU),
    }
    for item, folder in finished.items():
        path = folder / TRAINING_FOLDER / BEST
        checkpoint = read_checkpoint(path)
        assert checkpoint.info["split_by"] == "slice"
        assert checkpoint.kind == KINDS[item.task]
        for patient in everybody:
            with pytest.raises(LeakageError, match="was trained on"):
                refuse_known([patient], checkpoint, where="ckpt", split=VALIDATION)
        with pytest.raises(CheckpointError, match="by_slice"):
            loaders[item.task](path)


def test_no_slice_is_tested_that_the_checkpoint_was_trained_or_chosen_on(
    finished: dict[ModelRun, Path], datalists: dict[str, Datalist]
) -> None:
    hashes: dict[str, set[str]] = {TRAIN: set(), VALIDATION: set(), TEST: set()}
    for entry in datalists["s0-p100"].entries:
        hashes[entry.split].add(hash_patient(f"{entry.patient} slice {entry.slice}"))
    for folder in finished.values():
        checkpoint = read_checkpoint(folder / TRAINING_FOLDER / BEST)
        assert hashes[TRAIN] <= checkpoint.patients
        assert hashes[VALIDATION] <= checkpoint.validation_patients
        assert not hashes[TEST] & (checkpoint.patients | checkpoint.validation_patients)


def test_a_checkpoint_of_a_split_by_patient_is_no_classifier_by_slice(tmp_path: Path) -> None:
    network = make_classification_network("shufflenet", in_channels=3, size=64)
    weights, architecture = network.state_dict(), network.architecture
    path = tmp_path / "model.pt"
    save_checkpoint(path, weights, preset=architecture, kind="tumor_classifier", patients=["p"], info={})
    with pytest.raises(CheckpointError, match="holds a tumor_classifier"):
        load_classifier(network, path, device=CPU)


# --- The comparison ----------------------------------------------------------------------------------------

GAIN, PATIENTS, SLICES = 0.1, 6, 6


def by_both_ways(gain: float = GAIN) -> list[dict[str, Any]]:
    """Dice 0.5 + 0.02 p for patient p, and `gain` more by slice, where folds part a patient's slices."""
    rows = []
    for patient in range(PATIENTS):
        for number in range(SLICES):
            dice = 0.5 + 0.02 * patient
            for question, fold, more in ((CROSS_VALIDATION, patient % 3, 0.0), (BY_SLICE, number % 3, gain)):
                for seed in (0, 1):
                    one = {**run("strong", fold, seed), "question": question}
                    rows.append({**one, **segmentation_row(f"p{patient}", number, dice + more)})
    order = ("question", "fold", "seed", "patient", "slice")
    return sorted(rows, key=lambda row: tuple(str(row[name]) for name in order))


ASKED = replace(SIMULATED, slice_split=SliceSplit(["unet"], ["strong"], [0, 1]))


def test_the_difference_is_the_gain_and_the_intervals_are_paired(tmp_path: Path) -> None:
    table = split_table(write_gathered(tmp_path / "cases.csv", by_both_ways()), None, ASKED, resamples=200)
    assert table is not None
    found = {row["measure"]: row for row in table.records}
    dice = found["dice"]
    assert (dice["by_patient"], dice["by_slice"]) == pytest.approx((0.55, 0.65))
    assert dice["by_patient_low"] < 0.54 < 0.56 < dice["by_patient_high"]
    # Every patient gains the same, so the paired difference has no spread.
    assert (dice["difference_low"], dice["difference_high"]) == pytest.approx((GAIN, GAIN))
    assert (dice["patients"], dice["tumor_slices"], dice["slices"], dice["seeds"]) == (6, 24, 36, 2)
    assert found["volume_dice"]["difference"] == pytest.approx(GAIN)
    assert found["false_positive_share"]["difference"] == 0


def test_the_auc_is_that_of_all_folds_together(tmp_path: Path) -> None:
    rows = []
    for question, noise in ((BY_SLICE, 0.0), (CROSS_VALIDATION, 1.0)):
        for fold in range(2):
            for patient in range(4):
                for number in range(4):
                    if (number if question == BY_SLICE else patient) % 2 != fold:
                        continue
                    label = number // 2
                    probability = 0.2 + 0.6 * label if not noise else 0.5
                    case = {"case": f"p{patient}_{number}", "patient": f"p{patient}", "slice": number}
                    one = {**run("strong", fold, 0, "resnet18"), "question": question}
                    rows.append({**one, **case, "label": label, "probability": probability})
    rows.sort(key=lambda row: (row["question"], row["fold"]))
    path = write_gathered(tmp_path / "cases.csv", rows, CLASSIFICATION_COLUMNS)
    table = split_table(None, path, ASKED, resamples=20)
    assert table is not None
    auc = next(row for row in table.records if row["measure"] == "auc")
    assert (auc["by_patient"], auc["by_slice"], auc["difference"]) == (0.5, 1.0, 0.5)


def test_two_splits_that_were_judged_on_different_slices_are_refused(tmp_path: Path) -> None:
    rows = by_both_ways()
    path = write_gathered(
        tmp_path / "cases.csv",
        [row for row in rows if row["case"] != rows[0]["case"] or row["question"] == BY_SLICE],
    )
    with pytest.raises(DataError, match="not judged on the same slices"):
        split_table(path, None, ASKED)


def test_the_report_has_both_splits_side_by_side_and_nothing_else_by_slice(tmp_path: Path) -> None:
    arms = [{**row, "arm": "real_only"} for row in by_both_ways() if row["question"] == CROSS_VALIDATION]
    rows = sorted(
        [*arms, *by_both_ways()], key=lambda row: (row["question"], row["arm"], row["fold"], row["seed"])
    )
    config = replace(
        ASKED,
        arms={name: SIMULATED.arms[name] for name in ("real_only", "strong")},
        primary=Primary("unet", "strong", "real_only", "dice"),
    )
    path = write_gathered(tmp_path / "cases.csv", rows)
    common = {"classification_csv": None, "provenance": {}, "resamples": 20}
    write_report(tmp_path, segmentation_csv=path, config=config, **common)
    content = json.loads((tmp_path / "report.json").read_text())
    assert [row["measure"] for row in content["split_by_slice"]] == list(SHOWN["segmentation"])
    assert {row["question"] for row in content["segmentation"]} == {CROSS_VALIDATION}
    assert not any(BY_SLICE in warning for warning in content["warnings"])
    assert "Split by slice beside split by patient" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "tables" / "split_by_slice.csv").exists()


def test_without_a_split_by_slice_there_is_no_table(tmp_path: Path) -> None:
    path = write_gathered(tmp_path / "cases.csv", by_both_ways())
    assert split_table(path, None, SIMULATED) is None


def test_names_of_splits_say_how_they_were_made() -> None:
    assert Split(BY_SLICE, "1", 1.0).name == "s1-p100"
