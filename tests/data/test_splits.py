from __future__ import annotations

import random
from collections import Counter, defaultdict

import numpy as np
import pytest

from mcf_bundle.data.splits import (
    PAPER_SHARES,
    SPLIT_SHARES,
    TEST,
    TRAIN,
    VALIDATION,
    PatientTraits,
    assign_folds,
    patient_traits,
    split_patients,
    split_slices,
)
from mcf_bundle.data.volume import Channel, Volume

COMPLETE = (False, False, False)


def make_traits(count: int = 110, institutions: str = "AABBC", seed: int = 0) -> list[PatientTraits]:
    """Patients of three institutions, of which one is small, with random tumor burdens."""
    draw = random.Random(seed)
    return [
        PatientTraits(
            f"P_{institutions[i % len(institutions)]}_{i:03d}",
            institutions[i % len(institutions)],
            draw.randrange(100_000),
            (draw.random() < 0.1, False, draw.random() < 0.05),
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("count", [7, 12, 20, 40, 110])
@pytest.mark.parametrize("split_seed", [0, 1, 7])
def test_splits_have_their_shares_to_within_a_patient(count: int, split_seed: int) -> None:
    given = Counter(split_patients(make_traits(count), split_seed).values())
    assert given.keys() == SPLIT_SHARES.keys()
    assert all(abs(given[split] - share * count) < 1 for split, share in SPLIT_SHARES.items())


def test_every_patient_is_in_one_split_and_names_are_ordered() -> None:
    traits = make_traits()
    assert list(split_patients(traits, 0)) == sorted(item.patient for item in traits)


@pytest.mark.parametrize("split_seed", range(5))
def test_every_institution_and_tertile_of_burden_has_its_shares(split_seed: int) -> None:
    traits = make_traits(120)
    splits = split_patients(traits, split_seed)
    tertiles = np.quantile([item.burden for item in traits], (1 / 3, 2 / 3))
    groups = defaultdict(list)
    for item in traits:
        groups[item.institution].append(splits[item.patient])
        groups[f"tertile {np.searchsorted(tertiles, item.burden)}"].append(splits[item.patient])
    for name, found in groups.items():
        for split, share in SPLIT_SHARES.items():
            # A group is a handful of strata, each of which is right to within about a patient.
            assert abs(found.count(split) - share * len(found)) <= 3, (name, split)
        assert {TRAIN, VALIDATION, TEST} == set(found)


@pytest.mark.parametrize("split_seed", range(5))
def test_one_stratum_is_split_as_exactly_as_a_cohort(split_seed: int) -> None:
    traits = [PatientTraits(f"P_A_{i}", "A", 100, COMPLETE) for i in range(20)]
    assert Counter(split_patients(traits, split_seed).values()) == {TRAIN: 14, VALIDATION: 3, TEST: 3}


def test_patients_with_a_missing_sequence_are_spread_when_there_are_enough() -> None:
    traits = [PatientTraits(f"P_A_{i:02d}", "A", 100, (False, False, i < 20)) for i in range(60)]
    splits = split_patients(traits, 0)
    lacking = Counter(splits[item.patient] for item in traits if item.missing[2])
    assert all(abs(lacking[split] - share * 20) <= 1 for split, share in SPLIT_SHARES.items())


def test_the_order_of_the_patients_does_not_matter() -> None:
    traits = make_traits()
    shuffled = random.Random(3).sample(traits, len(traits))
    assert split_patients(shuffled, 0) == split_patients(traits, 0)
    assert assign_folds(shuffled, 0) == assign_folds(traits, 0)


def test_the_split_seed_decides() -> None:
    traits = make_traits()
    assert split_patients(traits, 0) == split_patients(traits, 0)
    assert split_patients(traits, 0) != split_patients(traits, 1)


@pytest.mark.parametrize("split_seed", range(4))
def test_pinned_patients_train_and_nobody_else_moves(split_seed: int) -> None:
    traits = make_traits(40)
    pinned = [item.patient for item in traits[::4]]
    free = split_patients(traits, split_seed)
    splits = split_patients(traits, split_seed, pinned_to_train=[*pinned, "somebody else"])
    assert all(splits[patient] == TRAIN for patient in pinned)
    assert all(splits[patient] == free[patient] for patient in free if patient not in pinned)
    assert "somebody else" not in splits


def test_pinning_the_training_patients_changes_nothing() -> None:
    traits = make_traits(30)
    free = split_patients(traits, 0)
    train = [patient for patient, split in free.items() if split == TRAIN]
    assert split_patients(traits, 0, pinned_to_train=train) == free


def test_generated_cases_train_beside_real_patients_and_change_nobodys_split() -> None:
    real = make_traits(20)
    generated = [PatientTraits(f"SYN_A_{i:06d}", "A", 100, COMPLETE) for i in range(9)]
    splits = split_patients([*real, *generated], 0)
    assert {splits[item.patient] for item in generated} == {TRAIN}
    assert {patient: splits[patient] for patient in split_patients(real, 0)} == split_patients(real, 0)


def test_generated_cases_alone_are_split_like_patients() -> None:
    generated = [PatientTraits(f"SYN_A_{i:06d}", "A", 100, COMPLETE) for i in range(20)]
    assert Counter(split_patients(generated, 0).values()) == {TRAIN: 14, VALIDATION: 3, TEST: 3}


def test_small_strata_are_merged_so_that_three_lone_institutions_still_split() -> None:
    traits = [PatientTraits(f"P_{i}", f"I{i}", i, COMPLETE) for i in range(20)]
    assert Counter(split_patients(traits, 0).values()) == {TRAIN: 14, VALIDATION: 3, TEST: 3}


@pytest.mark.parametrize("folds", [2, 5])
def test_folds_are_of_one_size_and_stratified(folds: int) -> None:
    traits = make_traits(100)
    assigned = assign_folds(traits, 0, folds)
    assert set(Counter(assigned.values()).values()) == {100 // folds}
    for institution in "ABC":
        sizes = Counter(assigned[item.patient] for item in traits if item.institution == institution)
        assert max(sizes.values()) - min(sizes.values()) <= 4


def test_the_paper_s_split_by_slice_leaks() -> None:
    slices = [(f"P{patient}", number) for patient in range(10) for number in range(20)]
    splits = split_slices(slices[::-1], 0)
    assert splits == split_slices(slices, 0)
    assert Counter(splits.values()) == {name: round(share * 200) for name, share in PAPER_SHARES.items()}
    patients = {
        split: {patient for (patient, _), s in splits.items() if s == split} for split in PAPER_SHARES
    }
    assert patients[TRAIN] & patients[TEST]


def test_traits_are_read_from_the_volume() -> None:
    image = np.random.default_rng(0).integers(0, 255, (3, 3, 8, 8), dtype=np.uint8)
    image[:, Channel.POST] = image[:, Channel.FLAIR]
    mask = np.zeros((3, 8, 8), bool)
    mask[1, 2:4, 2:5] = True
    traits = patient_traits(Volume("P_A_1", "A", (1, 2, 3), image, mask))
    assert traits == PatientTraits("P_A_1", "A", 6, (False, False, True))
