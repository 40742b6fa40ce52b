from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from mcf_bundle.data.case import Case
from mcf_bundle.data.datalist import make_datalist, to_json
from mcf_bundle.data.lgg import read_cohort
from mcf_bundle.data.midline import Midline
from mcf_bundle.data.normalization import IntensityScale
from mcf_bundle.data.pseudonyms import KEY_VARIABLE, make_naming
from mcf_bundle.data.splits import TEST, TRAIN, VALIDATION
from mcf_bundle.data.survey import Survey
from mcf_bundle.data.training_data import TrainingData
from mcf_bundle.data.volume import Label, Volume
from mcf_bundle.errors import ArgumentError, DataError, LeakageError

COUNT = 21


@pytest.fixture(scope="module")
def data(phantom_cohort: Path) -> TrainingData:
    return TrainingData(phantom_cohort)


def case_of(tumor: tuple[int, ...], level: np.ndarray | None = None, *, reliable: bool = True) -> Case:
    """Slices at levels 0.00, 0.05, ... 1.00."""
    mask = np.zeros((COUNT, 32, 32), bool)
    mask[list(tumor), 10:14, 10:14] = True
    image = np.full((COUNT, 3, 32, 32), 90, np.uint8)
    return Case(
        volume=Volume("A", "CS", tuple(range(1, COUNT + 1)), image, mask),
        scale=IntensityScale((0.0,) * 3, (100.0,) * 3),
        missing=(False,) * 3,
        head=np.ones_like(mask),
        brain=np.ones_like(mask),
        level=np.round(0.05 * np.arange(COUNT), 2) if level is None else level,
        level_step=0.05,
        level_is_reliable=reliable,
        midline=Midline(15.5, 15.5, 0.0),
    )


def data_of(*cases: Case) -> TrainingData:
    made = TrainingData("nowhere")
    made.survey = Survey(cases, None)  # type: ignore[misc, arg-type]
    return made


def indices(data: TrainingData) -> dict[Label, list[int]]:
    found = data.leveled_slices(TRAIN)
    return {label: [item.ref.index for item in found if item.ref.label == label] for label in Label}


def write_patient(root: Path, patient: str, sides: list[int], size: int = 32) -> None:
    """Black slices with a bright square in the middle, and empty masks."""
    (root / patient).mkdir(parents=True)
    for number, side in enumerate(sides, start=1):
        image = np.zeros((size, size, 3), np.uint8)
        image[10 : 10 + side, 10 : 10 + side] = 200
        stem = root / patient / f"{patient}_{number}"
        tifffile.imwrite(f"{stem}.tif", image)
        tifffile.imwrite(f"{stem}_mask.tif", np.zeros((size, size), np.uint8))


def test_nothing_is_read_before_the_first_use(tmp_path: Path) -> None:
    data = TrainingData(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no such folder"):
        data.slices(TRAIN)


@pytest.mark.parametrize("split_seed", [0, 4])
def test_the_split_is_that_of_the_datalist(phantom_cohort: Path, split_seed: int) -> None:
    datalist = make_datalist(read_cohort(phantom_cohort), split_seed=split_seed)
    data = TrainingData(phantom_cohort, split_seed=split_seed)
    assert data.splits == datalist.patient_splits()
    assert data.patients_behind(TRAIN) == [p for p, split in data.splits.items() if split == TRAIN]
    assert sum(len(data.volumes(split)) for split in (TRAIN, VALIDATION, TEST)) == len(data.splits)


def test_pinned_patients_train(phantom_cohort: Path, data: TrainingData) -> None:
    pinned = [patient for patient, split in data.splits.items() if split == TEST]
    assert set(pinned) <= set(TrainingData(phantom_cohort, pinned_to_train=pinned).patients_behind(TRAIN))


def test_near_empty_slices_are_left_out(tmp_path: Path) -> None:
    # Squares of 6, 8, 10 and 12 pixels cover 3.5, 6.3, 9.8 and 14.1 % of a slice; the limit is 8 %.
    write_patient(tmp_path, "P_A_1", [6, 12, 10, 8])
    data = TrainingData(tmp_path)
    assert [item.index for item in data.slices(TRAIN)] == [1, 2]


def test_a_split_without_usable_slices_is_an_error(tmp_path: Path) -> None:
    write_patient(tmp_path, "P_A_1", [12, 12, 12])
    with pytest.raises(DataError, match="no usable slices in the split 'validation'"):
        TrainingData(tmp_path).slices(VALIDATION)


def test_slices_of_a_split_belong_to_its_patients(data: TrainingData) -> None:
    for split in (TRAIN, VALIDATION, TEST):
        patients = {item.volume.patient for item in data.slices(split)}
        assert {data.splits[patient] for patient in patients} == {split}


def test_examples_keep_two_slices_from_tumor_and_lie_at_levels_of_tumors() -> None:
    assert indices(data_of(case_of((10,)))) == {
        Label.TUMOR: [10],
        Label.HEALTHY: [6, 7, 13, 14, 15, 16, 17, 18],
    }


def test_tumors_beyond_the_levels_are_no_examples_but_keep_their_distance() -> None:
    assert indices(data_of(case_of((5, 19)))) == {Label.TUMOR: [], Label.HEALTHY: list(range(8, 17))}


def test_first_and_last_slices_are_no_examples() -> None:
    case = case_of((0, COUNT - 1), np.full(COUNT, 0.5))
    assert indices(data_of(case)) == {Label.TUMOR: [], Label.HEALTHY: list(range(3, COUNT - 3))}


def test_a_patient_with_an_unreliable_level_gives_no_examples() -> None:
    assert data_of(case_of((10,), reliable=False)).leveled_slices(TRAIN) == []


@pytest.mark.parametrize("split", [TRAIN, VALIDATION])
@pytest.mark.parametrize("repeat", [True, False])
def test_matched_slices_have_both_classes_in_equal_numbers(
    data: TrainingData, split: str, repeat: bool
) -> None:
    matched = data.matched_slices(split, repeat=repeat)
    counts = Counter(item.label for item in matched)
    assert counts[Label.TUMOR] == counts[Label.HEALTHY] > 0
    assert {data.splits[item.volume.patient] for item in matched} == {split}


@pytest.mark.parametrize("tumor", [(), tuple(range(COUNT))])
def test_without_a_level_that_has_both_classes_there_is_nothing_to_match(tumor: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="no level of the split 'train' has slices with and without tumor"):
        data_of(case_of(tumor)).matched_slices(TRAIN, repeat=True)


def test_levels_refer_to_the_training_patients_alone(phantom_cohort: Path, data: TrainingData) -> None:
    other = TrainingData(phantom_cohort)
    noise = np.random.default_rng(0)
    changed = [
        volume
        if other.splits[volume.patient] == TRAIN
        else replace(volume, image=noise.integers(0, 255, volume.image.shape, dtype=np.uint8))
        for volume in other.cohort.volumes
    ]
    other.cohort = replace(other.cohort, volumes=tuple(changed))  # type: ignore[misc]
    for before, after in zip(data.cases(TRAIN), other.cases(TRAIN), strict=True):
        np.testing.assert_array_equal(before.level, after.level)
    assert [case.patient for case in data.cases(VALIDATION)] == [v.patient for v in data.volumes(VALIDATION)]


# --- Generated cases beside real patients ----------------------------------------------------------


def write_generated(root: Path, origins: dict[str, tuple[str, str]], size: int) -> Path:
    """Generated cases with a manifest that says whom they show."""
    lines = []
    for case, (host, donor) in origins.items():
        write_patient(root, case, [20] * 3, size)
        record = {"name": case, "host": {"patient": host}, "donor": {"patient": donor}}
        lines.append(json.dumps(record))
    (root / "manifest.jsonl").write_text("\n".join(lines))
    return root


def patients_of(data: TrainingData, split: str) -> list[str]:
    return [volume.patient for volume in data.volumes(split)]


def test_generated_cases_of_another_folder_train_and_move_nobody(
    phantom_cohort: Path, tmp_path: Path
) -> None:
    alone = TrainingData(phantom_cohort)
    host, donor = patients_of(alone, TRAIN)[:2]
    folder = write_generated(tmp_path, {"SYN_PA_000000": (host, donor)}, 64)
    both = TrainingData(phantom_cohort, synthetic_dir=folder)
    assert patients_of(both, TRAIN) == sorted([*patients_of(alone, TRAIN), "SYN_PA_000000"])
    for split in (VALIDATION, TEST):
        assert patients_of(both, split) == patients_of(alone, split)
    assert set(both.patients_behind(TRAIN)) == {*alone.patients_behind(TRAIN), "SYN_PA_000000"}


@pytest.mark.parametrize("split", [VALIDATION, TEST])
@pytest.mark.parametrize("role", [0, 1])
def test_a_generated_case_that_shows_a_patient_of_an_evaluation_set_is_refused(
    phantom_cohort: Path, tmp_path: Path, split: str, role: int
) -> None:
    alone = TrainingData(phantom_cohort)
    shown = patients_of(alone, TRAIN)[:2]
    shown[role] = patients_of(alone, split)[0]
    folder = write_generated(tmp_path, {"SYN_PA_000000": (shown[0], shown[1])}, 64)
    with pytest.raises(LeakageError, match=f"SYN_PA_000000 shows {shown[role]}, who belongs to the {split}"):
        _ = TrainingData(phantom_cohort, synthetic_dir=folder).splits


@pytest.mark.parametrize("split", [TRAIN, VALIDATION, TEST])
def test_pseudonyms_are_checked_like_names_where_their_key_is_at_hand(
    phantom_cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "a key that only this test knows")
    alone = TrainingData(phantom_cohort)
    _, naming = make_naming("pseudonymous", [])
    host, donor = patients_of(alone, TRAIN)[0], patients_of(alone, split)[-1]
    folder = write_generated(tmp_path, {"SYN_PA_000000": (naming(host), naming(donor))}, 64)
    data = TrainingData(phantom_cohort, synthetic_dir=folder)
    if split == TRAIN:
        assert set(data.patients_behind(TRAIN)) == {*patients_of(alone, TRAIN), "SYN_PA_000000"}
    else:
        with pytest.raises(LeakageError, match=f"shows {donor}, who belongs to the {split}"):
            _ = data.splits


def test_pseudonyms_of_another_key_are_no_secret_from_who_trains_on_them(
    phantom_cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "a key that only this test knows")
    folder = write_generated(tmp_path, {"SYN_PA_000000": ("P0123456789abcdef", "Pfedcba9876543210")}, 64)
    assert TrainingData(phantom_cohort, synthetic_dir=folder).splits["SYN_PA_000000"] == TRAIN
    assert "2 pseudonyms of hosts and donors" in caplog.text
    assert "cannot be checked" in caplog.text


def test_a_generated_case_of_another_fold_is_refused_with_a_way_out_that_helps(
    phantom_cohort: Path, tmp_path: Path
) -> None:
    validating = TrainingData(phantom_cohort, fold=0, folds=3).volumes(VALIDATION)[0].patient
    folder = write_generated(tmp_path, {"SYN_PA_000000": (validating, validating)}, 64)
    data = TrainingData(phantom_cohort, synthetic_dir=folder, fold=0, folds=3)
    with pytest.raises(LeakageError, match="generate from a datalist of this fold, or train without fold"):
        _ = data.splits


def test_a_generated_case_without_a_manifest_is_refused(phantom_cohort: Path, tmp_path: Path) -> None:
    write_generated(tmp_path, {"SYN_PA_000000": ("A", "B")}, 64)
    (tmp_path / "manifest.jsonl").unlink()
    with pytest.raises(DataError, match="tells whom the generated case SYN_PA_000000 shows"):
        _ = TrainingData(phantom_cohort, synthetic_dir=tmp_path).splits


def test_folders_that_do_not_go_together_are_refused(phantom_cohort: Path, tmp_path: Path) -> None:
    other = write_generated(tmp_path / "size", {"SYN_PA_000000": ("A", "B")}, 128)
    with pytest.raises(DataError, match="has slices of another size"):
        _ = TrainingData(phantom_cohort, synthetic_dir=other).cohort
    with pytest.raises(DataError, match="give each patient once"):
        _ = TrainingData(phantom_cohort, synthetic_dir=phantom_cohort).cohort


# --- Folds -----------------------------------------------------------------------------------------


def names_of(data: TrainingData, split: str) -> set[str]:
    return {volume.patient for volume in data.volumes(split)}


def test_each_patient_validates_in_one_fold_and_test_patients_in_none(
    phantom_cohort: Path, data: TrainingData
) -> None:
    folds = [TrainingData(phantom_cohort, fold=fold, folds=3) for fold in range(3)]
    for item in folds:
        assert names_of(item, TEST) == names_of(data, TEST)
        assert not names_of(item, TRAIN) & names_of(item, VALIDATION)
    validating = [patient for item in folds for patient in names_of(item, VALIDATION)]
    assert len(validating) == len(set(validating))
    assert set(validating) == names_of(data, TRAIN) | names_of(data, VALIDATION)


def test_a_pinned_patient_trains_in_every_fold(phantom_cohort: Path) -> None:
    patient = TrainingData(phantom_cohort, fold=0, folds=3).volumes(VALIDATION)[0].patient
    pinned = TrainingData(phantom_cohort, fold=0, folds=3, pinned_to_train=[patient])
    assert patient in names_of(pinned, TRAIN)


@pytest.mark.parametrize(
    ("fold", "folds", "problem"),
    [
        (5, 5, "there are 5 folds, counted from 0, and no number 5; choose 0 to 4"),
        (-1, 5, "fold"),
        (0.5, 5, "fold"),
        (0, 1, "folds"),
    ],
)
def test_a_bad_fold_is_refused(fold: int, folds: int, problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        TrainingData("nowhere", fold=fold, folds=folds)


def test_more_folds_than_patients_are_refused(phantom_cohort: Path) -> None:
    with pytest.raises(ArgumentError, match="make no 50 folds; choose fewer"):
        TrainingData(phantom_cohort, fold=0, folds=50).volumes(TRAIN)


def test_every_slice_is_there_without_a_least_foreground(data: TrainingData) -> None:
    every = sum(len(volume.slice_numbers) for volume in data.volumes(TRAIN))
    assert len(data.slices(TRAIN, min_foreground=0)) == every
    assert len(data.slices(TRAIN, min_foreground=0.4)) < every


# --- A datalist in place of a split ----------------------------------------------------------------


def write_datalist(cohort_dir: Path, path: Path, parts: dict[str, str]) -> Path:
    """Write a datalist in which the patients named have these parts and the others are left out."""
    made = make_datalist(read_cohort(cohort_dir))
    entries = tuple(replace(e, split=parts[e.patient]) for e in made.entries if e.patient in parts)
    left_out = {e.patient: "left out" for e in made.entries if e.patient not in parts}
    path.write_text(to_json(replace(made, entries=entries, skipped=left_out)))
    return path


@pytest.fixture
def parts(data: TrainingData) -> dict[str, str]:
    """Seven of twelve patients."""
    names = [volume.patient for volume in data.cohort.volumes]
    return {name: [TRAIN, VALIDATION, TEST, TRAIN, TRAIN][i % 5] for i, name in enumerate(names[:7])}


def test_a_datalist_says_who_takes_part(phantom_cohort: Path, tmp_path: Path, parts: dict[str, str]) -> None:
    datalist = write_datalist(phantom_cohort, tmp_path / "datalist.json", parts)
    data = TrainingData(phantom_cohort, datalist=datalist, split_seed=3)
    assert data.splits == parts
    for split in (TRAIN, VALIDATION, TEST):
        theirs = [patient for patient, where in sorted(parts.items()) if where == split]
        assert data.patients_behind(split) == theirs
        assert {item.volume.patient for item in data.slices(split)} == set(theirs)


@pytest.mark.parametrize("role", [0, 1])
@pytest.mark.parametrize("where", [VALIDATION, TEST, "no"])
def test_with_a_datalist_generated_cases_show_training_patients_alone(
    phantom_cohort: Path, tmp_path: Path, parts: dict[str, str], where: str, role: int
) -> None:
    datalist = write_datalist(phantom_cohort, tmp_path / "datalist.json", parts)
    alone = TrainingData(phantom_cohort, datalist=datalist)
    everybody = [volume.patient for volume in alone.cohort.volumes]
    shown = patients_of(alone, TRAIN)[:2]
    folder = write_generated(tmp_path / "good", {"SYN_PA_000000": (shown[0], shown[1])}, 64)
    both = TrainingData(phantom_cohort, synthetic_dir=folder, datalist=datalist)
    assert patients_of(both, TRAIN) == ["SYN_PA_000000", *patients_of(alone, TRAIN)]
    shown[role] = next(patient for patient in everybody if parts.get(patient, "no") == where)
    folder = write_generated(tmp_path / "bad", {"SYN_PA_000000": (shown[0], shown[1])}, 64)
    complaint = f"shows {shown[role]}, who belongs to the {where} set; generate with the same datalist"
    with pytest.raises(LeakageError, match=complaint):
        _ = TrainingData(phantom_cohort, synthetic_dir=folder, datalist=datalist).splits


def test_a_datalist_of_other_patients_is_refused(
    phantom_cohort: Path, tmp_path: Path, parts: dict[str, str]
) -> None:
    datalist = write_datalist(phantom_cohort, tmp_path / "datalist.json", parts)
    write_patient(tmp_path / "other", "TCGA_PA_9999_20200101", [20] * 3)
    with pytest.raises(DataError, match="lacks patients of the datalist: TCGA_PA_0001"):
        _ = TrainingData(tmp_path / "other", datalist=datalist).splits


def test_a_datalist_that_splits_by_slice_is_refused(phantom_cohort: Path, tmp_path: Path) -> None:
    path = tmp_path / "datalist.json"
    path.write_text(to_json(make_datalist(read_cohort(phantom_cohort), split_by="slice")))
    with pytest.raises(LeakageError, match="has slices in"):
        _ = TrainingData(phantom_cohort, datalist=path).splits


def test_a_fold_beside_a_datalist_is_refused() -> None:
    with pytest.raises(ArgumentError, match="a fold is given, and a datalist"):
        TrainingData("nowhere", datalist="datalist.json", fold=0)
