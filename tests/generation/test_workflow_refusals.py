"""What the main job refuses, without writing: bad settings, bad data, leaks, folders that are not its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from mcf_bundle.data.prepare import prepare_dataset
from mcf_bundle.data.pseudonyms import KEY_VARIABLE
from mcf_bundle.data.splits import TEST, TRAIN, VALIDATION
from mcf_bundle.errors import (
    ArgumentError,
    CheckpointError,
    DataError,
    GateError,
    IncompleteError,
    LeakageError,
    McfError,
    PlanError,
)
from mcf_bundle.generation.workflow import GenerationWorkflow
from mcf_bundle.networks.checkpoint import read_checkpoint, save_checkpoint
from mcf_bundle.networks.presets import make_denoiser
from mcf_bundle.resources import bundle_root
from tests.generation.bundle_runs import (
    CLOSED_GATE,
    KEY,
    OPEN_GATE,
    error_of_ours,
    gate,
    make_workflow,
    sharing,
)

MODELS = bundle_root("mcf_diffusion") / "models"
FILES = {"ckpt": "model.pt", "classifier_ckpt": "model_classifier.pt", "gate_ckpt": "model_gate.pt"}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)


@pytest.fixture(scope="module")
def planned(phantom_cohort: Path) -> GenerationWorkflow:
    """A workflow whose patients are read and measured."""
    workflow = make_workflow(phantom_cohort, Path("nowhere"))
    assert workflow.plan.rows
    return workflow


@pytest.fixture
def dataset(phantom_cohort: Path, tmp_path: Path) -> Path:
    """Five patients, to be damaged."""
    root = tmp_path / "data"
    for folder in sorted(path for path in phantom_cohort.iterdir() if path.is_dir())[:5]:
        shutil.copytree(folder, root / folder.name)
    return root


def refusal(dataset_dir: Path, output_dir: Path, **overrides: Any) -> McfError:
    """Run the job and return the error of ours that ends it; nothing must have been written."""
    before = tree(output_dir.parent) if output_dir.parent.is_dir() else {}
    with pytest.raises((McfError, RuntimeError)) as caught:
        make_workflow(dataset_dir, output_dir, **overrides).run()
    if output_dir.parent.is_dir():
        assert tree(output_dir.parent) == before
    return error_of_ours(caught.value)


def tree(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("num_images", value) for value in (0, -1, 2.5, True, "many")),
        *(("seed", value) for value in (-1, 1.5, "zero")),
        *(("split_seed", value) for value in (-1, "zero")),
        *(("batch_size", value) for value in (0, "all")),
        *(("compute_batch", value) for value in (0, 1.5)),
        *(("num_threads", value) for value in (0, "all")),
        *(("start_step", value) for value in (0, 1001, 300.5)),
        *(("steps", value) for value in (0, 301, 2.5)),
        *(("guidance_scale", value) for value in (-1.0, "strong")),
        *(("eta", value) for value in (-0.1, 1.1)),
        ("keep_outside", "no"),
        ("fusion", "fusion9"),
        ("blend", "mix"),
        ("precision", "float8"),
        ("provenance", "secret"),
        ("preset", "huge"),
    ],
)
def test_a_setting_outside_its_range_is_named(
    phantom_cohort: Path, tmp_path: Path, name: str, value: object
) -> None:
    error = refusal(phantom_cohort, tmp_path / "out", **{name: value})
    assert isinstance(error, ArgumentError)
    assert error.where == name
    assert str(value) in error.problem


@pytest.mark.parametrize(
    ("name", "value", "where"),
    [
        ("pool_rules#host#min_gap_mm", "ten", "HostRules.min_gap_mm"),
        ("pairing#placement#scale_range", 5, "PlacementRules.scale_range"),
        ("pairing#contrast#flair_rim", [0.5], "ContrastLimits.flair_rim"),
        ("pairing#max_tries", -3, "PairingRules.max_tries"),
        ("gate_rules#max_rejected", 60, "GateRules.max_rejected"),
        ("gate_rules#limits", {"flair": [0, 1]}, "GateRules.limits"),
        ("pairing#placement", None, "PairingRules.placement"),
        ("overwrite", "no", "overwrite"),
        ("dry_run", 1, "dry_run"),
    ],
)
def test_a_rule_that_means_nothing_is_named(
    phantom_cohort: Path, tmp_path: Path, name: str, value: object, where: str
) -> None:
    error = refusal(phantom_cohort, tmp_path / "out", **{name: value})
    assert isinstance(error, ArgumentError)
    assert error.where == where


def test_a_start_above_what_the_networks_were_trained_on_is_refused(
    phantom_cohort: Path, tmp_path: Path
) -> None:
    largest = read_checkpoint(MODELS / "model.pt").info["max_step"]
    error = refusal(phantom_cohort, tmp_path / "out", start_step=largest + 1)
    assert isinstance(error, ArgumentError)
    assert error.where == "start_step"
    assert f"above {largest}, the largest step" in error.problem


def write_other_checkpoint(path: Path, change: str) -> None:
    content = (MODELS / "model.pt").read_bytes()
    if change == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif change == "empty":
        path.write_bytes(b"")
    elif change == "other preset":
        weights = make_denoiser("smoke").state_dict()
        save_checkpoint(path, weights, preset="smoke", kind="denoiser", patients=[], info={})
    elif change == "other architecture":
        weights = make_denoiser("smoke").state_dict()
        save_checkpoint(path, weights, preset="fast", kind="denoiser", patients=[], info={})
    elif change == "other kind":
        shutil.copyfile(MODELS / "model_gate.pt", path)
    elif change == "other program":
        torch.save({"state_dict": {}}, path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("missing", "no such checkpoint"),
        ("truncated", "cannot be read"),
        ("empty", "cannot be read"),
        ("other preset", "holds a denoiser of preset 'smoke', not a denoiser of preset 'fast'"),
        ("other architecture", "does not fit the network"),
        ("other kind", "holds a gate of preset 'fast', not a denoiser"),
        ("other program", "is not a checkpoint of this project"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_named(
    phantom_cohort: Path, tmp_path: Path, change: str, problem: str
) -> None:
    path = tmp_path / "other.pt"
    write_other_checkpoint(path, change)
    error = refusal(phantom_cohort, tmp_path / "out", ckpt=str(path))
    assert isinstance(error, CheckpointError)
    assert error.where == str(path)
    assert problem in error.problem


@pytest.mark.parametrize("name", FILES)
def test_a_missing_checkpoint_is_named_whichever_it_is(
    phantom_cohort: Path, tmp_path: Path, name: str
) -> None:
    error = refusal(phantom_cohort, tmp_path / "out", **{name: str(tmp_path / "gone.pt")})
    assert isinstance(error, CheckpointError)
    assert "no such checkpoint" in str(error)


def no_folder(root: Path) -> None:
    shutil.rmtree(root)


def no_patients(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


def all_masks(value: int) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        for path in root.rglob("*_mask.tif"):
            mask = np.zeros((64, 64), np.uint8)
            mask[30:34, 30:34] = value
            tifffile.imwrite(path, mask)

    return change


def one_truncated_image(root: Path) -> None:
    next(path for path in sorted(root.rglob("*.tif")) if "mask" not in path.name).write_bytes(b"II*")


@pytest.mark.parametrize(
    ("damage", "kind", "problem"),
    [
        (no_folder, DataError, "no such folder"),
        (no_patients, DataError, "holds no patient folders"),
        (one_truncated_image, DataError, "cannot be read as TIFF"),
        (all_masks(0), PlanError, "have no tumor slices"),
        (all_masks(255), PlanError, "have no healthy slices"),
    ],
)
def test_a_dataset_that_gives_no_plan_is_named(
    dataset: Path, tmp_path: Path, damage: Callable[[Path], None], kind: type[McfError], problem: str
) -> None:
    damage(dataset)
    error = refusal(dataset, tmp_path / "out")
    assert isinstance(error, kind)
    assert error.where.startswith(str(dataset))
    assert problem in error.problem


@pytest.mark.parametrize("below", ["", "out"])
def test_a_file_in_the_place_of_the_output_folder_is_named(
    planned: GenerationWorkflow, tmp_path: Path, below: str
) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(DataError, match="file"):
        sharing(planned, file / below).run()
    assert file.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_key_that_cannot_be_kept_is_found_before_an_earlier_run_is_replaced(
    planned: GenerationWorkflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with gate(OPEN_GATE):
        sharing(planned, out, num_images=1).run()
    before = tree(out)
    (tmp_path / "config").write_text("a file where the folder should be")
    monkeypatch.delenv(KEY_VARIABLE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with gate(OPEN_GATE), pytest.raises(DataError, match="key of the pseudonyms cannot be kept"):
        sharing(planned, out, num_images=1, provenance="pseudonymous", overwrite=True).run()
    assert tree(out) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_foreign_files_is_left_alone(
    phantom_cohort: Path, tmp_path: Path, overwrite: bool
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    error = refusal(phantom_cohort, tmp_path / "out", overwrite=overwrite)
    assert isinstance(error, PlanError)
    assert "thesis.txt" in error.problem


def test_the_same_run_works_twice_and_another_one_replaces_it_only_on_request(
    planned: GenerationWorkflow, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with gate(OPEN_GATE):
        sharing(planned, out).run()
        first = (out / "manifest.jsonl").read_bytes()
        sharing(planned, out).run()
        assert (out / "manifest.jsonl").read_bytes() == first
        before = tree(out)
        with pytest.raises(PlanError, match=r"another run's files .*--overwrite True"):
            sharing(planned, out, num_images=1, seed=1).run()
        assert tree(out) == before
        sharing(planned, out, num_images=1, seed=1, overwrite=True).run()
    manifest = (out / "manifest.jsonl").read_text()
    (record,) = map(json.loads, manifest.splitlines())
    assert [path.name for path in out.iterdir() if path.is_dir()] == [record["name"]]
    assert manifest.encode() != first


def test_images_that_the_gate_rejects_for_good_are_reported_and_the_rest_is_written(
    planned: GenerationWorkflow, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with gate(CLOSED_GATE), pytest.raises(IncompleteError, match="0 of 2 images written") as caught:
        sharing(planned, out).run()
    assert caught.value.exit_code == 3
    facts = json.loads((out / "run.json").read_text())
    assert [item["row"] for item in facts["rows not written"]] == [0, 1]
    assert set(facts["rows not written"][0]["reasons"][0]) == {"change_outside"}
    assert (out / "manifest.jsonl").read_bytes() == b""
    report = (out / "report.html").read_text()
    assert "0 of 2 images" in report
    assert "change_outside" in report


def test_a_gate_that_rejects_most_images_stops_the_run_which_can_be_repeated(
    planned: GenerationWorkflow, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with gate(CLOSED_GATE), pytest.raises(GateError, match=r"rejected 16 of 16 images \(change_outside 16\)"):
        sharing(planned, out, num_images=8).run()
    assert not list(out.glob("SYN_*"))
    assert "0 of 8 images" in (out / "report.html").read_text()
    facts = json.loads((out / "run.json").read_text())
    assert [item["row"] for item in facts["rows not written"]] == list(range(8))
    with gate(OPEN_GATE):
        assert sharing(planned, out, num_images=8).run().written == 8


# --- Leaks -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def datalist(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("datalist")
    prepare_dataset(phantom_cohort, folder)
    return folder / "datalist.json"


def of_split(datalist: Path, split: str) -> str:
    """Return the first patient of a split."""
    entries = json.loads(datalist.read_text())["entries"]
    return next(entry["patient"] for entry in entries if entry["split"] == split)


def forge(folder: Path, name: str, patients: list[str]) -> dict[str, str]:
    """Write a copy of a shipped checkpoint that says to have seen some patients, as an override."""
    checkpoint = read_checkpoint(MODELS / FILES[name])
    path = folder / FILES[name]
    save_checkpoint(
        path,
        checkpoint.weights,
        preset=checkpoint.preset,
        kind=checkpoint.kind,
        patients=patients,
        info=checkpoint.info,
    )
    return {name: str(path)}


@pytest.mark.parametrize("whole_patient", [False, True])
def test_a_datalist_edited_by_hand_is_refused(
    phantom_cohort: Path, datalist: Path, tmp_path: Path, whole_patient: bool
) -> None:
    content = json.loads(datalist.read_text())
    patient = of_split(datalist, TEST)
    for entry in [entry for entry in content["entries"] if entry["patient"] == patient][
        : None if whole_patient else 1
    ]:
        entry["split"] = TRAIN
    edited = tmp_path / "datalist.json"
    edited.write_text(json.dumps(content))
    assert isinstance(refusal(phantom_cohort, tmp_path / "out", datalist=str(edited)), LeakageError)


def test_a_datalist_split_by_slice_is_refused(phantom_cohort: Path, tmp_path: Path) -> None:
    prepare_dataset(phantom_cohort, tmp_path, split="slice")
    error = refusal(phantom_cohort, tmp_path / "out", datalist=str(tmp_path / "datalist.json"))
    assert isinstance(error, LeakageError)


def test_a_datalist_of_another_dataset_is_refused(dataset: Path, datalist: Path, tmp_path: Path) -> None:
    error = refusal(dataset, tmp_path / "out", datalist=str(datalist))
    assert isinstance(error, DataError)
    assert "lacks patients of the datalist" in error.problem


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("split", [VALIDATION, TEST])
def test_a_checkpoint_that_saw_an_evaluation_patient_is_refused(
    phantom_cohort: Path, datalist: Path, tmp_path: Path, name: str, split: str
) -> None:
    patient = of_split(datalist, split)
    overrides = forge(tmp_path, name, [of_split(datalist, TRAIN), patient])
    error = refusal(phantom_cohort, tmp_path / "out", datalist=str(datalist), **overrides)
    assert isinstance(error, LeakageError)
    assert f"trained on patient {patient}, who belongs to the {split} set" in error.problem


def test_a_checkpoint_that_saw_training_patients_alone_is_fine(
    phantom_cohort: Path, datalist: Path, tmp_path: Path
) -> None:
    overrides = forge(tmp_path, "ckpt", [of_split(datalist, TRAIN), "somebody else"])
    workflow = make_workflow(phantom_cohort, tmp_path / "out", datalist=str(datalist), **overrides)
    assert workflow.datalist.patient_splits()[of_split(datalist, TRAIN)] == TRAIN
    assert workflow.pinned == []


@pytest.fixture
def pinned(phantom_cohort: Path, datalist: Path, tmp_path: Path) -> tuple[GenerationWorkflow, list[str]]:
    """A finished run whose checkpoint saw a patient that would otherwise be tested on, and who that is."""
    patients = [of_split(datalist, TEST), of_split(datalist, TRAIN)]
    overrides = forge(tmp_path, "classifier_ckpt", patients)
    workflow = make_workflow(phantom_cohort, tmp_path / "out", num_images=1, **overrides)
    with gate(OPEN_GATE):
        workflow.run()
    return workflow, sorted(patients)


def test_without_a_datalist_patients_that_a_checkpoint_saw_train_and_are_listed(
    pinned: tuple[GenerationWorkflow, list[str]],
) -> None:
    workflow, patients = pinned
    splits = workflow.datalist.patient_splits()
    assert sorted(workflow.pinned) == patients
    assert {splits[patient] for patient in patients} == {TRAIN}
    assert set(splits.values()) == {TRAIN, VALIDATION, TEST}
    report = (workflow.output_dir / "report.html").read_text()
    listed = report[report.index("Patients pinned to training") :]
    assert all(patient in listed for patient in patients)
