"""Fractions that leave tumors out while the healthy slices of their patients stay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcf_bundle.data.datalist import Datalist, to_json
from mcf_bundle.data.lgg import Cohort, read_cohort
from mcf_bundle.data.splits import TEST, TRAIN, VALIDATION
from mcf_bundle.data.training_data import TrainingData
from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.audit_slices import real_slices
from mcf_bundle.generation.nearest import SliceGallery
from mcf_bundle.generation.source import GenerationSource, PoolRules
from mcf_bundle.resources import config_path
from mcf_bundle.study.config import PATIENTS, TUMORS
from mcf_bundle.study.config_file import read_config
from mcf_bundle.study.execution import check_ids
from mcf_bundle.study.splits import CROSS_VALIDATION, TUMOR_MARGIN, Split, make_datalists, patients_of
from mcf_bundle.training.classification_report import level_alone
from tests.study.studies import make_config

CONFIG = make_config(folds=2, fractions=[1.0, 0.5], validation_share=0.2, left_out=TUMORS)
WHOLE, HALF = (Split(CROSS_VALIDATION, "0", fraction) for fraction in CONFIG.fractions)

Slices = set[tuple[str, int]]


@pytest.fixture(scope="module")
def cohort(phantom_cohort: Path) -> Cohort:
    return read_cohort(phantom_cohort)


@pytest.fixture(scope="module")
def datalists(cohort: Cohort) -> dict[Split, Datalist]:
    return make_datalists(cohort, CONFIG)


@pytest.fixture(scope="module")
def path(datalists: dict[Split, Datalist], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("half") / "datalist.json"
    file.write_text(to_json(datalists[HALF]))
    return file


@pytest.fixture(scope="module")
def without(cohort: Cohort, datalists: dict[Split, Datalist]) -> list[str]:
    """The training patients who have lost their tumors."""
    patients = replace(CONFIG, left_out=PATIENTS)
    kept = patients_of(make_datalists(cohort, patients)[HALF], TRAIN)
    return sorted(set(patients_of(datalists[WHOLE], TRAIN)) - set(kept))


def near_tumors(cohort: Cohort, patients: Iterable[str], margin: int) -> Slices:
    """Slices within a margin of a tumor slice of these patients, by patient and number."""
    return {
        (volume.patient, number)
        for volume in cohort.volumes
        if volume.patient in patients
        for tumor in np.flatnonzero(volume.labels)
        for index, number in enumerate(volume.slice_numbers)
        if abs(index - tumor) <= margin
    }


def listed(datalist: Datalist, split: str) -> Slices:
    return {(entry.patient, entry.slice) for entry in datalist.entries if entry.split == split}


def test_all_patients_keep_their_part_and_some_lose_the_slices_near_their_tumors(
    cohort: Cohort, datalists: dict[Split, Datalist], without: list[str]
) -> None:
    assert len(without) == len(patients_of(datalists[WHOLE], TRAIN)) // 2
    gone = near_tumors(cohort, without, TUMOR_MARGIN)
    assert gone
    assert listed(datalists[WHOLE], TRAIN) - listed(datalists[HALF], TRAIN) == gone
    for split in (VALIDATION, TEST):
        assert listed(datalists[WHOLE], split) == listed(datalists[HALF], split)


def test_patients_whose_slices_are_all_near_a_tumor_are_skipped(cohort: Cohort) -> None:
    full = tuple(replace(volume, mask=np.ones_like(volume.mask)) for volume in cohort.volumes)
    found = make_datalists(Cohort(cohort.root, full), CONFIG)
    training = {split: set(patients_of(item, TRAIN)) for split, item in found.items()}
    assert training[HALF] < training[WHOLE]
    assert found[HALF].skipped.keys() == training[WHOLE] - training[HALF]
    assert not {entry.patient for entry in found[HALF].entries} & found[HALF].skipped.keys()


def test_a_training_reads_nothing_of_a_tumor_that_was_left_out(
    cohort: Cohort, path: Path, without: list[str]
) -> None:
    data = TrainingData(cohort.root, datalist=path)
    for refs in (data.slices(TRAIN, min_foreground=0), [item.ref for item in data.leveled_slices(TRAIN)]):
        read = {
            (ref.volume.patient, ref.volume.slice_numbers[index])
            for ref in refs
            for index in range(max(ref.index - 1, 0), min(ref.index + 2, len(ref.volume.image)))
        }
        assert read & near_tumors(cohort, without, 0) == set()
        assert without[0] in {patient for patient, _ in read}
        assert any(ref.label for ref in refs)


def test_who_lost_the_tumors_lends_none_and_is_a_host(
    cohort: Cohort, datalists: dict[Split, Datalist], without: list[str]
) -> None:
    whole, half = (GenerationSource(cohort, datalists[split], PoolRules()) for split in (WHOLE, HALF))
    assert set(without) & set(whole.donors.patients)
    assert set(half.donors.patients) == set(whole.donors.patients) - set(without)
    assert half.tumor_count == whole.tumor_count - len(near_tumors(cohort, without, 0))
    assert set(without) & set(half.hosts.patients)
    assert half.survey.template.patient_count == whole.survey.template.patient_count, "levels need all slices"


def test_near_copies_are_searched_among_listed_slices(
    cohort: Cohort, datalists: dict[Split, Datalist]
) -> None:
    source = GenerationSource(cohort, datalists[HALF], PoolRules())
    assert len(SliceGallery(source.survey.cases).vectors) == len(listed(datalists[HALF], TRAIN))


def test_the_audit_compares_with_listed_slices(cohort: Cohort, datalists: dict[Split, Datalist]) -> None:
    cases = GenerationSource(cohort, datalists[HALF], PoolRules()).survey.cases
    audited = {(item.patient, item.slice) for item in real_slices(cases, lambda name: name)}
    assert audited == listed(datalists[HALF], TRAIN)


def test_the_level_alone_knows_no_tumor_that_was_left_out(cohort: Cohort, path: Path) -> None:
    guesses = level_alone(TrainingData(cohort.root, datalist=path), TEST)
    emptied = TrainingData(cohort.root, datalist=path)
    kept = {case.patient: case for case in emptied.cases(TRAIN)}
    for case in kept.values():
        case.volume.mask[sorted(case.unlisted)] = ~case.volume.mask[sorted(case.unlisted)]
    assert level_alone(emptied, TEST) == guesses


def test_the_levels_at_which_tumors_were_seen_are_those_of_listed_tumors(
    cohort: Cohort, datalists: dict[Split, Datalist], without: list[str]
) -> None:
    cases = GenerationSource(cohort, datalists[HALF], PoolRules()).survey.cases
    numbers = {
        (case.patient, case.volume.slice_numbers[index]) for case in cases for index in case.tumor_slices
    }
    there = near_tumors(cohort, patients_of(datalists[HALF], TRAIN), 0)
    assert numbers == there - near_tumors(cohort, without, 0)


@pytest.mark.parametrize("scale", ["smoke", "cpu"])
def test_the_shipped_study_of_few_tumors_is_valid(scale: str) -> None:
    config = read_config(config_path("studies/lgg_few"), scale)
    check_ids(config)
    assert config.left_out == TUMORS
    assert max(config.fractions) < 1


def test_studies_that_leave_patients_out_are_what_they_were_before_tumors_could_be() -> None:
    assert "left_out" not in make_config(left_out=PATIENTS).as_json()
    assert CONFIG.as_json()["left_out"] == TUMORS
    assert CONFIG.hash != replace(CONFIG, left_out=PATIENTS).hash


def test_anything_else_to_leave_out_is_refused() -> None:
    with pytest.raises(ArgumentError, match="left_out: 'slices' does not exist; choose one of patients, tum"):
        make_config(left_out="slices")
