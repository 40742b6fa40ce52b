from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from mcf_bundle.data.datalist import Datalist, read_datalist
from mcf_bundle.data.lgg import Cohort, read_cohort
from mcf_bundle.data.splits import TEST, TRAIN, VALIDATION
from mcf_bundle.errors import ArgumentError, DataError
from mcf_bundle.study.config import StudyConfig
from mcf_bundle.study.splits import (
    CROSS_VALIDATION,
    INSTITUTION,
    Split,
    list_splits,
    make_datalists,
    patients_of,
    write_datalists,
)
from tests.study.studies import make_config


@pytest.fixture(scope="module")
def cohort(phantom_cohort: Path) -> Cohort:
    return read_cohort(phantom_cohort)


CONFIG = make_config(folds=3, fractions=[1.0, 0.5, 0.25], institutions=["PA", "PC"], validation_share=0.25)


@pytest.fixture(scope="module")
def datalists(cohort: Cohort) -> dict[Split, Datalist]:
    return make_datalists(cohort, CONFIG)


def of(datalists: dict[Split, Datalist], question: str, fraction: float = 1.0) -> list[Datalist]:
    return [
        item for split, item in datalists.items() if split.question == question and split.fraction == fraction
    ]


def test_splits_come_by_fraction_then_fold_then_institution() -> None:
    names = [split.name for split in list_splits(CONFIG)]
    assert names[:4] == ["f0-p100", "f1-p100", "f2-p100", "f0-p50"]
    assert names[-2:] == ["iPA-p100", "iPC-p100"]


@pytest.mark.parametrize("fraction", [1.0, 0.5, 0.25])
def test_every_patient_tests_in_exactly_one_fold(
    cohort: Cohort, datalists: dict[Split, Datalist], fraction: float
) -> None:
    tested = Counter(
        patient for item in of(datalists, CROSS_VALIDATION, fraction) for patient in patients_of(item, TEST)
    )
    assert tested == Counter(volume.patient for volume in cohort.volumes)


def test_with_all_data_every_patient_has_a_part_and_validation_has_its_share(
    cohort: Cohort, datalists: dict[Split, Datalist]
) -> None:
    for item in of(datalists, CROSS_VALIDATION):
        counts = Counter(item.patient_splits().values())
        assert counts == {TRAIN: 6, VALIDATION: 2, TEST: 4}
        assert not item.skipped


def test_a_smaller_fraction_has_some_of_the_training_patients_of_a_larger_one(
    datalists: dict[Split, Datalist],
) -> None:
    for fold in range(3):
        whole, half, quarter = (
            datalists[Split(CROSS_VALIDATION, str(fold), fraction)] for fraction in (1.0, 0.5, 0.25)
        )
        sizes = [len(patients_of(item, TRAIN)) for item in (whole, half, quarter)]
        assert sizes[0] > sizes[1] > sizes[2] > 0
        assert (
            set(patients_of(quarter, TRAIN)) < set(patients_of(half, TRAIN)) < set(patients_of(whole, TRAIN))
        )
        for split in (VALIDATION, TEST):
            assert patients_of(whole, split) == patients_of(half, split) == patients_of(quarter, split)


def test_who_is_left_out_by_a_fraction_stands_in_no_split(datalists: dict[Split, Datalist]) -> None:
    whole, half = (datalists[Split(CROSS_VALIDATION, "0", fraction)] for fraction in (1.0, 0.5))
    left_out = set(patients_of(whole, TRAIN)) - set(patients_of(half, TRAIN))
    assert left_out == half.skipped.keys()
    assert not left_out & {entry.patient for entry in half.entries}


def test_a_left_out_institution_tests_alone_and_completely(
    cohort: Cohort, datalists: dict[Split, Datalist]
) -> None:
    for code in ("PA", "PC"):
        item = datalists[Split(INSTITUTION, code, 1.0)]
        theirs = [volume.patient for volume in cohort.volumes if volume.institution == code]
        assert patients_of(item, TEST) == theirs
        assert {entry.institution for entry in item.entries if entry.split != TEST}.isdisjoint({code})


def test_named_folds_are_taken_as_they_are(cohort: Cohort) -> None:
    names = [volume.patient for volume in cohort.volumes]
    named = replace(CONFIG, folds=[names[:3], names[5:7]], fractions=[1.0], institutions=())
    found = make_datalists(cohort, named)
    assert [patients_of(item, TEST) for item in found.values()] == [names[:3], names[5:7]]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"folds": 13}, "12 patients make no 13 folds"),
        ({"folds": [["A"], ["B"]]}, "there is no patient A"),
        ({"institutions": ["CS"]}, "no patient is of 'CS'; choose of PA, PB, PC"),
        ({"fractions": [0.01]}, "f0-p1 leaves no train patient of 8"),
        ({"validation_share": 0.01}, "f0-p100 leaves no validation patient of 8"),
    ],
)
def test_what_the_patients_cannot_give_is_refused(
    cohort: Cohort, changes: dict[str, object], complaint: str
) -> None:
    config: StudyConfig = replace(CONFIG, **{"institutions": (), **changes})  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=complaint):
        make_datalists(cohort, config)


def test_datalists_are_written_once_and_others_are_refused(
    cohort: Cohort, datalists: dict[Split, Datalist], tmp_path: Path
) -> None:
    paths = write_datalists(datalists, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in paths.values()}
    assert write_datalists(datalists, tmp_path) == paths
    assert {path: path.stat().st_mtime_ns for path in paths.values()} == before
    assert all(read_datalist(path) == datalists[split] for split, path in paths.items())
    fewer = Cohort(cohort.root, cohort.volumes[:-1])
    with pytest.raises(DataError, match="was made from other patients or slices"):
        write_datalists(make_datalists(fewer, CONFIG), tmp_path)


def test_generated_cases_are_refused(cohort: Cohort) -> None:
    generated = replace(cohort.volumes[0], patient="SYN_PA_000000")
    with pytest.raises(DataError, match="holds generated cases, such as SYN_PA_000000"):
        make_datalists(Cohort(cohort.root, (*cohort.volumes, generated)), CONFIG)
