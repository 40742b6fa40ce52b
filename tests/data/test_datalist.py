from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcf_bundle.data.datalist import (
    REAL,
    SYNTHETIC,
    Datalist,
    Entry,
    check_train_only,
    make_datalist,
    read_datalist,
    split_digest,
    summarize,
    to_json,
)
from mcf_bundle.data.lgg import Cohort, read_cohort
from mcf_bundle.data.splits import TEST, TRAIN, VALIDATION
from mcf_bundle.errors import ArgumentError, DataError, LeakageError

SPLITS = {TRAIN, VALIDATION, TEST}


@pytest.fixture(scope="module")
def cohort(phantom_cohort: Path) -> Cohort:
    return read_cohort(phantom_cohort)


@pytest.fixture(scope="module")
def datalist(cohort: Cohort) -> Datalist:
    return make_datalist(cohort)


def entry(patient: str, number: int, split: str, *, tumor: bool = False, root: str = REAL) -> Entry:
    image = f"{patient}/{patient}_{number}.tif"
    return Entry(root, image, image.replace(".tif", "_mask.tif"), patient, number, "CS", tumor, 0, split)


def small(*entries: Entry) -> Datalist:
    return Datalist("patient", 0, entries, {})


def written(folder: Path, content: Datalist | dict[str, Any]) -> Path:
    path = folder / "datalist.json"
    path.write_text(to_json(content) if isinstance(content, Datalist) else json.dumps(content))
    return path


def test_every_slice_has_one_entry_ordered_by_patient_and_number(cohort: Cohort, datalist: Datalist) -> None:
    expected = [(v.patient, number) for v in cohort.volumes for number in v.slice_numbers]
    assert [(e.patient, e.slice) for e in datalist.entries] == expected == sorted(expected)


def test_an_entry_tells_what_its_volume_holds(cohort: Cohort, datalist: Datalist) -> None:
    volumes = {volume.patient: volume for volume in cohort.volumes}
    for item in datalist.entries:
        volume = volumes[item.patient]
        assert item.root == REAL
        assert item.institution == volume.institution == item.patient.split("_")[1]
        assert item.tumor is bool(volume.mask[volume.slice_numbers.index(item.slice)].any())
        assert item.split in SPLITS
        assert item.fold in range(5)


def test_paths_are_relative_to_the_root_and_lead_to_the_files(cohort: Cohort, datalist: Datalist) -> None:
    for item in datalist.entries:
        stem = f"{item.patient}/{item.patient}_{item.slice}"
        assert (item.image, item.label) == (f"{stem}.tif", f"{stem}_mask.tif")
        assert (cohort.root / item.image).is_file()
        assert (cohort.root / item.label).is_file()


@pytest.mark.parametrize("split_seed", [0, 3])
def test_split_and_fold_belong_to_the_patient(cohort: Cohort, split_seed: int) -> None:
    made = make_datalist(cohort, split_seed=split_seed)
    assert len({(e.patient, e.split, e.fold) for e in made.entries}) == len(cohort.volumes)
    assert set(made.patient_splits().values()) == SPLITS
    assert not made.leaks


def test_patients_whom_a_checkpoint_saw_train(cohort: Cohort, datalist: Datalist) -> None:
    seen = [patient for patient, split in datalist.patient_splits().items() if split != TRAIN]
    splits = make_datalist(cohort, pinned_to_train=seen).patient_splits()
    assert {splits[patient] for patient in seen} == {TRAIN}


def test_the_split_by_slice_is_marked_as_leaking(cohort: Cohort) -> None:
    leaking = make_datalist(cohort, split_by="slice")
    assert leaking.leaks
    assert json.loads(to_json(leaking))["leaks"] is True
    with pytest.raises(LeakageError, match=r"has slices in .*without --split slice"):
        leaking.patient_splits()


def test_an_unknown_split_is_refused(cohort: Cohort) -> None:
    with pytest.raises(ArgumentError, match="split: 'volume' does not exist; choose one of patient, slice"):
        make_datalist(cohort, split_by="volume")


@pytest.mark.parametrize("split_by", ["patient", "slice"])
def test_what_is_written_reads_back(cohort: Cohort, tmp_path: Path, split_by: str) -> None:
    made = replace(make_datalist(cohort, split_seed=2, split_by=split_by), skipped={"B": "B_1.tif: bad"})
    assert read_datalist(written(tmp_path, made)) == made


def test_synthetic_slices_read_back_and_do_not_count_for_the_digest(tmp_path: Path) -> None:
    real = small(entry("A", 1, TRAIN))
    merged = replace(real, entries=(*real.entries, entry("SYN_CS_000000", 2, TRAIN, root=SYNTHETIC)))
    assert split_digest(merged) == split_digest(real)
    assert merged.patient_splits() == {"A": TRAIN}
    assert read_datalist(written(tmp_path, merged)) == merged


def test_the_digest_does_not_depend_on_the_order() -> None:
    entries = [entry("A", 1, TRAIN), entry("A", 2, TRAIN), entry("B", 1, TEST)]
    assert split_digest(small(*entries)) == split_digest(small(*entries[::-1]))


def one_slice_moves(entries: list[dict[str, Any]]) -> None:
    next(e for e in entries if e["split"] == TEST)["split"] = TRAIN


def one_patient_moves(entries: list[dict[str, Any]]) -> None:
    patient = next(e["patient"] for e in entries if e["split"] == TEST)
    for item in entries:
        if item["patient"] == patient:
            item["split"] = TRAIN


def two_patients_swap(entries: list[dict[str, Any]]) -> None:
    first, second = (next(e["patient"] for e in entries if e["split"] == s) for s in (TRAIN, TEST))
    for item in entries:
        item["split"] = {first: TEST, second: TRAIN}.get(item["patient"], item["split"])


def one_slice_goes(entries: list[dict[str, Any]]) -> None:
    entries.pop()


def one_slice_comes_twice(entries: list[dict[str, Any]]) -> None:
    entries.append(entries[0])


def one_patient_becomes_synthetic(entries: list[dict[str, Any]]) -> None:
    patient = next(e["patient"] for e in entries if e["split"] == TEST)
    for item in entries:
        if item["patient"] == patient:
            item.update(root=SYNTHETIC, split=TRAIN)


@pytest.mark.parametrize(
    "edit",
    [
        one_slice_moves,
        one_patient_moves,
        two_patients_swap,
        one_slice_goes,
        one_slice_comes_twice,
        one_patient_becomes_synthetic,
    ],
)
def test_a_split_edited_by_hand_is_refused(
    datalist: Datalist, tmp_path: Path, edit: Callable[[list[dict[str, Any]]], None]
) -> None:
    content = json.loads(to_json(datalist))
    edit(content["entries"])
    with pytest.raises(LeakageError, match=r"mcf_bundle prepare"):
        read_datalist(written(tmp_path, content))


@pytest.mark.parametrize(
    "text",
    ["", "not json", "[]", "7", "{}", '{"split_by": "patient", "split_seed": 0, "skipped": {}}', "\x00\xff"],
)
def test_what_is_no_datalist_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "datalist.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"datalist\.json: is not a datalist .*mcf_bundle prepare"):
        read_datalist(path)


@pytest.mark.parametrize("change", [lambda e: e.pop("split"), lambda e: e.update(colour="red")])
def test_an_entry_with_other_fields_is_refused(tmp_path: Path, change: Callable[[dict], None]) -> None:
    content = json.loads(to_json(small(entry("A", 1, TRAIN))))
    change(content["entries"][0])
    with pytest.raises(DataError, match="is not a datalist"):
        read_datalist(written(tmp_path, content))


@pytest.mark.parametrize("name", ["nowhere.json", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"cannot be read .*make it with `python -m mcf_bundle prepare`"):
        read_datalist(tmp_path / name)


def test_only_training_patients_pass() -> None:
    made = small(entry("A", 1, TRAIN), entry("B", 1, VALIDATION), entry("C", 1, TEST), entry("D", 1, TRAIN))
    check_train_only(made, ["A", "D"])
    for patient, where in (("B", VALIDATION), ("C", TEST), ("E", "no split")):
        with pytest.raises(LeakageError, match=f"patient {patient}: belongs to {where}"):
            check_train_only(made, ["A", patient])


def test_a_patient_of_two_splits_passes_nothing() -> None:
    made = small(entry("A", 1, TRAIN), entry("A", 2, TEST))
    with pytest.raises(LeakageError, match="patient A: has slices in test and train"):
        check_train_only(made, ["A"])


def test_the_summary_counts_patients_slices_and_tumors() -> None:
    entries = [
        entry("A", 1, TRAIN),
        entry("A", 2, TRAIN, tumor=True),
        entry("B", 1, TRAIN),
        entry("C", 1, TEST, tumor=True),
    ]
    assert summarize(entries) == {
        TEST: {"patients": 1, "slices": 1, "tumor": 1},
        TRAIN: {"patients": 2, "slices": 3, "tumor": 1},
    }
    assert summarize([]) == {}
