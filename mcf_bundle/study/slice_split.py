"""Training and testing on a split by slice, which leaks: for a comparison with a split by patient alone."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from mcf_bundle.arguments import as_path
from mcf_bundle.data.datalist import check_same_patients, read_datalist
from mcf_bundle.data.splits import TEST
from mcf_bundle.data.training_data import MIN_FOREGROUND, LeveledSlice, TrainingData
from mcf_bundle.data.triplet_dataset import SliceRef
from mcf_bundle.data.volume import Volume
from mcf_bundle.errors import ArgumentError, DataError
from mcf_bundle.networks.checkpoint import load_network
from mcf_bundle.networks.classification_ensemble import TrainedClassifier
from mcf_bundle.networks.classification_networks import SliceClassifier

logger = logging.getLogger(__name__)

REMARK = "split by slice: patients of the test slices train too, so every figure flatters"
"""What stands beside every result."""

KINDS = {"segmentation": "segmenter_by_slice", "classification": "tumor_classifier_by_slice"}
"""Kind of the checkpoints by task: no config file of a bundle takes one."""


class SliceSplitData(TrainingData):
    """The slices of a dataset, split by slice; `TrainingData` refuses such a split.

    A checkpoint that is trained on it lists all patients who have a slice in training or validation, and
    these slices. So every evaluation by patient refuses it, and an evaluation here refuses slices that it
    was trained or chosen on.

    Args:
        dataset_dir: folder in the LGG layout, or its parent.
        datalist: file that says which slice trains, validates and tests.
        synthetic_dir: must be None: a generator must know no patient who is tested.
        settings: see `TrainingData`.

    Raises:
        ArgumentError: a synthetic folder is given, or see `TrainingData`.
    """

    def __init__(
        self,
        dataset_dir: str | Path,
        *,
        datalist: str | Path,
        synthetic_dir: str | Path | None = None,
        **settings: Any,
    ) -> None:
        if synthetic_dir is not None:
            problem = "a split by slice has no training patients whom synthetic slices could show"
            raise ArgumentError("synthetic_dir", problem, "leave it out, or split by patient")
        super().__init__(dataset_dir, datalist=datalist, **settings)
        self._file = as_path(datalist, "datalist")

    @cached_property
    def split_of(self) -> dict[tuple[str, int], str]:
        """Split by patient and slice number; read at the first use.

        Raises:
            DataError: the datalist cannot be read, is split by patient, or is of other patients.
            LeakageError: it was edited.
        """
        datalist = read_datalist(self._file)
        if not datalist.leaks:
            raise DataError(self._file, "is split by patient", "train on it without this class")
        check_same_patients(self.cohort, datalist)
        logger.warning("%s: %s", self._file, REMARK)
        return {(entry.patient, entry.slice): entry.split for entry in datalist.entries}

    def volumes(self, split: str) -> list[Volume]:
        """Return the patients who have slices in a split, ordered by name."""
        there = {patient for (patient, _), where in self.split_of.items() if where == split}
        return [volume for volume in self.cohort.volumes if volume.patient in there]

    def patients_behind(self, split: str) -> list[str]:
        """Return the names of a split's slices; of training and validation also those of the patients."""
        slices = [key for key, where in self.split_of.items() if where == split]
        patients = set() if split == TEST else {patient for patient, _ in slices}
        return sorted({f"{patient} slice {number}" for patient, number in slices} | patients)

    def slices(self, split: str, *, min_foreground: float = MIN_FOREGROUND) -> list[SliceRef]:
        """Return the slices of a split whose foreground is large enough; see `TrainingData.slices`."""
        found = [ref for ref in super().slices(split, min_foreground=min_foreground) if self._in(ref, split)]
        if not found:
            raise DataError(self.dataset_dir, f"no usable slices in the split {split!r}", "add patients")
        return found

    def leveled_slices(self, split: str) -> list[LeveledSlice]:
        """Return what classifiers learn from; see `TrainingData.leveled_slices`."""
        return [item for item in super().leveled_slices(split) if self._in(item.ref, split)]

    def _in(self, ref: SliceRef, split: str) -> bool:
        return self.split_of.get((ref.volume.patient, ref.volume.slice_numbers[ref.index])) == split


def training_overrides(task: str) -> dict[str, Any]:
    """Return the ids of a bundle's train.json that train on a split by slice and mark the checkpoint.

    Args:
        task: a key of `KINDS`.
    """
    return {
        "data#_target_": f"{__name__}.{SliceSplitData.__name__}",
        "weights#kind": KINDS[task],
        "weights#info#split_by": "slice",
    }


def evaluation_overrides(task: str) -> dict[str, Any]:
    """Return the ids of train.json with evaluate.json that evaluate such a checkpoint on the test slices."""
    loading = {
        "segmentation": {"trained#kind": KINDS["segmentation"]},
        "classification": {"trained#_target_": f"{__name__}.{load_classifier.__name__}"},
    }
    return {**training_overrides(task), **loading[task]}


def load_classifier(network: SliceClassifier, ckpt: str | Path, *, device: torch.device) -> TrainedClassifier:
    """Load a classifier that was trained on a split by slice; any other is refused.

    Raises:
        CheckpointError: see `mcf_bundle.networks.checkpoint.load_network`.
    """
    kind = KINDS["classification"]
    checkpoint = load_network(network, as_path(ckpt, "ckpt"), preset=network.architecture, kind=kind)
    return TrainedClassifier(network.eval().requires_grad_(False).to(device), (checkpoint,))
