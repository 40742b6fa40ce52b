"""datalist.json: what there is, slice by slice, and who trains, validates or tests."""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_type_hints

from mcf_bundle.bounded_file import check_type, read_json
from mcf_bundle.data.generated_case import counted_slices, is_generated
from mcf_bundle.data.inner_path import is_inner_path
from mcf_bundle.data.lgg import Cohort, list_slices
from mcf_bundle.data.splits import (
    TEST,
    TRAIN,
    VALIDATION,
    assign_folds,
    patient_traits,
    split_patients,
    split_slices,
)
from mcf_bundle.data.volume import Volume
from mcf_bundle.errors import ArgumentError, DataError, LeakageError

REAL, SYNTHETIC = "real", "synthetic"
"""Roots: the dataset's folder, and the folder of generated patients. Paths are relative to their root."""

SPLITS_BY = ("patient", "slice")
"""How patients are split: 'slice' is the paper's way, which leaks."""

_DIGEST = "digest"
_KEYS = {_DIGEST, "split_by", "split_seed", "leaks", "split_digest", "skipped", "entries"}


@dataclass(frozen=True)
class Entry:
    """One slice.

    Attributes:
        root: `REAL` or `SYNTHETIC`.
        image: path of the image, relative to the root.
        label: path of the mask, relative to the root.
        patient: name.
        slice: number in the file name.
        institution: code.
        tumor: whether the mask is not empty. False means 'no mask', not 'healthy'.
        fold: cross-validation fold of the patient; None for synthetic slices, which follow their split.
        split: train, validation or test.
    """

    root: str
    image: str
    label: str
    patient: str
    slice: int
    institution: str
    tumor: bool
    fold: int | None
    split: str


@dataclass(frozen=True)
class Datalist:
    """All slices of a dataset, real ones first.

    Attributes:
        split_by: see `SPLITS_BY`.
        split_seed: seed of the split.
        entries: ordered by root, patient and slice.
        skipped: patients left out, with the reason.
    """

    split_by: str
    split_seed: int
    entries: tuple[Entry, ...]
    skipped: Mapping[str, str]

    @property
    def leaks(self) -> bool:
        """Whether slices of one patient stand in several splits by design."""
        return self.split_by == "slice"

    def patient_splits(self) -> dict[str, str]:
        """Return the split of each real patient, ordered by name.

        Raises:
            LeakageError: if a patient stands in more than one split.
        """
        found: dict[str, set[str]] = defaultdict(set)
        for entry in self.entries:
            if entry.root == REAL:
                found[entry.patient].add(entry.split)
        for patient, splits in sorted(found.items()):
            if len(splits) > 1:
                raise LeakageError(
                    f"patient {patient}",
                    f"has slices in {' and '.join(sorted(splits))}",
                    "split by patient: run `python -m mcf_bundle prepare` without --split slice",
                )
        return {patient: splits.pop() for patient, splits in sorted(found.items())}

    def listed_slices(self) -> dict[str, frozenset[int]]:
        """Return the numbers of each real patient's slices; those that are not listed take no part."""
        found: dict[str, set[int]] = defaultdict(set)
        for entry in self.entries:
            if entry.root == REAL:
                found[entry.patient].add(entry.slice)
        return {patient: frozenset(numbers) for patient, numbers in found.items()}


def make_datalist(
    cohort: Cohort, *, split_seed: int = 0, split_by: str = "patient", pinned_to_train: Sequence[str] = ()
) -> Datalist:
    """List a cohort's slices with split and fold.

    Args:
        cohort: the patients.
        split_seed: seed of the split; unrelated to a generation's seed.
        split_by: "patient", or "slice" for the paper's leaking split.
        pinned_to_train: patients that a checkpoint saw in training and that must not be evaluated on.

    Raises:
        ArgumentError: for another `split_by`.
    """
    if split_by not in SPLITS_BY:
        raise ArgumentError("split", f"{split_by!r} does not exist", f"choose one of {', '.join(SPLITS_BY)}")
    traits = [patient_traits(volume) for volume in cohort.volumes]
    folds = assign_folds(traits, split_seed)
    by_patient = split_patients(traits, split_seed, pinned_to_train=pinned_to_train)
    numbered = [(volume.patient, number) for volume in cohort.volumes for number in volume.slice_numbers]
    splits = {pair: by_patient[pair[0]] for pair in numbered}
    if split_by == "slice":
        splits = split_slices(numbered, split_seed)
    entries = [
        entry
        for volume in cohort.volumes
        for entry in _entries(cohort.root, volume, folds[volume.patient], splits)
    ]
    return Datalist(split_by, split_seed, tuple(entries), dict(cohort.skipped))


def _entries(root: Path, volume: Volume, fold: int, splits: Mapping[tuple[str, int], str]) -> list[Entry]:
    """List the slices that count; those of generated cases have a root of their own and no fold."""
    files, generated = list_slices(root / volume.patient), is_generated(volume.patient)
    return [
        Entry(
            root=SYNTHETIC if generated else REAL,
            image=files[index].image.relative_to(root).as_posix(),
            label=files[index].mask.relative_to(root).as_posix(),
            patient=volume.patient,
            slice=files[index].number,
            institution=volume.institution,
            tumor=bool(volume.labels[index]),
            fold=None if generated else fold,
            split=splits[volume.patient, files[index].number],
        )
        for index in counted_slices(volume.patient, volume.slice_numbers)
    ]


def check_train_only(datalist: Datalist, patients: Sequence[str]) -> None:
    """Refuse patients that are not training patients through and through.

    Raises:
        LeakageError: names the first patient of the validation or test set, or of several splits.
    """
    splits = datalist.patient_splits()
    for patient in patients:
        if splits.get(patient) != TRAIN:
            where = splits.get(patient, "no split")
            raise LeakageError(
                f"patient {patient}",
                f"belongs to {where}, hosts and donors come from {TRAIN} only",
                "make the datalist again with `python -m mcf_bundle prepare`",
            )


def check_same_patients(cohort: Cohort, datalist: Datalist) -> None:
    """Refuse a cohort of other patients than those that a datalist lists or says it left out.

    Raises:
        DataError: names the first patients of one that the other lacks.
    """
    there = {volume.patient for volume in cohort.volumes} | set(cohort.skipped)
    there = {patient for patient in there if not is_generated(patient)}
    listed = {entry.patient for entry in datalist.entries if entry.root == REAL} | set(datalist.skipped)
    for names, problem in (
        (listed - there, "lacks patients of the datalist"),
        (there - listed, "holds patients that the datalist does not list"),
    ):
        if names:
            first = ", ".join(sorted(names)[:3])
            remedy = "give the dataset_dir that the datalist was made from, or make it again"
            raise DataError(cohort.root, f"{problem}: {first}", remedy)


def to_json(datalist: Datalist) -> str:
    """Serialize, with digests of the split and of the whole that reveal later edits and damage."""
    content: dict[str, Any] = {
        "split_by": datalist.split_by,
        "split_seed": datalist.split_seed,
        "leaks": datalist.leaks,
        "split_digest": split_digest(datalist),
        "skipped": dict(datalist.skipped),
        "entries": [asdict(entry) for entry in datalist.entries],
    }
    return json.dumps({_DIGEST: _digest(content), **content}, indent=1) + "\n"


def _digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a file's content but for this digest, hexadecimal; layout does not count."""
    counted = {name: value for name, value in content.items() if name != _DIGEST}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()


def read_datalist(path: Path) -> Datalist:
    """Read a datalist.json.

    Raises:
        DataError: if the file is missing, too large, not JSON, lacks a field or holds another type there,
            names a file outside of its root, or was changed after it was written.
        LeakageError: if the splits of its real slices were changed after it was written.
    """
    try:
        content = read_json(path)
        datalist = _parse(content)
        digest = content["split_digest"]
    except OSError as error:
        raise DataError(
            path, f"cannot be read ({error.strerror})", "make it with `python -m mcf_bundle prepare`"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        problem = f"is not a datalist ({type(error).__name__}: {error})"
        raise DataError(path, problem, "make it again with `python -m mcf_bundle prepare`") from error
    if not datalist.leaks:
        datalist.patient_splits()
    if digest != split_digest(datalist):
        raise LeakageError(
            path,
            "its splits were edited after it was written",
            "make it again with `python -m mcf_bundle prepare`",
        )
    if content.get(_DIGEST, _digest(content)) != _digest(content):
        problem = "was changed after it was written, or is damaged"
        raise DataError(path, problem, "make it again with `python -m mcf_bundle prepare`")
    return datalist


def _parse(content: Any) -> Datalist:
    """Build a datalist from its file's content; KeyError, TypeError or ValueError where it is none."""
    unknown = content.keys() - _KEYS if isinstance(content, dict) else {"no object"}
    if unknown:
        raise ValueError(f"unknown: {reprlib.repr(min(unknown))}")
    datalist = Datalist(
        content["split_by"],
        content["split_seed"],
        tuple(_parse_entry(**entry) for entry in content["entries"]),
        content["skipped"],
    )
    if datalist.split_by not in SPLITS_BY:
        raise ValueError(f"split_by is {reprlib.repr(datalist.split_by)}")
    check_type("split_seed", datalist.split_seed, int)
    check_type("skipped", datalist.skipped, dict)
    for patient, reason in datalist.skipped.items():
        check_type(f"skipped {patient!r}", reason, str)
    return datalist


def _parse_entry(**fields: Any) -> Entry:
    entry = Entry(**fields)
    for name, kind in get_type_hints(Entry).items():
        check_type(name, getattr(entry, name), kind)
    if entry.root not in (REAL, SYNTHETIC) or entry.split not in (TRAIN, VALIDATION, TEST):
        raise ValueError(f"{entry.patient!r} has root {entry.root!r}, split {entry.split!r}")
    for text in (entry.image, entry.label, entry.patient):
        if not is_inner_path(text):
            raise ValueError(f"{text!r} leads out of the dataset's folder")
    return entry


def split_digest(datalist: Datalist) -> str:
    """Return the SHA-256 of who stands in which split, hexadecimal; synthetic slices do not count."""
    lines = [f"{e.patient}/{e.slice}/{e.split}" for e in datalist.entries if e.root == REAL]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def summarize(entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
    """Count patients, slices and tumor slices by split."""
    table: dict[str, dict[str, Any]] = {}
    for split in sorted({entry.split for entry in entries}):
        chosen = [entry for entry in entries if entry.split == split]
        table[split] = {
            "patients": len({entry.patient for entry in chosen}),
            "slices": len(chosen),
            "tumor": sum(entry.tumor for entry in chosen),
        }
    return table
