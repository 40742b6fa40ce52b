"""Label consistency in an evaluation: the segmenter from its checkpoint, and the sets it is asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mcf_bundle.data.triplet_dataset import to_network_range
from mcf_bundle.data.volume import Channel
from mcf_bundle.errors import CheckpointError
from mcf_bundle.generation.image_evaluation_sets import (
    COMPOSITES,
    REFERENCE,
    SYNTHETIC,
    EvaluationSets,
    JudgedImage,
)
from mcf_bundle.generation.warp import pixel_factor
from mcf_bundle.metrics.label_consistency import SHIFT, LabeledSet, label_consistency
from mcf_bundle.networks.checkpoint import Checkpoint, load_network, read_checkpoint
from mcf_bundle.networks.known_patients import refuse_known
from mcf_bundle.networks.segmentation_networks import network_of_architecture

KIND = "segmenter"


@dataclass(frozen=True, eq=False)
class FrozenSegmenter:
    """A trained segmenter of single slices.

    Attributes:
        network: (B, 3, H, W), network range -> scores (B, 2, H, W), background first.
        checkpoint: where its weights come from.
        device: where it computes.
    """

    network: nn.Module
    checkpoint: Checkpoint
    device: torch.device

    @torch.no_grad()
    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Segment images, (N, 3, H, W), float32, normalized; one by one, so that none depends on another."""
        network_images = torch.from_numpy(to_network_range(images))
        scores = [self.network(image[None].to(self.device)).cpu() for image in network_images]
        return torch.cat(scores).argmax(1).numpy() == 1


def load_segmenter(
    path: Path, held_out: Mapping[str, Sequence[str]], *, device: torch.device
) -> FrozenSegmenter:
    """Load a segmenter that knows none of the held-out patients.

    Args:
        path: checkpoint of the kind "segmenter", of one slice.
        held_out: names of the patients by split.
        device: where it computes.

    Raises:
        CheckpointError: the file cannot be used, is of another kind, or wants neighbors of the slice.
        LeakageError: it was trained on one of the patients, or chosen by its results on one of the test set.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint.kind != KIND:
        problem = f"holds a {checkpoint.kind}, not a {KIND}"
        raise CheckpointError(path, problem, "give a checkpoint of the bundle tumor_segmentation")
    network = network_of_architecture(checkpoint.preset)
    channels = next(network.parameters()).shape[1]
    if channels != len(Channel):
        problem = f"wants {channels} channels, one slice has {len(Channel)}"
        raise CheckpointError(
            path, problem, "give a segmenter that was trained without the slice's neighbors"
        )
    for split, patients in held_out.items():
        refuse_known(patients, checkpoint, where="segmenter_ckpt", split=split)
    load_network(network, path, preset=checkpoint.preset, kind=KIND)
    return FrozenSegmenter(network.eval().requires_grad_(False).to(device), checkpoint, device)


def label_rows(gathered: EvaluationSets, segmenter: FrozenSegmenter) -> list[dict[str, Any]]:
    """Compare the segmenter's masks with the written ones, without the training tumors, which it may know."""
    sets = {name: _labeled(gathered.sets[name]) for name in (SYNTHETIC, COMPOSITES)}
    sets[REFERENCE] = _labeled(gathered.reference)
    shift = max(1, round(SHIFT * pixel_factor(gathered.reference[0].mask.shape)))
    return label_consistency(segmenter, sets, control=REFERENCE, shift=shift)


def _labeled(images: Sequence[JudgedImage]) -> LabeledSet:
    return LabeledSet(
        images=np.stack([image.image for image in images]),
        masks=np.stack([image.mask for image in images]),
        patients=[image.patient for image in images],
        slices=[image.slice for image in images],
    )
