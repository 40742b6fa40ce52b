"""Where a training starts: random weights, or those of an earlier training with all whom it saw."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from mcf_bundle.arguments import as_path
from mcf_bundle.data.splits import TEST, VALIDATION
from mcf_bundle.networks.checkpoint import Checkpoint, load_network
from mcf_bundle.networks.known_patients import refuse_known


@dataclass(frozen=True, eq=False)
class StartedNetwork:
    """A network that is about to be trained, and the checkpoint that its weights came from, if any."""

    network: nn.Module
    checkpoint: Checkpoint | None = None

    @property
    def sha256(self) -> str | None:
        """Hash of the checkpoint's file; None for random weights."""
        return self.checkpoint.sha256 if self.checkpoint else None


def start_network(
    network: nn.Module,
    init_ckpt: str | Path | None,
    *,
    preset: str,
    kind: str,
    validation_patients: Iterable[str],
    test_patients: Iterable[str],
) -> StartedNetwork:
    """Load the weights that a training starts from.

    Args:
        network: the architecture; its weights are replaced in place. It may see more than the checkpoint's,
            such as the mask, and starts without looking at it.
        init_ckpt: a checkpoint of this project; None keeps the random weights.
        preset: name of the architecture.
        kind: see `Checkpoint`.
        validation_patients: names of those who will choose the epoch; the weights must not have seen them.
        test_patients: names of those who will judge the network, likewise.

    Returns:
        The network with its checkpoint.

    Raises:
        CheckpointError: the file cannot be read or belongs to another preset, kind or architecture.
        LeakageError: the weights were trained on a validation or test patient, or chosen on a test patient.
    """
    if init_ckpt is None:
        return StartedNetwork(network)
    path = as_path(init_ckpt, "init_ckpt")
    checkpoint = load_network(network, path, preset=preset, kind=kind, widened=True)
    for split, patients in ((VALIDATION, validation_patients), (TEST, test_patients)):
        refuse_known(patients, checkpoint, where=init_ckpt, split=split)
    return StartedNetwork(network, checkpoint)
