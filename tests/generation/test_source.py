"""Who may train, validate or test beside checkpoints that know some of the patients; who lends tumors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcf_bundle.data.datalist import Datalist, make_datalist
from mcf_bundle.data.lgg import Cohort, read_cohort
from mcf_bundle.data.splits import TEST, TRAIN, VALIDATION
from mcf_bundle.errors import LeakageError
from mcf_bundle.generation.source import GenerationSource, PoolRules, check_unseen, split_around
from mcf_bundle.networks.checkpoint import Checkpoint, hash_patient


@pytest.fixture(scope="module")
def cohort(phantom_cohort: Path) -> Cohort:
    return read_cohort(phantom_cohort)


@pytest.fixture(scope="module")
def datalist(cohort: Cohort) -> Datalist:
    """The split that nobody's knowledge disturbs."""
    return make_datalist(cohort)


def of_split(datalist: Datalist, split: str) -> list[str]:
    return [patient for patient, there in datalist.patient_splits().items() if there == split]


def checkpoint(*, trained: Iterable[str] = (), chosen: Iterable[str] = ()) -> Checkpoint:
    """A checkpoint that was trained on some patients and chosen by its results on others."""
    return Checkpoint(
        "smoke",
        "denoiser",
        frozenset(map(hash_patient, trained)),
        validation_patients=frozenset(map(hash_patient, chosen)),
    )


# --- Without a datalist ----------------------------------------------------------------------------


def test_a_checkpoint_of_the_same_split_moves_nobody(cohort: Cohort, datalist: Datalist) -> None:
    train, validation = of_split(datalist, TRAIN), of_split(datalist, VALIDATION)
    made, pinned = split_around(cohort, [checkpoint(trained=train, chosen=validation)], 0)
    assert made == datalist
    assert pinned == train


@pytest.mark.parametrize(("how", "there"), [("trained", TRAIN), ("chosen", VALIDATION)])
@pytest.mark.parametrize("split", [TRAIN, VALIDATION, TEST])
def test_whom_a_checkpoint_knows_is_moved_and_nobody_else(
    cohort: Cohort, datalist: Datalist, how: str, there: str, split: str
) -> None:
    patient = of_split(datalist, split)[0]
    made, pinned = split_around(cohort, [checkpoint(), checkpoint(**{how: [patient, "somebody else"]})], 0)
    assert made.patient_splits() == {**datalist.patient_splits(), patient: there}
    assert pinned == ([patient] if how == "trained" else [])


def test_who_trained_one_checkpoint_and_chose_another_trains(cohort: Cohort, datalist: Datalist) -> None:
    patient = of_split(datalist, TEST)[0]
    known = [checkpoint(chosen=[patient]), checkpoint(trained=[patient])]
    made, pinned = split_around(cohort, known, 0)
    assert made.patient_splits()[patient] == TRAIN
    assert pinned == [patient]


@pytest.mark.parametrize("split_seed", range(5))
def test_a_split_around_checkpoints_is_one_that_they_may_be_used_with(
    cohort: Cohort, datalist: Datalist, split_seed: int
) -> None:
    known = checkpoint(trained=of_split(datalist, TRAIN), chosen=of_split(datalist, VALIDATION))
    made, _ = split_around(cohort, [known], split_seed)
    check_unseen(made, {"model.pt": known})


# --- With a datalist -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "split", "words"),
    [
        ("trained", VALIDATION, "was trained on"),
        ("trained", TEST, "was trained on"),
        ("chosen", TEST, "was chosen by its results on"),
    ],
)
def test_a_checkpoint_that_knows_an_evaluation_patient_is_refused(
    datalist: Datalist, how: str, split: str, words: str
) -> None:
    patient = of_split(datalist, split)[-1]
    with pytest.raises(LeakageError) as caught:
        check_unseen(datalist, {"ckpt": checkpoint(), "gate_ckpt": checkpoint(**{how: [patient]})})
    assert caught.value.where == "gate_ckpt"
    assert caught.value.problem == f"{words} patient {patient}, who belongs to the {split} set"


@pytest.mark.parametrize(("how", "split"), [("trained", TRAIN), ("chosen", TRAIN), ("chosen", VALIDATION)])
def test_a_checkpoint_that_knows_no_evaluation_patient_is_fine(
    datalist: Datalist, how: str, split: str
) -> None:
    check_unseen(datalist, {"ckpt": checkpoint(**{how: of_split(datalist, split)})})


# --- Patients without any tumor --------------------------------------------------------------------


def test_patients_without_a_tumor_are_hosts_and_no_donors(cohort: Cohort, datalist: Datalist) -> None:
    healthy = set(of_split(datalist, TRAIN)[::2])
    volumes = tuple(
        replace(volume, mask=np.zeros_like(volume.mask)) if volume.patient in healthy else volume
        for volume in cohort.volumes
    )
    emptied = Cohort(cohort.root, volumes)
    before = GenerationSource(cohort, datalist, PoolRules())
    after = GenerationSource(emptied, make_datalist(emptied), PoolRules())
    assert healthy & set(before.donors.patients)
    assert not healthy & set(after.donors.patients)
    training = healthy & set(of_split(after.datalist, TRAIN))
    assert training & set(after.hosts.patients)
