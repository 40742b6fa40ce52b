"""The bundle of classifiers of slices, run as MONAI runs it: what it leaves, resumes and refuses."""

from __future__ import annotations

import csv
import functools
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
import torch
from monai.bundle import ConfigWorkflow
from monai.data import MetaTensor
from monai.utils import set_determinism
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mcf_bundle.data.classification_slices import choose_slices
from mcf_bundle.data.generated_case import is_generated
from mcf_bundle.data.level_matching import BIN_WIDTH
from mcf_bundle.data.lgg import read_cohort
from mcf_bundle.data.training_data import TrainingData
from mcf_bundle.errors import ArgumentError, CheckpointError, DataError, LeakageError
from mcf_bundle.generation.writer import case_name, write_case
from mcf_bundle.metrics import classification_summary, handlers
from mcf_bundle.metrics.case_table import CLASSIFICATION_COLUMNS, read_case_table
from mcf_bundle.networks.checkpoint import hash_patient, read_checkpoint, save_checkpoint
from mcf_bundle.networks.classification_ensemble import KIND
from mcf_bundle.networks.classification_networks import make_classification_network
from mcf_bundle.training import classification_report
from tests.bundles.config_files import ROOT
from tests.bundles.training_runs import error_of, state

CONFIGS = ROOT / "bundles" / "tumor_classification" / "configs"
SMALL = {"network_name": "shufflenet", "size": None, "device": torch.device("cpu")}

Run = Callable[..., ConfigWorkflow]

pytestmark = pytest.mark.usefixtures("anatomy_measured_once")


@pytest.fixture(scope="module", autouse=True)
def _intervals_are_coarse() -> Iterator[None]:
    """Draw twenty resamples for each interval: two thousand take most of a test's time."""
    coarse = functools.partial(classification_summary.summarize_classification, resamples=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handlers, "summarize_classification", coarse)
        patch.setattr(
            classification_report,
            "summarize_classification",
            lambda rows, **settings: coarse(rows, **(settings | {"resamples": 20})),
        )
        yield


@pytest.fixture(autouse=True)
def _random_numbers_are_left_alone() -> Iterator[None]:
    """Undo `set_determinism` of the bundle."""
    yield
    set_determinism(None)


def run(*names: str, **overrides: Any) -> ConfigWorkflow:
    files = [str(CONFIGS / f"{name}.json") for name in names]
    kind = "inference" if names == ("inference",) else "train"
    workflow = ConfigWorkflow(files, workflow_type=kind, logging_file=False, **(SMALL | overrides))
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return workflow


@pytest.fixture
def train(phantom_cohort: Path, tmp_path: Path) -> Run:
    """Train one epoch of two steps, unless told otherwise."""
    short = {"max_epochs": 1, "epoch_length": 2, "batch_size": 4, "dataset_dir": str(phantom_cohort)}

    def call(**overrides: Any) -> ConfigWorkflow:
        return run("train", **(short | {"ckpt_dir": str(tmp_path / "run")} | overrides))

    return call


def leaves(node: Any) -> list[Any]:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else None
    return [node] if children is None else [leaf for child in children for leaf in leaves(child)]


def same(one: Any, other: Any) -> bool:
    pairs = zip(leaves(one), leaves(other), strict=True)
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)


# --- Training --------------------------------------------------------------------------------------


def test_a_short_run_leaves_weights_curves_and_its_story(train: Run, tmp_path: Path) -> None:
    data = train(input_slices=3, size=32).parser.get_parsed_content("data")
    folder = tmp_path / "run"
    names = {path.name for path in folder.iterdir() if not path.name.startswith("events.")}
    assert names == {"model_last.pt", "model_best.pt", "training_state.pt", "run.json"}
    stored = read_checkpoint(folder / "model_best.pt")
    assert (stored.kind, stored.preset) == (KIND, "shufflenet-9-32")
    assert stored.patients == {hash_patient(item.patient) for item in data.volumes("train")}
    assert stored.validation_patients == {hash_patient(item.patient) for item in data.volumes("validation")}
    assert 0 <= stored.info["val_auc"] <= 1
    recorded = EventAccumulator(str(folder))
    recorded.Reload()
    assert {"train_loss", "train_loss/class", "val_auc", "val_balanced_accuracy"} <= set(
        recorded.Tags()["scalars"]
    )


def test_two_epochs_at_once_and_one_after_the_other_end_in_the_same_bytes(train: Run, tmp_path: Path) -> None:
    once, twice = tmp_path / "once", tmp_path / "twice"
    train(max_epochs=2, ckpt_dir=str(once))
    train(max_epochs=1, ckpt_dir=str(twice))
    first = state(twice)
    train(max_epochs=2, ckpt_dir=str(twice))
    assert same(state(once), state(twice))
    assert not same(first["network"], state(once)["network"])
    assert (once / "model_last.pt").read_bytes() == (twice / "model_last.pt").read_bytes()


def test_a_fold_s_patients_validate_and_the_others_train(train: Run, tmp_path: Path) -> None:
    checkpoints = []
    for fold in range(2):
        train(fold=fold, folds=2, ckpt_dir=str(tmp_path / str(fold)))
        checkpoints.append(read_checkpoint(tmp_path / str(fold) / "model_last.pt"))
    assert checkpoints[0].validation_patients == checkpoints[1].patients
    assert checkpoints[1].validation_patients == checkpoints[0].patients


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"network_name": "resnet50"}, "network_name: 'resnet50' does not exist; choose one of resnet18, "),
        ({"loss": "dice"}, "loss: 'dice' does not exist; choose one of focal, cross_entropy"),
        ({"slices": "some"}, "slices: 'some' does not exist; choose one of all, matched"),
        ({"input_slices": 2}, "input_slices: expected one of 1, 3, got 2"),
        ({"augmentation": "weak"}, "augmentation: 'weak' does not exist"),
        ({"precision": "float16"}, "precision: float16 underflows in training"),
        ({"tumor_share": 2}, "tumor_share: "),
        ({"synthetic_share": 0.5}, "synthetic_share: "),
        ({"pretrained": "no/weights.pth"}, "no/weights.pth: no such file of weights; download https://"),
        ({"patience": 0}, "patience: "),
        ({"fold": 5}, "fold: "),
    ],
    ids=lambda item: next(iter(item)) if isinstance(item, dict) else "",
)
def test_a_wrong_setting_is_refused_by_name_before_anything_is_written(
    train: Run, tmp_path: Path, overrides: dict[str, Any], message: str
) -> None:
    assert str(error_of(train, **overrides)).startswith(message)
    assert not list(tmp_path.rglob("*.pt"))


def test_a_run_of_another_network_is_not_mixed_into_a_finished_one(train: Run) -> None:
    train()
    error = error_of(train, max_epochs=2, size=32)
    assert isinstance(error, CheckpointError)
    assert error.problem == "belongs to a run with preset: 'shufflenet-3-full'"


# --- Generated slices ------------------------------------------------------------------------------


def generated(folder: Path, dataset: Path, split: str) -> Path:
    """Write a generation's output: a case of each patient of a split, who is host and donor."""
    folder.mkdir()
    data = TrainingData(dataset)
    volumes = {volume.patient: volume for volume in read_cohort(dataset).volumes}
    records = []
    for row, volume in enumerate(data.volumes(split)):
        middle = 1 + int(volume.mask[1:-1].sum((1, 2)).argmax())
        triplet = slice(middle - 1, middle + 2)
        name = case_name(volume.institution, row)
        write_case(folder, name, volumes[volume.patient].image[triplet], volume.mask[triplet])
        shown = {"patient": volume.patient, "slice": volume.slice_numbers[middle]}
        records.append(json.dumps({"name": name, "host": shown, "donor": shown}))
    (folder / "manifest.jsonl").write_text("\n".join(records))
    return folder


def test_the_share_of_synthetic_tumor_slices_is_a_parameter(
    train: Run, tmp_path: Path, phantom_cohort: Path
) -> None:
    folder = generated(tmp_path / "synthetic", phantom_cohort, "train")
    workflow = train(synthetic_dir=str(folder), synthetic_share=0.25, batch_size=8)
    sampler = workflow.parser.get_parsed_content("train#sampler")
    groups = workflow.parser.get_parsed_content("train#groups")
    drawn = [groups[position] for position in sampler]
    assert [drawn.count(group) for group in range(3)] == [8, 6, 2]
    hosts = {hash_patient(item.patient) for item in TrainingData(phantom_cohort).volumes("train")}
    assert hosts < read_checkpoint(tmp_path / "run" / "model_last.pt").patients


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_synthetic_set_made_from_held_out_patients_is_refused(
    train: Run, tmp_path: Path, phantom_cohort: Path, split: str
) -> None:
    folder = generated(tmp_path / "synthetic", phantom_cohort, split)
    error = error_of(train, synthetic_dir=str(folder))
    assert isinstance(error, LeakageError)
    assert f"who belongs to the {split} set" in error.problem
    assert not list(tmp_path.rglob("*.pt"))


def test_matched_slices_have_both_classes_alike_at_every_level_and_generated_ones_at_their_host_s(
    tmp_path: Path, phantom_cohort: Path
) -> None:
    folder = generated(tmp_path / "synthetic", phantom_cohort, "train")
    data = TrainingData(phantom_cohort, synthetic_dir=folder)
    chosen = choose_slices(data, "train", "matched", repeat=True)
    labels = [int(item.label) for item in chosen]
    assert 2 * sum(labels) == len(labels)
    assert any(is_generated(item.volume.patient) for item in chosen)
    (folder / "manifest.jsonl").write_text(
        (folder / "manifest.jsonl").read_text().replace('"slice": ', '"slice": 100')
    )
    with pytest.raises(DataError, match=r"its host slice .* is not among the training patients"):
        choose_slices(data, "train", "matched", repeat=True)


# --- Evaluation ------------------------------------------------------------------------------------


def checkpoint(folder: Path, seed: int, *, patients: list[str]) -> Path:
    """Save a network whose scores differ from slice to slice."""
    torch.manual_seed(seed)
    network = make_classification_network("shufflenet").train()
    with torch.no_grad():
        for _ in range(20):  # so that the running statistics are those of some images
            network(torch.randn(8, 3, 64, 64))
    path = folder / f"member_{seed}.pt"
    preset = network.architecture
    save_checkpoint(path, network.state_dict(), preset=preset, kind=KIND, patients=patients, info={})
    return path


def tables(folder: Path) -> dict[str, float]:
    rows = read_case_table(folder / "cases.csv", CLASSIFICATION_COLUMNS)
    return {row["case"]: row["probability"] for row in rows}


def evaluate(dataset: Path, folder: Path, ckpt: Any, **overrides: Any) -> None:
    settings = {"dataset_dir": str(dataset), "precision": "float32", "output_dir": str(folder), "ckpt": ckpt}
    run("train", "evaluate", **(settings | overrides))


def test_an_ensemble_s_table_is_the_mean_of_its_members_and_all_summaries_stand_beside_it(
    phantom_cohort: Path, tmp_path: Path
) -> None:
    data = TrainingData(phantom_cohort)
    patients = data.patients_behind("train")
    paths = [str(checkpoint(tmp_path, seed, patients=patients)) for seed in (0, 1)]
    for name, ckpt in (("a", paths[0]), ("b", paths[1]), ("both", paths)):
        evaluate(phantom_cohort, tmp_path / name, ckpt, split="test")
    one, other, both = (tables(tmp_path / name) for name in ("a", "b", "both"))
    assert len(both) == sum(len(volume.slice_numbers) for volume in data.volumes("test"))
    assert both == pytest.approx({case: (one[case] + other[case]) / 2 for case in one}, abs=1e-6)
    assert max(abs(one[case] - other[case]) for case in one) > 1e-3
    report = json.loads((tmp_path / "both" / "evaluation.json").read_text())
    assert len(report["checkpoints"]) == 2
    auc = {(item["slices"], item["scores"]): item["auc"] for item in report["figures"]}
    assert auc["level-matched slices", "level alone"] == pytest.approx(0.5, abs=0.2)
    assert auc.keys() >= {("all slices", "classifier"), ("slices with a level", "level alone")}
    with (tmp_path / "both" / "levels.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert {line["slices"] for line in lines} == {slices for slices, _ in auc}
    assert all(int(line["patients"]) == 2 for line in lines if line["slices"] == "all slices")


def test_no_member_may_know_an_evaluated_patient(phantom_cohort: Path, tmp_path: Path) -> None:
    data = TrainingData(phantom_cohort)
    known = data.volumes("validation")[0].patient
    paths = [
        str(checkpoint(tmp_path, 0, patients=data.patients_behind("train"))),
        str(checkpoint(tmp_path, 1, patients=[known])),
    ]
    error = error_of(evaluate, phantom_cohort, tmp_path / "out", paths)
    assert isinstance(error, LeakageError)
    assert f"was trained on patient {known}" in error.problem
    assert not (tmp_path / "out" / "cases.csv").exists()


def test_level_matched_slices_are_the_ones_that_level_alone_cannot_tell(phantom_cohort: Path) -> None:
    """A classifier that is right everywhere keeps its AUC of 1 on every table; the level does not."""
    data = TrainingData(phantom_cohort)
    rows = [
        {
            "case": f"{v.patient}_{n}",
            "patient": v.patient,
            "slice": n,
            "label": int(t),
            "probability": float(t),
        }
        for v in data.volumes("test")
        for n, t in zip(v.slice_numbers, v.labels, strict=True)
    ]
    found = classification_report.level_tables(rows, data, "test")
    for (slices, scores), table in found.items():
        labels = [row["label"] for row in table]
        if scores == classification_report.CLASSIFIER:
            assert [row["probability"] for row in table] == labels
        else:
            assert all(0 <= row["probability"] <= 1 for row in table)
        if slices == classification_report.MATCHED:
            assert 2 * sum(labels) == len(labels) > 0
    for scores in (classification_report.CLASSIFIER, classification_report.LEVEL_ALONE):
        assert len(found[classification_report.ALL, scores]) == len(rows)


def test_without_reliable_levels_the_place_among_the_slices_stands_in(
    phantom_cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = TrainingData(phantom_cohort)
    doubted = {
        split: [replace(case, level_is_reliable=False) for case in data.cases(split)]
        for split in ("train", "test")
    }
    monkeypatch.setattr(data, "cases", doubted.__getitem__)
    found = classification_report.level_alone(data, "test")
    counts: dict[int, list[bool]] = defaultdict(list)
    for case in doubted["train"]:
        for place, label in zip(np.linspace(0, 1, len(case.level)), case.volume.labels, strict=True):
            counts[int(place // BIN_WIDTH)].append(bool(label))
    for case in doubted["test"]:
        for place, number in zip(np.linspace(0, 1, len(case.level)), case.volume.slice_numbers, strict=True):
            expected = np.mean(counts[int(place // BIN_WIDTH)])
            assert found[f"{case.patient}_{number}"] == pytest.approx(expected)


# --- Inference -------------------------------------------------------------------------------------


@pytest.mark.parametrize("slices", [1, 3])
def test_inference_on_stored_slices_gives_the_evaluation_s_probabilities(
    phantom_cohort: Path, tmp_path: Path, slices: int
) -> None:
    """The scale of a patient and the neighbors of a slice are found beside the file."""
    torch.manual_seed(0)
    network = make_classification_network("shufflenet", in_channels=3 * slices).train()
    with torch.no_grad():
        for _ in range(20):
            network(torch.randn(8, 3 * slices, 64, 64))
    data = TrainingData(phantom_cohort)
    path = tmp_path / "member.pt"
    save_checkpoint(
        path, network.state_dict(), preset=network.architecture, kind=KIND, patients=["p"], info={}
    )
    evaluate(phantom_cohort, tmp_path / "evaluated", str(path), split="test", input_slices=slices)
    expected = tables(tmp_path / "evaluated")
    folder = tmp_path / "images"
    for volume in data.volumes("test"):
        shutil.copytree(phantom_cohort / volume.patient, folder / volume.patient)
    settings = {"precision": "float32", "input_slices": slices, "ckpt": str(path)}
    run("inference", dataset_dir=str(folder), output_dir=str(tmp_path / "out"), **settings)
    with (tmp_path / "out" / "predictions.csv").open() as file:
        found = {Path(row["image"]).stem: float(row["probability"]) for row in csv.DictReader(file)}
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_volume_has_a_row_a_slice_and_the_label_of_its_most_suspicious_one(
    phantom_cohort: Path, tmp_path: Path
) -> None:
    data = TrainingData(phantom_cohort)
    volume = data.volumes("test")[0]
    # Rows to the back, columns to the left, slices up: the affine of a stack as it is stored.
    affine = np.array([[0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], float)
    stack = volume.image.transpose(2, 3, 0, 1)
    (tmp_path / "images").mkdir()
    nibabel.save(nibabel.Nifti1Image(stack, affine), tmp_path / "images" / "patient.nii.gz")
    path = checkpoint(tmp_path, 0, patients=["p"])
    evaluate(phantom_cohort, tmp_path / "evaluated", str(path), split="test")
    expected = [
        probability
        for case, probability in sorted(
            tables(tmp_path / "evaluated").items(), key=lambda item: int(item[0].rpartition("_")[2])
        )
        if case.startswith(volume.patient)
    ]
    workflow = run(
        "inference",
        dataset_dir=str(tmp_path / "images"),
        output_dir=str(tmp_path / "out"),
        precision="float32",
        ckpt=str(path),
    )
    with (tmp_path / "out" / "predictions.csv").open() as file:
        found = [float(row["probability"]) for row in csv.DictReader(file)]
    assert found == pytest.approx(expected, abs=1e-5)
    (image,) = json.loads((tmp_path / "out" / "predictions.json").read_text())["images"]
    assert (image["image"], image["slices"]) == ("patient.nii.gz", len(expected))
    assert image["slice"] == 1 + int(np.argmax(found))
    assert image["prediction"][1] == {"idx": 1, "label": "tumor", "score": pytest.approx(max(found))}
    (output,) = workflow.evaluator.state.output
    assert isinstance(output["pred"], MetaTensor), "MONAI Label writes its .array"
    assert output["pred"].shape == (2,)


def test_slices_of_a_patient_that_differ_in_size_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number, side in enumerate((64, 96), 1):
        tifffile.imwrite(folder / f"patient_{number}.tif", np.zeros((side, side, 3), np.uint8))
    path = checkpoint(tmp_path, 0, patients=["p"])
    settings = {"output_dir": str(tmp_path / "out"), "ckpt": str(path)}
    error = error_of(run, "inference", dataset_dir=str(folder), **settings)
    assert isinstance(error, DataError)
    assert error.where == str(folder / "patient_2.tif")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, 0, patients=["p"])
    error = error_of(run, "inference", dataset_dir=str(tmp_path / "none"), ckpt=str(path))
    assert isinstance(error, DataError | ArgumentError)
    assert "no such folder" in error.problem
