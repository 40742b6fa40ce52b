"""The images that an evaluation of a finished run compares: synthetic ones, their origins, real tumors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mcf_bundle.data.case import Case
from mcf_bundle.data.pool import Donor, DonorRules, find_donors
from mcf_bundle.data.splits import TEST, VALIDATION
from mcf_bundle.data.survey import survey_volumes
from mcf_bundle.errors import DataError
from mcf_bundle.generation.finished_run import FinishedRun
from mcf_bundle.generation.finished_source import read_finished_source
from mcf_bundle.generation.materials import slice_position
from mcf_bundle.generation.placement_rules import PlacementRules
from mcf_bundle.generation.source import GenerationSource
from mcf_bundle.generation.stored_record import candidate
from mcf_bundle.generation.stored_tiles import StoredTiles

SYNTHETIC, TRAINING, HOSTS, COMPOSITES = (
    "synthetic",
    "real training tumors",
    "unmodified hosts",
    "composites",
)
"""The sets that are compared with the reference: the second is the floor, the third does nothing."""

REFERENCE = "held-out real tumors"
"""The reference: tumors of patients that the generator never saw."""

LEAST_IMAGES = 6
"""Fewer have no neighborhoods of five, which density and coverage are made of."""

UNSEEN = (VALIDATION, TEST)
"""Splits whose patients the generator never saw."""

LEVEL_TOLERANCE = 0.05
"""Largest difference of axial level between two slices that are matched; the width of a level bin."""


@dataclass(frozen=True, eq=False)
class JudgedImage:
    """A slice with its mask, as the metrics need it.

    Attributes:
        patient: whose head it is, named as the run names patients; of a synthetic image the host.
        slice: number in the file name; of a synthetic image the host's.
        level: axial level.
        image: (3, H, W), float32, normalized by the patient's own scale, 0 = background.
        mask: (H, W), bool: the tumor; of an unmodified host the place where the synthetic one has it.
        brain: (H, W), bool.
        missing: sequences that are copies of FLAIR.
    """

    patient: str
    slice: int
    level: float
    image: NDArray[np.float32]
    mask: NDArray[np.bool_]
    brain: NDArray[np.bool_]
    missing: tuple[bool, ...]


@dataclass(frozen=True, eq=False)
class EvaluationData:
    """A finished run with its dataset, measured anew.

    Attributes:
        run: the run.
        synthetic_dir: its folder.
        source: its patients, split as the run split them.
        training: cases of the training patients, by what the run calls them.
        held_out: likewise, of the patients of the reference.
        held_out_patients: names of all validation and test patients, by split.
    """

    run: FinishedRun
    synthetic_dir: Path
    source: GenerationSource
    training: Mapping[str, Case]
    held_out: Mapping[str, Case]
    held_out_patients: Mapping[str, Sequence[str]]


@dataclass(frozen=True, eq=False)
class EvaluationSets:
    """What is compared; all of it lies at the same levels.

    Attributes:
        sets: by name: `SYNTHETIC`, `TRAINING`, `HOSTS`, `COMPOSITES`.
        reference: held-out real tumors, as many as synthetic images.
        notes: what was left out, in words.
    """

    sets: Mapping[str, Sequence[JudgedImage]]
    reference: Sequence[JudgedImage]
    notes: tuple[str, ...]


def read_evaluation_data(
    dataset_dir: Path,
    synthetic_dir: Path,
    *,
    skip_bad_patients: bool,
    reference: Sequence[str] = UNSEEN,
) -> EvaluationData:
    """Read a finished run and measure the patients of its dataset; the split is the run's own.

    Args:
        dataset_dir: the run's dataset.
        synthetic_dir: the run's folder.
        skip_bad_patients: leave damaged patients out instead of stopping.
        reference: members of `UNSEEN` whose patients are measured; those of the other one stay shut, and a
            network that knows them is refused all the same.

    Raises:
        DataError: the run has no images, a file cannot be read, or the dataset is not the run's.
        LeakageError: the split in the run's folder was changed after it was written.
    """
    finished = read_finished_source(dataset_dir, synthetic_dir, skip_bad_patients=skip_bad_patients)
    source, cohort = finished.source, finished.source.cohort
    held_out = {
        split: [v for v in cohort.volumes if source.splits.get(v.patient) == split] for split in UNSEEN
    }
    if not any(held_out[split] for split in reference):
        problem = f"no patient of the run's {' or '.join(reference)} set is there"
        raise DataError(cohort.root, problem, "add patients that the generator never saw")
    measured = survey_volumes(
        [volume for split in reference for volume in held_out[split]],
        source.survey.template,
        min_correlation=source.rules.min_correlation,
        max_disagreement=source.rules.max_disagreement,
    )
    return EvaluationData(
        run=finished.run,
        synthetic_dir=synthetic_dir,
        source=source,
        training=finished.training,
        held_out={finished.naming(case.patient): case for case in measured.cases},
        held_out_patients={split: [v.patient for v in volumes] for split, volumes in held_out.items()},
    )


def gather_sets(data: EvaluationData) -> EvaluationSets:
    """Match the run's images by level with held-out tumors, and these with real training tumors.

    Real tumors obey the rules that the run has for donors: it makes no others.

    Raises:
        DataError: there are too few held-out or training tumors at the levels of the run's images.
    """
    rules = data.source.rules.donor
    records = data.run.records
    levels = [record["host"]["level"] for record in records]
    members = {
        kind: _tumors(cases, rules) for kind, cases in ((REFERENCE, data.held_out), (TRAINING, data.training))
    }
    pairs = match_levels_one_to_one(levels, [donor.level for _, donor in members[REFERENCE]])
    kept = [levels[i] for i, _ in pairs]
    floor = match_levels_one_to_one(kept, [donor.level for _, donor in members[TRAINING]])
    for kind, found in ((REFERENCE, pairs), (TRAINING, floor)):
        if len(found) < LEAST_IMAGES:
            problem = (
                f"{len(found)} of {len(records)} synthetic images have a match among the {kind} within "
                f"{LEVEL_TOLERANCE:g} of their level, {LEAST_IMAGES} are needed"
            )
            raise DataError("dataset_dir", problem, "add patients, or make more images")
    tiles = StoredTiles(
        data.synthetic_dir,
        [records[i] for i, _ in pairs],
        data.training,
        PlacementRules(**data.run.plan.header["rules"]["pairing"]["placement"]),
    )
    tumors = sum(int(case.volume.labels.sum()) for case in data.held_out.values())
    return EvaluationSets(
        sets=_synthetic(tiles, data.training) | {TRAINING: [_real(*members[TRAINING][j]) for _, j in floor]},
        reference=[_real(*members[REFERENCE][j]) for _, j in pairs],
        notes=(
            f"{len(pairs)} of {len(records)} synthetic images have a held-out real tumor within "
            f"{LEVEL_TOLERANCE:g} of their level; the others are left out",
            f"{len(members[REFERENCE])} of {tumors} held-out tumor slices obey the rules that the run has "
            "for donors; the reference is chosen from them",
        ),
    )


def match_levels_one_to_one(levels: Sequence[float], others: Sequence[float]) -> list[tuple[int, int]]:
    """Pair slices of about the same level, as many as possible, each once, with the least total difference.

    Returns:
        Pairs of positions, in the order of the first; never further apart than `LEVEL_TOLERANCE`.

    >>> match_levels_one_to_one([0.5, 0.7], [0.72, 0.9, 0.51])
    [(0, 2), (1, 0)]
    """
    gaps = np.abs(np.subtract.outer(np.asarray(levels, float), np.asarray(others, float)))
    # What is too far costs more than all near pairs together, so that their number comes first.
    near = gaps <= LEVEL_TOLERANCE
    rows, columns = linear_sum_assignment(np.where(near, gaps, 1.0 + gaps.size * LEVEL_TOLERANCE))
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if near[i, j]]


def crop_window(mask: NDArray[np.bool_], side: int) -> tuple[slice, slice]:
    """Return the square around a mask's center of mass, moved into the image where it reaches beyond.

    Args:
        mask: (H, W), bool, not empty.
        side: at most H and W, pixels.
    """
    centers = [float(np.mean(places)) for places in np.nonzero(mask)]
    starts = [
        min(max(round(center - (side - 1) / 2), 0), length - side)
        for center, length in zip(centers, mask.shape, strict=True)
    ]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)


def _tumors(cases: Mapping[str, Case], rules: DonorRules) -> list[tuple[tuple[str, Case], Donor]]:
    """The tumor slices that obey the rules, each with its case and what the run calls it."""
    named = {case.patient: (name, case) for name, case in cases.items()}
    return [(named[donor.patient], donor) for donor in find_donors(list(cases.values()), rules).members]


def _real(named: tuple[str, Case], donor: Donor) -> JudgedImage:
    name, case = named
    return JudgedImage(
        patient=name,
        slice=donor.slice_number,
        level=donor.level,
        image=case.normalized([donor.index])[0],
        mask=case.volume.mask[donor.index],
        brain=case.brain[donor.index],
        missing=case.missing,
    )


def _synthetic(tiles: StoredTiles, cases: Mapping[str, Case]) -> dict[str, list[JudgedImage]]:
    """Synthetic images, hosts and composites, all from stored gray levels, so that rounding tells nothing."""
    found: dict[str, list[JudgedImage]] = {SYNTHETIC: [], HOSTS: [], COMPOSITES: []}
    for tile, record in zip(tiles, tiles.records, strict=True):
        origin = tile.origin
        if origin is None:
            raise DataError("dataset_dir", "the run's patients are not there", "give the run's dataset")
        for name, stored in ((SYNTHETIC, tile.result), (HOSTS, origin.host), (COMPOSITES, origin.composite)):
            found[name].append(_of_host(record, cases, stored, tile.mask))
    return found


def _of_host(
    record: Mapping[str, Any], cases: Mapping[str, Case], stored: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> JudgedImage:
    host = candidate(record).host
    case = cases[host.patient]
    return JudgedImage(
        patient=host.patient,
        slice=host.slice,
        level=host.level,
        image=case.scale.normalize(stored[None])[0],
        mask=mask,
        brain=case.brain[slice_position(case, host)],
        missing=case.missing,
    )
