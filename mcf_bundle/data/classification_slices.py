"""Which slices a classifier learns from: all of them, or classes equally frequent at every level."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mcf_bundle.data.generated_case import MANIFEST_FILE, counted_slices, is_generated, read_manifest
from mcf_bundle.data.level_matching import match_levels
from mcf_bundle.data.lgg import dataset_root
from mcf_bundle.data.splits import TRAIN
from mcf_bundle.data.training_data import LeveledSlice, TrainingData
from mcf_bundle.data.triplet_dataset import SliceRef
from mcf_bundle.errors import ArgumentError, DataError

ALL, MATCHED = "all", "matched"
CHOICES = (ALL, MATCHED)
"""What a config's `slices` may be."""


def check_choice(which: str) -> None:
    """Refuse what is no choice of slices, before anything is read.

    Raises:
        ArgumentError: names the choices.
    """
    if which not in CHOICES:
        raise ArgumentError("slices", f"{which!r} does not exist", f"choose one of {', '.join(CHOICES)}")


def choose_slices(data: TrainingData, split: str, which: str, *, repeat: bool = False) -> list[SliceRef]:
    """Return the slices of a split.

    Args:
        data: the patients.
        split: "train", "validation" or "test".
        which: `all`: every usable slice, as tumor and none come; the level alone then tells much. `matched`:
            tumor slices, and tumor-free ones away from tumors, equally frequent at every axial level.
            Generated slices have the level of their host's slice.
        repeat: with `matched`, fill up the rarer class by repeats (training) instead of thinning the other.

    Raises:
        ArgumentError: `which` is neither.
        DataError: there are no such slices, or a generated case's host is not among the patients.
    """
    check_choice(which)
    if which == ALL:
        return data.slices(split)
    found = [item for item in data.leveled_slices(split) if not is_generated(item.ref.volume.patient)]
    if split == TRAIN:
        found += _generated_slices(data)
    labels, levels = [int(item.ref.label) for item in found], [item.level for item in found]
    matched = match_levels([item.ref for item in found], labels, levels, repeat=repeat)
    if not matched:
        problem = f"no level of the split {split!r} has slices with and without tumor"
        raise DataError(data.dataset_dir, problem, "add patients, or choose --slices all")
    return matched


def _generated_slices(data: TrainingData) -> list[LeveledSlice]:
    """Return the generated training slices at their hosts' levels; those of unreliable hosts are left out."""
    volumes = [volume for volume in data.volumes(TRAIN) if is_generated(volume.patient)]
    if not volumes:
        return []
    root = dataset_root(data.synthetic_dir or data.dataset_dir)
    hosts, cases = _read_hosts(root), {case.patient: case for case in data.cases(TRAIN)}
    found = []
    for volume in volumes:
        patient, number = hosts[volume.patient]
        host = cases.get(patient)
        if host is None or number not in host.volume.slice_numbers:
            problem = f"its host slice {patient} {number} is not among the training patients"
            remedy = "generate with full provenance from this dataset, or choose --slices all"
            raise DataError(root / volume.patient, problem, remedy)
        if not host.level_is_reliable:
            continue
        level = float(host.level[host.volume.slice_numbers.index(number)])
        scale = cases[volume.patient].scale
        counted = counted_slices(volume.patient, volume.slice_numbers)
        found += [LeveledSlice(SliceRef(volume, scale, index), level) for index in counted]
    return found


def _read_hosts(root: Path) -> Mapping[str, tuple[str, int]]:
    """Return patient and slice number of each generated case's host."""
    remedy = "choose --slices all"
    hosts = {name: record["host"] for name, record in read_manifest(root, remedy).items()}
    if without := [name for name, host in hosts.items() if "slice" not in host]:
        problem = f"does not tell the slice of {without[0]}'s host"
        raise DataError(root / MANIFEST_FILE, problem, f"generate the images again, or {remedy}")
    return {name: (host["patient"], host["slice"]) for name, host in hosts.items()}
