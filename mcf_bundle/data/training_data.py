"""Which slices of which patients a network is trained and validated on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mcf_bundle.arguments import as_path, check_seed, check_whole
from mcf_bundle.data.case import Case
from mcf_bundle.data.datalist import check_same_patients, read_datalist
from mcf_bundle.data.generated_case import counted_slices, is_generated, read_origins
from mcf_bundle.data.kept import once
from mcf_bundle.data.level_matching import match_levels
from mcf_bundle.data.lgg import Cohort, dataset_root, join_cohorts, read_cohort
from mcf_bundle.data.normalization import estimate_intensity_scale
from mcf_bundle.data.pseudonyms import KEY_VARIABLE, is_pseudonym, real_names
from mcf_bundle.data.splits import (
    TEST,
    TRAIN,
    VALIDATION,
    PatientTraits,
    assign_folds,
    patient_traits,
    split_patients,
)
from mcf_bundle.data.survey import Survey, survey_volumes
from mcf_bundle.data.triplet_dataset import SliceRef
from mcf_bundle.data.volume import Channel, Volume
from mcf_bundle.errors import ArgumentError, DataError, LeakageError

logger = logging.getLogger(__name__)

MIN_FOREGROUND = 0.08
"""Slices with less of their area above the background are left out: near-empty ones at the vertex."""

FOREGROUND_LEVEL = 0.1
"""Normalized FLAIR above this counts as foreground."""

CLASSIFIER_LEVELS = (0.30, 0.90)
"""Levels that classifiers learn from: tumors hardly occur outside."""

MIN_GAP_SLICES = 2
"""Tumor-free slices nearer to a masked slice are still abnormal, and no example of 'healthy'."""


class LeveledSlice(NamedTuple):
    """A slice with its axial level."""

    ref: SliceRef
    level: float


class TrainingData:
    """The patients of a dataset, split by patient, as training samples.

    Nothing is read before the first use.

    Args:
        dataset_dir: folder in the LGG layout, or its parent.
        synthetic_dir: output folder of a generation, whose cases train beside the dataset's own patients;
            those made from validation or test patients are refused.
        split_seed: seed of the split by patient.
        skip_bad_patients: leave damaged patients out instead of stopping.
        pinned_to_train: patients that must train, see `split_patients`.
        fold: which fold of the training and validation patients together validates while the others train,
            from 0; test patients stay test patients. None keeps the split.
        folds: number of folds, 2 or more.
        datalist: file that says who trains, validates and tests, in place of split_seed, pinned_to_train and
            fold; patients and slices that it left out take no part. None splits the patients here.

    Raises:
        ArgumentError: a seed, fold or number of folds is none, or a fold is given beside a datalist.
    """

    def __init__(
        self,
        dataset_dir: str | Path,
        *,
        synthetic_dir: str | Path | None = None,
        split_seed: int = 0,
        skip_bad_patients: bool = False,
        pinned_to_train: Sequence[str] = (),
        fold: int | None = None,
        folds: int = 5,
        datalist: str | Path | None = None,
    ) -> None:
        self.dataset_dir, self.split_seed = as_path(dataset_dir, "dataset_dir"), split_seed
        self.synthetic_dir = None if synthetic_dir is None else as_path(synthetic_dir, "synthetic_dir")
        check_seed("split_seed", split_seed)
        self.skip_bad_patients, self.pinned_to_train = skip_bad_patients, tuple(pinned_to_train)
        check_whole("folds", folds, least=2)
        if fold is not None:
            check_whole("fold", fold)
            if fold >= folds:
                problem = f"there are {folds} folds, counted from 0, and no number {fold}"
                raise ArgumentError("fold", problem, f"choose 0 to {folds - 1}")
            if datalist is not None:
                problem = "a fold is given, and a datalist that says who validates"
                raise ArgumentError("fold", problem, "leave one of them out")
        self.fold, self.folds = fold, folds
        self.datalist = None if datalist is None else as_path(datalist, "datalist")

    @cached_property
    def cohort(self) -> Cohort:
        """All readable patients, and the generated cases; read at the first use.

        Raises:
            DataError: if a folder cannot be used, or the two differ in the size of their slices.
        """
        folders = [self.dataset_dir, *([self.synthetic_dir] if self.synthetic_dir else [])]
        skip = self.skip_bad_patients
        cohorts = [
            once(partial(read_cohort, folder, skip_bad_patients=skip), folder.resolve(), skip)
            for folder in folders
        ]
        cohort = cohorts[0] if len(cohorts) == 1 else join_cohorts(*cohorts)
        for patient, reason in cohort.skipped.items():
            logger.warning("left out %s: %s", patient, reason)
        return cohort

    @cached_property
    def origins(self) -> dict[str, tuple[str, ...]]:
        """Host and donor of each generated case, by its name; the real names, where pseudonyms were written.

        Raises:
            DataError: if a generated case stands in no manifest: nobody could tell whom its pixels show.
        """
        roots = [dataset_root(path) for path in (self.dataset_dir, self.synthetic_dir) if path is not None]
        origins = {case: patients for root in roots for case, patients in read_origins(root).items()}
        origins = self._with_real_names(origins)
        for volume in self.cohort.volumes:
            if is_generated(volume.patient) and volume.patient not in origins:
                problem = f"no manifest.jsonl there tells whom the generated case {volume.patient} shows"
                remedy = "leave generated cases in their folder and give that as synthetic_dir"
                raise DataError(roots[-1], problem, remedy)
        return origins

    def _with_real_names(self, origins: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """Put the dataset's patients in the place of their pseudonyms, and warn where that fails."""
        written = {name for patients in origins.values() for name in patients}
        behind = real_names(written, (volume.patient for volume in self.cohort.volumes))
        unknown = sum(is_pseudonym(name) and name not in behind for name in written)
        if unknown:
            logger.warning(
                "%d pseudonyms of hosts and donors are nobody's in %s by the key here: whether they validate "
                "or test cannot be checked. If they are patients of this dataset, set the key of the "
                "generation (%s), or generate with provenance full",
                unknown,
                self.dataset_dir,
                KEY_VARIABLE,
            )
        return {case: tuple(behind.get(name, name) for name in names) for case, names in origins.items()}

    @cached_property
    def splits(self) -> dict[str, str]:
        """Split by patient; patients whom a datalist left out have none.

        Raises:
            DataError: if the datalist cannot be read or is of other patients.
            LeakageError: if a patient stands in several splits, or a generated case shows one who does not
                train.
        """
        splits = self._make_splits() if self.datalist is None else self._read_splits(self.datalist)
        for case, patients in self.origins.items():
            for patient in patients:
                # Without a datalist, a name that nobody here bears is a pseudonym or of another dataset.
                split = splits.get(patient, TRAIN if self.datalist is None else "no")
                if split != TRAIN:
                    problem = f"{case} shows {patient}, who belongs to the {split} set"
                    remedy = "generate with the same split_seed, or train with the one of that run"
                    if self.fold is not None:
                        remedy = "generate from a datalist of this fold, or train without fold"
                    if self.datalist is not None:
                        remedy = "generate with the same datalist"
                    raise LeakageError(self.synthetic_dir or self.dataset_dir, problem, remedy)
        return splits

    def _read_splits(self, path: Path) -> dict[str, str]:
        datalist = read_datalist(path)
        check_same_patients(self.cohort, datalist)
        generated = (v.patient for v in self.cohort.volumes if is_generated(v.patient))
        return {**datalist.patient_splits(), **dict.fromkeys(generated, TRAIN)}

    def _make_splits(self) -> dict[str, str]:
        traits = [patient_traits(volume) for volume in self.cohort.volumes]
        if all(is_generated(item.patient) for item in traits):
            logger.warning(
                "all cases are generated: hosts and donors stand in several splits, judge nothing by it"
            )
        splits = split_patients(traits, self.split_seed, pinned_to_train=self.pinned_to_train)
        if self.fold is not None:
            splits |= self._fold_splits([item for item in traits if splits[item.patient] != TEST])
        return splits

    def _fold_splits(self, traits: Sequence[PatientTraits]) -> dict[str, str]:
        """Let one fold validate and the others train; generated cases and pinned patients train."""
        real = [item for item in traits if not is_generated(item.patient)]
        if len(real) < self.folds:
            problem = f"{len(real)} training and validation patients make no {self.folds} folds"
            raise ArgumentError("folds", problem, "choose fewer folds, or add patients")
        number = assign_folds(real, self.split_seed, self.folds)
        validating = {patient for patient in number if number[patient] == self.fold}
        validating -= set(self.pinned_to_train)
        return {item.patient: VALIDATION if item.patient in validating else TRAIN for item in traits}

    def volumes(self, split: str) -> list[Volume]:
        """Return the patients of a split, ordered by name."""
        return [volume for volume in self.cohort.volumes if self.splits.get(volume.patient) == split]

    def patients_behind(self, split: str) -> list[str]:
        """Return the names of a split's patients, and those behind the generated ones: hosts and donors."""
        names = {volume.patient for volume in self.volumes(split)}
        return sorted(names.union(*(self.origins.get(name, ()) for name in names)))

    @cached_property
    def survey(self) -> Survey:
        """Anatomy of the training patients, and the level template that they make."""
        volumes = self.volumes(TRAIN)
        return once(partial(survey_volumes, volumes), *volumes).restricted(self._listed)

    @cached_property
    def _listed(self) -> dict[str, frozenset[int]]:
        """Numbers of the slices that take part by real patient; a patient who is missing does as a whole."""
        return {} if self.datalist is None else read_datalist(self.datalist).listed_slices()

    def cases(self, split: str) -> list[Case]:
        """Return the anatomy of a split's patients; levels refer to the training patients' template."""
        if split == TRAIN:
            return list(self.survey.cases)
        volumes, template = self.volumes(split), self.survey.template
        measured = once(partial(survey_volumes, volumes, template), *volumes, template)
        return list(measured.restricted(self._listed).cases)

    def slices(self, split: str, *, min_foreground: float = MIN_FOREGROUND) -> list[SliceRef]:
        """Return the slices of a split whose foreground is large enough.

        Args:
            split: TRAIN, VALIDATION or TEST.
            min_foreground: least share of a slice above the background; 0 takes every slice, as an evaluation
                should.

        Raises:
            DataError: if there are none.
        """
        found = []
        for volume in self.volumes(split):
            scale = estimate_intensity_scale(volume.image)
            flair = scale.normalize(volume.image)[:, Channel.FLAIR]
            large = np.mean(flair > FOREGROUND_LEVEL, axis=(1, 2)) >= min_foreground
            listed = self._listed.get(volume.patient, volume.slice_numbers)
            found += [
                SliceRef(volume, scale, index)
                for index in counted_slices(volume.patient, volume.slice_numbers)
                if large[index] and volume.slice_numbers[index] in listed
            ]
        if not found:
            raise DataError(self.dataset_dir, f"no usable slices in the split {split!r}", "add patients")
        return found

    def leveled_slices(self, split: str) -> list[LeveledSlice]:
        """Return what classifiers learn from: tumor slices, and tumor-free ones away from tumors."""
        return [found for case in self.cases(split) if case.level_is_reliable for found in _examples(case)]

    def matched_slices(self, split: str, *, repeat: bool) -> list[SliceRef]:
        """Return tumor and tumor-free slices, equally frequent at every level, see `match_levels`.

        Raises:
            DataError: if there is no level with both.
        """
        found = self.leveled_slices(split)
        labels, levels = [int(item.ref.label) for item in found], [item.level for item in found]
        matched = match_levels([item.ref for item in found], labels, levels, repeat=repeat)
        if not matched:
            problem = f"no level of the split {split!r} has slices with and without tumor"
            raise DataError(self.dataset_dir, problem, "add patients, or choose another split_seed")
        return matched


def _examples(case: Case) -> list[LeveledSlice]:
    distances = case.volume.tumor_distance
    low, high = CLASSIFIER_LEVELS
    examples = []
    counted = counted_slices(case.patient, case.volume.slice_numbers)
    for index in (i for i in counted if 0 < i < len(case.level) - 1 and i not in case.unlisted):
        is_clear = distances[index] == 0 or distances[index] > MIN_GAP_SLICES
        if low <= case.level[index] <= high and is_clear:
            examples.append(LeveledSlice(SliceRef(case.volume, case.scale, index), float(case.level[index])))
    return examples
