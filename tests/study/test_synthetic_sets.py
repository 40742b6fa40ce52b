"""Synthetic sets from a finished generation on the phantom: their pixels, their origin, what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcf_bundle.data.datalist import SYNTHETIC, read_datalist
from mcf_bundle.data.generated_case import read_origins
from mcf_bundle.data.lgg import read_cohort, read_volume
from mcf_bundle.data.splits import TRAIN
from mcf_bundle.data.synthetic_share import Group, groups_of
from mcf_bundle.data.training_data import TrainingData
from mcf_bundle.data.volume import Volume
from mcf_bundle.errors import ArgumentError, CheckpointError, DataError, LeakageError
from mcf_bundle.generation import finished_source
from mcf_bundle.generation.finished_source import FinishedSource, read_finished_source
from mcf_bundle.generation.margin import grow
from mcf_bundle.generation.materials import EDIT_MARGIN
from mcf_bundle.generation.stored_tiles import StoredTiles
from mcf_bundle.resources import bundle_root
from mcf_bundle.study import set_folder, synthetic_sets
from mcf_bundle.study.set_noised_real import NetworkFiles
from mcf_bundle.study.set_rows import exchange
from mcf_bundle.study.synthetic_sets import SET_KINDS, make_set
from tests.file_contents import contents
from tests.generation.bundle_runs import OPEN_GATE, gate, make_workflow

MODELS = bundle_root("mcf_diffusion") / "models"
FILES = NetworkFiles(MODELS / "model.pt", MODELS / "model_classifier.pt")
IMAGES = 5


@pytest.fixture(scope="module")
def run_dir(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished generation."""
    folder = tmp_path_factory.mktemp("run") / "out"
    with gate(OPEN_GATE):
        make_workflow(phantom_cohort, folder, num_images=IMAGES, provenance="full").run()
    return folder


@pytest.fixture(scope="module")
def finished(phantom_cohort: Path, run_dir: Path) -> FinishedSource:
    return read_finished_source(phantom_cohort, run_dir, skip_bad_patients=False)


@pytest.fixture(scope="module")
def sets(
    phantom_cohort: Path, run_dir: Path, finished: FinishedSource, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Path]]:
    """Folder of each kind of set; the patients are measured once."""
    root = tmp_path_factory.mktemp("sets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic_sets, "read_finished_source", lambda *_, **__: finished)
        for kind in SET_KINDS:
            make_set(kind, run_dir, phantom_cohort, root / kind, seed=1, files=FILES)
        yield {kind: root / kind for kind in SET_KINDS}


def records_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def cases_of(folder: Path) -> list[Volume]:
    return [read_volume(folder / record["name"]) for record in records_of(folder)]


# --- Each kind -------------------------------------------------------------------------------------


def test_composites_are_those_that_an_evaluation_composes(
    sets: dict[str, Path], run_dir: Path, finished: FinishedSource
) -> None:
    tiles = StoredTiles(run_dir, finished.run.records, finished.training, finished.placement_rules)
    for made, generated, tile in zip(cases_of(sets["composites"]), cases_of(run_dir), tiles, strict=True):
        assert tile.origin is not None
        np.testing.assert_array_equal(made.image[1], tile.origin.composite)
        np.testing.assert_array_equal(made.image[[0, 2]], generated.image[[0, 2]])
        np.testing.assert_array_equal(made.mask, generated.mask)
        assert (made.image[1] != generated.image[1]).any()


def test_unmodified_hosts_are_slices_of_the_dataset_without_tumor(
    sets: dict[str, Path], phantom_cohort: Path
) -> None:
    volumes = {volume.patient: volume for volume in read_cohort(phantom_cohort).volumes}
    folder = sets["unmodified_hosts"]
    for made, record in zip(cases_of(folder), records_of(folder), strict=True):
        volume = volumes[record["host"]["patient"]]
        index = volume.slice_numbers.index(record["host"]["slice"])
        np.testing.assert_array_equal(made.image, volume.image[index - 1 : index + 2])
        assert not made.mask.any()
        assert record["mask_pixels"] == 0
        assert record["donor"] == record["host"]


def test_shuffled_masks_are_a_permutation_and_never_one_s_own(sets: dict[str, Path], run_dir: Path) -> None:
    original, shuffled = cases_of(run_dir), cases_of(sets["shuffled_masks"])
    names = [case.patient for case in original]
    lenders = [record["masks_of"] for record in records_of(sets["shuffled_masks"])]
    assert sorted(lenders) == sorted(names)
    masks = {case.patient: case.mask for case in original}
    for made, generated, lender in zip(shuffled, original, lenders, strict=True):
        assert lender != made.patient
        np.testing.assert_array_equal(made.image, generated.image)
        np.testing.assert_array_equal(made.mask, masks[lender])


@pytest.mark.parametrize("count", [2, 3, 10, 101])
def test_an_exchange_leaves_nobody_at_home(count: int) -> None:
    orders = [exchange(count, seed) for seed in range(20)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(count))
        assert (order != np.arange(count)).all()
    np.testing.assert_array_equal(exchange(count, 3), orders[3])
    assert count == 2 or len({tuple(order) for order in orders}) > 1


def test_a_carve_mix_shows_its_donor_s_tumor_in_a_slice_of_another_patient(
    sets: dict[str, Path], finished: FinishedSource
) -> None:
    folder = sets["carve_mix"]
    for made, record in zip(cases_of(folder), records_of(folder), strict=True):
        host = finished.training[record["host"]["patient"]].volume
        index = host.slice_numbers.index(record["host"]["slice"])
        assert record["donor"]["patient"] != record["host"]["patient"]
        gap = abs(record["donor"]["level"] - record["host"]["level"])
        assert gap <= finished.placement_rules.level_tolerance + 1e-4
        changed = (made.image[1] != host.image[index]).any(axis=0)
        assert 0 < changed.sum() <= record["carved"]["pixels"]
        assert made.mask[1].any()
        # No mask appears or goes where the image is not pasted.
        assert (made.mask[1] != host.mask[index]).sum() <= record["carved"]["pixels"]


def test_noised_real_tumors_change_around_the_tumor_alone(
    sets: dict[str, Path], finished: FinishedSource, run_dir: Path
) -> None:
    folder = sets["noised_real"]
    generated = records_of(run_dir)
    for made, record, row in zip(cases_of(folder), records_of(folder), generated, strict=True):
        assert record["host"] == record["donor"] == row["donor"]
        donor = finished.training[record["donor"]["patient"]].volume
        index = donor.slice_numbers.index(record["donor"]["slice"])
        np.testing.assert_array_equal(made.mask[1], donor.mask[index])
        np.testing.assert_array_equal(made.image[[0, 2]], donor.image[[index - 1, index + 1]])
        changed = (made.image[1] != donor.image[index]).any(axis=0)
        assert changed.any()
        assert not changed[~grow(donor.mask[index], EDIT_MARGIN + 1)].any()


# --- What readers take -----------------------------------------------------------------------------


def test_every_set_has_the_generation_s_rows_and_a_layout_that_readers_know(
    sets: dict[str, Path], run_dir: Path
) -> None:
    rows = [record["row"] for record in records_of(run_dir)]
    for kind, folder in sets.items():
        records = records_of(folder)
        assert [record["row"] for record in records] == rows, kind
        assert {record["kind"] for record in records} == {kind}
        listed = [e for e in read_datalist(folder / "datalist.json").entries if e.root == SYNTHETIC]
        assert [(entry.image, entry.label, entry.tumor) for entry in listed] == [
            (record["image"], record["label"], record["mask_pixels"] > 0) for record in records
        ]
        assert all((folder / entry.image).is_file() and (folder / entry.label).is_file() for entry in listed)
        assert not list(folder.parent.glob(".*")), "nothing unfinished is left"


def test_only_patients_of_the_generation_s_training_set_are_shown(
    sets: dict[str, Path], finished: FinishedSource
) -> None:
    training = {patient for patient, split in finished.source.splits.items() if split == TRAIN}
    for folder in sets.values():
        assert set().union(*read_origins(folder).values()) <= training


def test_a_training_takes_a_set_and_knows_healthy_from_tumor(
    sets: dict[str, Path], phantom_cohort: Path, finished: FinishedSource
) -> None:
    seed = finished.run.plan.header["split_seed"]
    pinned = [patient for patient, split in finished.source.splits.items() if split == TRAIN]
    for kind, group in (
        ("unmodified_hosts", Group.HEALTHY),
        ("shuffled_masks", Group.SYNTHETIC_TUMOR),
        ("carve_mix", Group.SYNTHETIC_TUMOR),
    ):
        data = TrainingData(phantom_cohort, synthetic_dir=sets[kind], split_seed=seed, pinned_to_train=pinned)
        slices = [item for item in data.slices(TRAIN) if item.volume.patient.startswith("SYN_")]
        assert set(groups_of(slices)) == {group}
        assert len(slices) == IMAGES


@pytest.mark.parametrize("kind", SET_KINDS)
def test_a_set_from_validation_patients_is_refused(
    sets: dict[str, Path], phantom_cohort: Path, kind: str
) -> None:
    shown = set().union(*read_origins(sets[kind]).values())
    for seed in range(50):
        data = TrainingData(phantom_cohort, split_seed=seed)
        if any(data.splits[patient] != TRAIN for patient in shown):
            break
    with pytest.raises(LeakageError, match=r"belongs to the (validation|test) set"):
        _ = TrainingData(phantom_cohort, synthetic_dir=sets[kind], split_seed=seed).splits


# --- Killed, repeated ------------------------------------------------------------------------------


def test_what_is_cut_off_is_taken_by_nobody_and_made_again_the_same(
    sets: dict[str, Path], phantom_cohort: Path, run_dir: Path, tmp_path: Path
) -> None:
    folder, write = tmp_path / "set", set_folder.write_case
    written: list[str] = []

    def cut_off(place: Path, name: str, *pixels: Any) -> dict[str, str]:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(name)
        return write(place, name, *pixels)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(set_folder, "write_case", cut_off)
        with pytest.raises(KeyboardInterrupt):
            make_set("composites", run_dir, phantom_cohort, folder, seed=1)
    assert not folder.exists()
    (partial,) = tmp_path.iterdir()
    assert len(list(partial.iterdir())) == 2
    with pytest.raises(DataError, match=r"no manifest.jsonl there tells whom"):
        _ = TrainingData(phantom_cohort, synthetic_dir=partial).splits
    make_set("composites", run_dir, phantom_cohort, folder, seed=1)
    assert list(tmp_path.iterdir()) == [folder]
    made, undisturbed = contents(folder), contents(sets["composites"])
    assert made.pop("set.json")
    assert undisturbed.pop("set.json")
    assert made == undisturbed


def test_a_set_that_is_there_is_not_made_again(
    sets: dict[str, Path], phantom_cohort: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(sets["carve_mix"])
    monkeypatch.setattr(finished_source, "read_cohort", None)  # nothing is read for it
    make_set("carve_mix", run_dir, phantom_cohort, sets["carve_mix"], seed=1)
    assert contents(sets["carve_mix"]) == before


@pytest.mark.parametrize(
    ("kind", "seed", "message"),
    [("carve_mix", 2, "holds another set: seed is 1"), ("composites", 1, "kind is 'carve_mix'")],
)
def test_another_set_s_folder_is_refused(
    sets: dict[str, Path], phantom_cohort: Path, run_dir: Path, kind: str, seed: int, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        make_set(kind, run_dir, phantom_cohort, sets["carve_mix"], seed=seed)


# --- Refusals --------------------------------------------------------------------------------------


def test_a_folder_with_something_else_is_left_alone(
    phantom_cohort: Path, run_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="is in the way"):
        make_set("composites", run_dir, phantom_cohort, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_unknown_kind_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="kind: 'cutmix' does not exist; choose one of composites"):
        make_set("cutmix", tmp_path, tmp_path, tmp_path / "out")


def test_a_generation_that_did_not_end_is_refused(
    phantom_cohort: Path, run_dir: Path, tmp_path: Path
) -> None:
    unfinished = tmp_path / "run"
    shutil.copytree(run_dir, unfinished)
    (unfinished / "run.json").unlink()
    with pytest.raises(DataError, match="no folder of a run that came to its end"):
        make_set("composites", unfinished, phantom_cohort, tmp_path / "out")


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        (NetworkFiles(), ArgumentError, "ckpt: the generation's checkpoint is needed and none was given"),
        (NetworkFiles(FILES.ckpt), ArgumentError, "classifier_ckpt: the generation's checkpoint is needed"),
        (NetworkFiles(MODELS / "model_gate.pt"), CheckpointError, "is another checkpoint than"),
        (NetworkFiles(FILES.ckpt, device="tpu9"), ArgumentError, "device: 'tpu9' cannot be used"),
    ],
)
def test_noised_real_needs_the_generation_s_own_networks(
    sets: dict[str, Path],
    phantom_cohort: Path,
    run_dir: Path,
    tmp_path: Path,
    files: NetworkFiles,
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        make_set("noised_real", run_dir, phantom_cohort, tmp_path / "out", files=files)
    assert not (tmp_path / "out").exists()
