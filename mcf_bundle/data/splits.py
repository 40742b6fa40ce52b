"""Which patient trains, validates or tests: stratified, by patient, reproducible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from mcf_bundle.data.generated_case import is_generated
from mcf_bundle.data.missing_sequences import find_missing_sequences
from mcf_bundle.data.volume import Volume

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLIT_SHARES = {TRAIN: 0.70, VALIDATION: 0.15, TEST: 0.15}
"""Share of the patients in each split."""

PAPER_SHARES = {TRAIN: 0.8, VALIDATION: 0.1, TEST: 0.1}
"""Share of the slices in the paper's split by slice."""

MIN_STRATUM = 5
"""Strata with fewer patients are merged."""

Key = TypeVar("Key")


@dataclass(frozen=True)
class PatientTraits:
    """What patients are stratified by.

    Attributes:
        patient: name.
        institution: code.
        burden: tumor pixels in the volume.
        missing: which channels are copies of FLAIR.
    """

    patient: str
    institution: str
    burden: int
    missing: tuple[bool, ...]


def patient_traits(volume: Volume) -> PatientTraits:
    """Return the traits of a volume."""
    return PatientTraits(
        volume.patient, volume.institution, int(volume.mask.sum()), find_missing_sequences(volume.image)
    )


def split_patients(
    traits: Sequence[PatientTraits], split_seed: int, *, pinned_to_train: Iterable[str] = ()
) -> dict[str, str]:
    """Split patients 70/15/15, stratified by institution, tumor burden in tertiles and missing sequences.

    Strata of fewer than five patients are merged: first over missing sequences, then over burden, then over
    institutions. Inside a stratum the order is drawn from `split_seed`; along the strata each patient goes to
    the split that lags furthest behind its share, so the shares hold over the
    cohort to within one patient and in each stratum nearly so. Three or four patients leave no test patient.

    Args:
        traits: one a patient; the order does not matter.
        split_seed: seed of the order; unrelated to the seed of a generation.
        pinned_to_train: patients that must train, since a checkpoint saw them. They alone move; nobody moves
            between validation and test for them.

    Returns:
        Split by patient, ordered by name. Generated cases train, unless there are no others.
    """
    real = [item for item in traits if not is_generated(item.patient)] or list(traits)
    splits = dict.fromkeys((item.patient for item in traits), TRAIN)
    splits |= deal_patients(real, split_seed, SPLIT_SHARES)
    pinned = set(pinned_to_train) & splits.keys()
    return dict(sorted((splits | dict.fromkeys(pinned, TRAIN)).items()))


def deal_patients(
    traits: Sequence[PatientTraits], split_seed: int, shares: Mapping[str, float]
) -> dict[str, str]:
    """Deal patients into groups of given shares, stratified as in `split_patients`.

    Args:
        traits: one a patient; the order does not matter.
        split_seed: seed of the order inside the strata.
        shares: share of the patients by group, 1 in all.

    Returns:
        Group by patient, along the strata.
    """
    return _deal(_stratified_order(traits, split_seed), shares)


def assign_folds(traits: Sequence[PatientTraits], split_seed: int, folds: int = 5) -> dict[str, int]:
    """Deal all patients into cross-validation folds, stratified as in `split_patients`.

    Returns:
        Fold by patient, from 0 to folds - 1, ordered by name.
    """
    order = _stratified_order(traits, split_seed)
    return dict(sorted((patient, position % folds) for position, patient in enumerate(order)))


def split_slices(
    slices: Sequence[tuple[str, int]], split_seed: int, shares: Mapping[str, float] = PAPER_SHARES
) -> dict[tuple[str, int], str]:
    """Split slices 8:1:1 as the paper does. Slices of one patient stand in train and test: this split leaks.

    Args:
        slices: (patient, slice number) pairs; the order does not matter.
        split_seed: seed of the order.
        shares: share of the slices by split, 1 in all.
    """
    ordered = sorted(slices)
    shuffled = [ordered[i] for i in np.random.default_rng(split_seed).permutation(len(ordered))]
    return _deal(shuffled, shares)


def _stratified_order(traits: Sequence[PatientTraits], split_seed: int) -> list[str]:
    """Order patients stratum by stratum, and at random inside each."""
    ordered = sorted(traits, key=lambda item: item.patient)
    ranks = np.random.default_rng(split_seed).permutation(len(ordered))
    rank = {item.patient: int(place) for item, place in zip(ordered, ranks, strict=True)}
    strata = _strata(ordered)
    return sorted(rank, key=lambda patient: (strata[patient], rank[patient]))


def _strata(traits: Sequence[PatientTraits]) -> dict[str, tuple[str, ...]]:
    tertiles = np.quantile([item.burden for item in traits], (1 / 3, 2 / 3))

    def burden(item: PatientTraits) -> str:
        return f"burden {np.searchsorted(tertiles, item.burden)}"

    def missing(item: PatientTraits) -> str:
        return "missing " + "".join(str(int(flag)) for flag in item.missing)

    coarser: list[Callable[[PatientTraits], tuple[str, ...]]] = [
        lambda item: (item.institution, burden(item), missing(item)),
        lambda item: (item.institution, burden(item)),
        lambda item: (item.institution,),
        lambda item: (),
    ]
    strata: dict[str, tuple[str, ...]] = {}
    left = list(traits)
    for key in coarser:
        sizes = Counter(map(key, left))
        last = key is coarser[-1]
        strata |= {item.patient: key(item) for item in left if last or sizes[key(item)] >= MIN_STRATUM}
        left = [item for item in left if item.patient not in strata]
    return strata


def _deal(order: Sequence[Key], shares: Mapping[str, float]) -> dict[Key, str]:
    """Give each key, in order, to the split that lags furthest behind its share."""
    given: Counter[str] = Counter()
    dealt = {}
    for position, key in enumerate(order, start=1):
        split = max(shares, key=lambda name: shares[name] * position - given[name])
        given[split] += 1
        dealt[key] = split
    return dealt
