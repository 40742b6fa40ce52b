"""What a candidate of the plan is made from: the pixels that go into the networks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from mcf_bundle.data.case import Case
from mcf_bundle.data.triplet_dataset import to_network_range
from mcf_bundle.data.triplets import triplet_indices
from mcf_bundle.diffusion.sampler import FusionBatch
from mcf_bundle.generation.composite import Composite, compose
from mcf_bundle.generation.margin import grow
from mcf_bundle.generation.placement_rules import PlacementRules
from mcf_bundle.generation.plan import Candidate, PlanRow, SliceId

EDIT_MARGIN = 8.0
"""How far around the mask the sampler may change the image, pixels at 256 x 256."""


@dataclass(frozen=True, eq=False)
class Materials:
    """A candidate with its pixels.

    Attributes:
        row: the plan's row.
        candidate: which of its candidates.
        host: the host's case.
        host_index: position of the host's middle slice.
        composite: host triplet, contribution and mask.
        editable: (H, W), bool, the middle mask grown by `EDIT_MARGIN`.
    """

    row: PlanRow
    candidate: Candidate
    host: Case
    host_index: int
    composite: Composite
    editable: NDArray[np.bool_]


def prepare_materials(
    row: PlanRow, candidate: Candidate, cases: Mapping[str, Case], rules: PlacementRules
) -> Materials:
    """Compose a candidate's pixels; the same row gives the same arrays.

    Args:
        row: the plan's row.
        candidate: one of its candidates.
        cases: the training patients, by name.
        rules: what counts as tissue; those that the pair was accepted by.
    """
    host, donor = cases[candidate.host.patient], cases[candidate.donor.patient]
    index = slice_position(host, candidate.host)
    composite = compose(
        host,
        index,
        donor,
        candidate.transform,
        blend=row.settings["blend"],
        harmonized=row.settings.get("harmonize", True),  # plans from before it was a setting
        rules=rules,
    )
    return Materials(row, candidate, host, index, composite, _editable(composite))


def own_tumor(row: PlanRow, candidate: Candidate, case: Case, index: int) -> Materials:
    """Let a real tumor slice stand as its own composite: the host has its tumor, and nothing is added.

    Args:
        row: for the sampler's settings.
        candidate: for the seed.
        case: the patient.
        index: position of the slice; at an end of the volume it stands in for the neighbor that is missing.

    Returns:
        Intensities as in a composite, normalized per patient and channel; a contribution of zeros, so that
        host plus contribution is the slice itself.
    """
    triplet = list(triplet_indices(index, len(case.volume.image)))
    image = case.normalized(triplet)
    composite = Composite(image, np.zeros_like(image), case.volume.mask[triplet])
    return Materials(row, candidate, case, index, composite, _editable(composite))


def _editable(composite: Composite) -> NDArray[np.bool_]:
    # Cavities inside a tumor are painted too, though they are no part of the mask.
    return grow(ndimage.binary_fill_holes(composite.mask[1]), EDIT_MARGIN)


def slice_position(case: Case, item: SliceId) -> int:
    """Return the position of a slice in its volume, from 0."""
    return case.volume.slice_numbers.index(item.slice)


def to_batch(materials: Sequence[Materials], device: torch.device) -> FusionBatch:
    """Stack candidates for the sampler, in the networks' range.

    Args:
        materials: B candidates of one image size.
        device: where the tensors go.
    """
    host = np.stack([item.composite.host[1] for item in materials])
    contribution = np.stack([item.composite.contribution[1] for item in materials])
    neighbors = np.stack([item.composite.image[[0, 2]] for item in materials])
    editable = np.stack([item.editable[None] for item in materials])
    mask = np.stack([item.composite.mask[1][None] for item in materials])
    return FusionBatch(
        host=torch.from_numpy(to_network_range(host)).to(device),
        # A difference in the networks' range is twice the difference of intensities and has no offset.
        contribution=torch.from_numpy(2 * contribution).to(device),
        context=torch.from_numpy(to_network_range(neighbors.reshape(len(materials), -1, *host.shape[2:]))).to(
            device
        ),
        editable=torch.from_numpy(editable).to(device),
        seeds=[item.candidate.seed for item in materials],
        mask=torch.from_numpy(mask.astype(np.float32)).to(device),
    )


def hash_inputs(materials: Materials, donor: Case) -> str:
    """Return the SHA-256 of the stored pixels that go in: host triplet, donor slices and masks."""
    digest = hashlib.sha256()
    host_indices = [materials.host_index - 1, materials.host_index, materials.host_index + 1]
    donor_indices = [index for index in materials.candidate.transform.donor_indices if index is not None]
    digest.update(materials.host.volume.image[host_indices].tobytes())
    digest.update(donor.volume.image[donor_indices].tobytes())
    digest.update(donor.volume.mask[donor_indices].tobytes())
    return digest.hexdigest()
