"""Several trained classifiers as one, whose probability is the mean of theirs."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mcf_bundle.arguments import as_path, check_device
from mcf_bundle.errors import ArgumentError, CheckpointError
from mcf_bundle.networks.checkpoint import Checkpoint, load_network, read_checkpoint
from mcf_bundle.networks.classification_networks import SliceClassifier
from mcf_bundle.networks.known_patients import refuse_known

KIND = "tumor_classifier"
"""Kind of the checkpoints, see `Checkpoint`."""


class ClassifierEnsemble(nn.Module):
    """Average the probabilities of several classifiers.

    Args:
        members: each from (B, C, H, W) to logits (B, 2).
    """

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logarithm of the mean probabilities, (B, 2), float32: softmax gives the mean."""
        votes = torch.stack([member(x).float().log_softmax(1) for member in self.members])
        return votes.logsumexp(0) - math.log(len(self.members))


@dataclass(frozen=True, eq=False)
class TrainedClassifier:
    """A classifier, or an ensemble, with the checkpoints that its weights came from."""

    network: nn.Module
    checkpoints: tuple[Checkpoint, ...]

    def refuse_known(self, patients: Iterable[str], *, split: str) -> None:
        """Refuse patients whom any member knows.

        Raises:
            LeakageError: see `mcf_bundle.networks.known_patients.refuse_known`.
        """
        patients = list(patients)
        for checkpoint in self.checkpoints:
            refuse_known(patients, checkpoint, where="ckpt", split=split)


def load_classifiers(
    network: SliceClassifier,
    ckpt: str | Path | Sequence[str | Path],
    *,
    device: torch.device,
) -> TrainedClassifier:
    """Load one checkpoint, or several as an ensemble, frozen and on a device.

    Args:
        network: the architecture; stays as it is.
        ckpt: a file, or a list of files, such as those of the folds.
        device: where the network goes.

    Raises:
        ArgumentError: no file is given, or one twice.
        CheckpointError: a file cannot be read, or holds something else than this architecture's weights.
    """
    check_device(device)
    listed = ckpt if isinstance(ckpt, list | tuple) else [ckpt]
    paths = [as_path(item, "ckpt") for item in listed]
    if not paths or len(set(paths)) < len(paths):
        problem = "is an empty list" if not paths else "names a file twice"
        raise ArgumentError("ckpt", problem, "give each checkpoint of the ensemble once")
    members = [copy.deepcopy(network).eval().requires_grad_(False) for _ in paths]
    checkpoints = tuple(_load(member, path) for member, path in zip(members, paths, strict=True))
    whole = members[0] if len(members) == 1 else ClassifierEnsemble(members)
    return TrainedClassifier(whole.eval().to(device), checkpoints)


def _load(network: SliceClassifier, path: Path) -> Checkpoint:
    stored = read_checkpoint(path)
    if stored.kind == KIND and stored.preset != network.architecture:
        problem = f"holds {stored.preset} (network, channels, size), not {network.architecture}"
        raise CheckpointError(path, problem, "set network_name, input_slices and size to the checkpoint's")
    return load_network(network, path, preset=network.architecture, kind=KIND)
