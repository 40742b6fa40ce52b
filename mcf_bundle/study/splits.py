"""Who trains, validates and tests in each part of a study, as datalists that every config reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from mcf_bundle.atomic_file import write_text
from mcf_bundle.data.datalist import Datalist, make_datalist, read_datalist, split_digest, to_json
from mcf_bundle.data.generated_case import is_generated
from mcf_bundle.data.lgg import Cohort
from mcf_bundle.data.splits import (
    TEST,
    TRAIN,
    VALIDATION,
    PatientTraits,
    assign_folds,
    deal_patients,
    patient_traits,
    split_slices,
)
from mcf_bundle.errors import ArgumentError, DataError
from mcf_bundle.study.config import TUMORS, StudyConfig

CROSS_VALIDATION, INSTITUTION, BY_SLICE = "cross_validation", "institution_left_out", "split_by_slice"
QUESTIONS: Mapping[str, str] = {CROSS_VALIDATION: "f", INSTITUTION: "i", BY_SLICE: "s"}
"""On what the models are tested, with the first letter of the splits' names; the last one leaks by design."""

TUMOR_MARGIN = 2
"""Slices on either side of a tumor that go with it: none of a triplet that trains shows any of it."""

_KEPT, _LEFT_OUT = "kept", "left out"


@dataclass(frozen=True)
class Split:
    """One way to part the patients.

    Attributes:
        question: a key of `QUESTIONS`.
        fold: number of the fold from 0, or code of the institution, whose patients or slices test.
        fraction: share of the training patients that take part.
    """

    question: str
    fold: str
    fraction: float

    @property
    def name(self) -> str:
        """Name for folders.

        >>> Split(CROSS_VALIDATION, "0", 0.25).name, Split(INSTITUTION, "CS", 1.0).name
        ('f0-p25', 'iCS-p100')
        """
        return f"{QUESTIONS[self.question]}{self.fold}-p{100 * self.fraction:g}"


def list_splits(config: StudyConfig) -> list[Split]:
    """List the splits of a study: folds by fraction, largest first, left-out institutions, folds by slice."""
    folds = range(config.fold_count)
    fractions = sorted(config.fractions, reverse=True)
    crossed = [Split(CROSS_VALIDATION, str(fold), share) for share in fractions for fold in folds]
    left_out = [Split(INSTITUTION, code, 1.0) for code in config.institutions]
    leaking = [Split(BY_SLICE, str(fold), 1.0) for fold in folds] if config.slice_split else []
    return [*crossed, *left_out, *leaking]


def make_datalists(cohort: Cohort, config: StudyConfig) -> dict[Split, Datalist]:
    """Part the patients of a cohort in every way that a study asks for.

    All patients but the test patients are dealt into training and validation patients, stratified. Fractions
    are nested: the patients of a smaller one are among those of a larger one. The validation and test
    patients are the same in all fractions.

    Args:
        cohort: real patients; generated cases are not allowed.
        config: the study.

    Returns:
        A datalist by split. Training patients left out by a fraction stand in `skipped`. Where only their
        tumors are left out, they train, and their slices near a tumor are not listed.

    Raises:
        ArgumentError: there are too few patients, or a fold's patient or institution does not exist.
        DataError: the cohort has generated cases.
    """
    if generated := [volume.patient for volume in cohort.volumes if is_generated(volume.patient)]:
        remedy = "give the folder of the real patients alone"
        raise DataError(cohort.root, f"holds generated cases, such as {generated[0]}", remedy)
    traits = {volume.patient: patient_traits(volume) for volume in cohort.volumes}
    everybody = make_datalist(cohort, split_seed=config.split_seed)
    tests = _test_patients(traits, config)
    found = {}
    for split in list_splits(config):
        if split.question == BY_SLICE:
            found[split] = _split_by_slice(everybody, config, split)
            continue
        test = tests[split.question, split.fold]
        rest = [item for patient, item in traits.items() if patient not in test]
        parts = dict.fromkeys(test, TEST) | _part(rest, config, split)
        healthy = _without_tumors(cohort, parts) if config.left_out == TUMORS else {}
        found[split] = _restrict(everybody, parts, healthy, split)
    return found


def write_datalists(datalists: dict[Split, Datalist], folder: Path) -> dict[Split, Path]:
    """Write datalists, or make sure that those that lie there are the same.

    Returns:
        The file by split, ``<name>.json``.

    Raises:
        DataError: a file cannot be written or read, or was made from other patients or slices.
    """
    paths = {split: folder / f"{split.name}.json" for split in datalists}
    for split, path in paths.items():
        if not path.exists():
            write_text(path, to_json(datalists[split]))
        elif split_digest(read_datalist(path)) != split_digest(datalists[split]):
            problem = "was made from other patients or slices than the dataset has now"
            raise DataError(path, problem, "give the study's dataset_dir, or another output_dir")
    return paths


def patients_of(datalist: Datalist, split: str) -> list[str]:
    """Return the names of a split's patients, ordered."""
    return [patient for patient, where in datalist.patient_splits().items() if where == split]


def _test_patients(
    traits: dict[str, PatientTraits], config: StudyConfig
) -> dict[tuple[str, str], frozenset[str]]:
    """Return the test patients by question and fold."""
    folds = _folds(traits, config)
    tests = {(CROSS_VALIDATION, str(number)): frozenset(patients) for number, patients in enumerate(folds)}
    known = sorted({item.institution for item in traits.values()} - {""})
    for code in config.institutions:
        if code not in known:
            remedy = f"choose of {', '.join(known)}" if known else "the patients' names have no codes"
            raise ArgumentError("institutions", f"no patient is of {code!r}", remedy)
        tests[INSTITUTION, code] = frozenset(p for p, item in traits.items() if item.institution == code)
    return tests


def _folds(traits: dict[str, PatientTraits], config: StudyConfig) -> Sequence[Sequence[str]]:
    if isinstance(config.folds, int):
        if len(traits) < config.folds:
            problem = f"{len(traits)} patients make no {config.folds} folds"
            raise ArgumentError("folds", problem, "choose fewer folds, or add patients")
        number = assign_folds(list(traits.values()), config.split_seed, config.folds)
        return [[p for p, fold in number.items() if fold == wanted] for wanted in range(config.folds)]
    for patient in (patient for fold in config.folds for patient in fold):
        if patient not in traits:
            raise ArgumentError("folds", f"there is no patient {patient}", "name patients of the dataset")
    return config.folds


def _part(rest: Sequence[PatientTraits], config: StudyConfig, split: Split) -> dict[str, str]:
    """Deal patients into training and validation, and keep a fraction's share of the first."""
    shares = {TRAIN: 1 - config.validation_share, VALIDATION: config.validation_share}
    dealt = deal_patients(rest, config.split_seed, shares) if rest else {}
    training = [item for item in rest if dealt[item.patient] == TRAIN]
    for before, share in pairwise([1.0, *_steps(config.fractions, split.fraction)]):
        kept = deal_patients(
            training, config.split_seed, {_KEPT: share / before, _LEFT_OUT: 1 - share / before}
        )
        training = [item for item in training if kept[item.patient] == _KEPT]
    parts = dict.fromkeys((item.patient for item in training), TRAIN)
    parts |= {patient: where for patient, where in dealt.items() if where == VALIDATION}
    for needed in (TRAIN, VALIDATION):
        if needed not in parts.values():
            problem = f"{split.name} leaves no {needed} patient of {len(rest)}"
            raise ArgumentError("folds", problem, "choose fewer folds or larger shares, or add patients")
    return parts


def _split_by_slice(everybody: Datalist, config: StudyConfig, split: Split) -> Datalist:
    """Deal slices as the folds deal patients: the same shares, so that nothing differs but the leak."""
    numbers = [str(number) for number in range(config.fold_count)]
    slices = [(entry.patient, entry.slice) for entry in everybody.entries]
    fold = split_slices(slices, config.split_seed, dict.fromkeys(numbers, 1 / len(numbers)))
    rest = [item for item in slices if fold[item] != split.fold]
    shares = {TRAIN: 1 - config.validation_share, VALIDATION: config.validation_share}
    parts = split_slices(rest, config.split_seed, shares)
    entries = tuple(
        replace(entry, split=parts.get((entry.patient, entry.slice), TEST), fold=int(split.fold))
        for entry in everybody.entries
    )
    return replace(everybody, split_by="slice", entries=entries)


def _steps(fractions: Iterable[float], last: float) -> list[float]:
    """Return the fractions below 1, largest first, down to the one that is wanted."""
    return sorted((share for share in set(fractions) if last <= share < 1), reverse=True)


def _without_tumors(cohort: Cohort, parts: Mapping[str, str]) -> dict[str, frozenset[int]]:
    """Return the numbers of the slices that are left of each patient without a part when tumors go."""
    found = {
        volume.patient: frozenset(
            number
            for number, distance in zip(volume.slice_numbers, volume.tumor_distance, strict=True)
            if distance > TUMOR_MARGIN
        )
        for volume in cohort.volumes
        if volume.patient not in parts
    }
    return {patient: numbers for patient, numbers in found.items() if numbers}


def _restrict(
    everybody: Datalist, parts: dict[str, str], healthy: Mapping[str, frozenset[int]], split: Split
) -> Datalist:
    """Give the entries their patients' parts; who has none trains with healthy slices, or is skipped."""
    fold = int(split.fold) if split.question == CROSS_VALIDATION else None
    entries = tuple(
        replace(entry, split=parts.get(entry.patient, TRAIN), fold=fold)
        for entry in everybody.entries
        if entry.patient in parts or entry.slice in healthy.get(entry.patient, ())
    )
    left_out = sorted({entry.patient for entry in everybody.entries} - parts.keys() - healthy.keys())
    reason = f"not among the {100 * split.fraction:g} % of the training patients"
    return replace(
        everybody, entries=entries, skipped={**everybody.skipped, **dict.fromkeys(left_out, reason)}
    )
