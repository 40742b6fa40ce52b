"""Real tumor slices, noised and denoised as a generation did with its composites."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mcf_bundle.arguments import as_path, check_device
from mcf_bundle.data.triplets import triplet_indices
from mcf_bundle.diffusion.inferer import FusionInferer
from mcf_bundle.diffusion.schedule import cosine_schedule
from mcf_bundle.errors import ArgumentError, CheckpointError
from mcf_bundle.generation.finished_source import FinishedSource
from mcf_bundle.generation.loop import sample_block
from mcf_bundle.generation.materials import Materials, own_tumor, slice_position
from mcf_bundle.generation.plan import PlanRow
from mcf_bundle.generation.stored_record import candidate
from mcf_bundle.networks.checkpoint import hash_file
from mcf_bundle.networks.stored_network import load_stored_network
from mcf_bundle.study.set_folder import SetCase


@dataclass(frozen=True)
class NetworkFiles:
    """The checkpoints that a generation was made with, and where they are to run.

    Attributes:
        ckpt: the denoiser's.
        classifier_ckpt: the guidance classifier's; None where the generation had no guidance.
        device: a torch device.
    """

    ckpt: str | Path | None = None
    classifier_ckpt: str | Path | None = None
    device: str = "cpu"


def noised_real(finished: FinishedSource, files: NetworkFiles) -> Iterator[SetCase]:
    """Yield the real tumor slice of each row's donor, noised to step L and denoised; masks as they are.

    Denoiser, guidance, steps, seeds and the part that may change are those of the generation, so that what
    differs from its images is the place of the tumor alone. There is no gate. A donor that serves in several
    rows comes as often, with other noise.

    Raises:
        ArgumentError: a checkpoint is needed and not given, or the device is none.
        CheckpointError: a file is another one than the generation's.
    """
    check_device(files.device)
    device, header = torch.device(files.device), finished.run.plan.header
    settings = finished.run.facts.settings
    denoiser = _load("ckpt", files.ckpt, header["checkpoints"]["denoiser"], device)
    classifier = None
    if settings["guidance_scale"]:
        classifier = _load(
            "classifier_ckpt", files.classifier_ckpt, header["checkpoints"]["classifier"], device
        )
    inferer = FusionInferer.of(settings, cosine_schedule(), classifier)
    size, records = header["compute_batch"], finished.run.records
    for start in range(0, len(records), size):
        block = [_real_tumor(record, finished) for record in records[start : start + size]]
        images = sample_block(
            block, lambda batch: inferer(batch, denoiser), compute_batch=size, device=device
        )
        for item, image in zip(block, images, strict=True):
            volume = item.host.volume
            stored = volume.image[list(triplet_indices(item.host_index, len(volume.image)))]
            stored[1] = item.host.scale.denormalize(image)
            origin = {
                **{role: vars(item.candidate.donor) for role in ("host", "donor")},
                "seed": item.candidate.seed,
                "settings": dict(item.row.settings),
            }
            yield SetCase(item.row.row, volume.institution, stored, item.composite.mask, origin)


def _real_tumor(record: Mapping[str, Any], finished: FinishedSource) -> Materials:
    """Return the donor's slice of a row as a host that has its tumor already."""
    made = candidate(record)
    case = finished.training[made.donor.patient]
    row = PlanRow(record["row"], record["name"], (made,), record["settings"])
    return own_tumor(row, made, case, slice_position(case, made.donor))


def _load(name: str, given: str | Path | None, sha256: str, device: torch.device) -> nn.Module:
    """Load a network from the file that the generation used, frozen."""
    if given is None:
        raise ArgumentError(name, "the generation's checkpoint is needed and none was given", f"give {name}")
    path = as_path(given, name)
    network = load_stored_network(path)
    if hash_file(path) != sha256:
        problem = f"is another checkpoint than the generation's (SHA-256 {sha256[:12]}...)"
        raise CheckpointError(path, problem, "give the one that it was made with")
    return network.requires_grad_(False).to(device)
