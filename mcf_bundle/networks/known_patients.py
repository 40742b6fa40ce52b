"""Patients that a checkpoint knows, on whom its results would flatter it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mcf_bundle.data.splits import TEST
from mcf_bundle.errors import LeakageError
from mcf_bundle.networks.checkpoint import Checkpoint, hash_patient


def refuse_known(patients: Iterable[str], checkpoint: Checkpoint, *, where: str | Path, split: str) -> None:
    """Refuse to evaluate a checkpoint on a patient it was trained on, or to test it on one it was chosen on.

    Args:
        patients: names of those who are evaluated on.
        checkpoint: what is evaluated, or takes part in what is.
        where: argument or file of the checkpoint, for the message.
        split: to which they belong; patients on whom the epoch was chosen are refused in the test set alone.

    Raises:
        LeakageError: names the checkpoint and the first such patient.
    """
    for patient in patients:
        hashed = hash_patient(patient)
        trained = hashed in checkpoint.patients
        if trained or (split == TEST and hashed in checkpoint.validation_patients):
            how = "trained on" if trained else "chosen by its results on"
            raise LeakageError(
                where,
                f"was {how} patient {patient}, who belongs to the {split} set",
                "use a checkpoint of this split (its dataset and split_seed), or train one",
            )
