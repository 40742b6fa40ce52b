"""The slices that a memorization audit compares, real and generated, all normalized."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mcf_bundle.data.anatomy import head_mask
from mcf_bundle.data.case import Case
from mcf_bundle.data.generated_case import GENERATED_SLICE
from mcf_bundle.data.missing_sequences import find_missing_sequences
from mcf_bundle.data.normalization import estimate_intensity_scale
from mcf_bundle.data.pseudonyms import Naming
from mcf_bundle.data.volume import Channel
from mcf_bundle.generation.margin import grow
from mcf_bundle.generation.materials import EDIT_MARGIN, slice_position
from mcf_bundle.generation.placement_rules import PlacementRules
from mcf_bundle.generation.stored_record import candidate
from mcf_bundle.generation.stored_tiles import StoredTiles
from mcf_bundle.generation.tile import Tile
from mcf_bundle.generation.warp import warp_donor


@dataclass(frozen=True, eq=False)
class AuditSlice:
    """A slice as it is compared.

    Attributes:
        name: what it is called.
        patient: whose tumor it shows, as the run writes names.
        host: whose head it shows.
        slice: number of the slice.
        image: (3, H, W), float32, normalized, 0 = background.
        mask: (H, W), bool, the tumor; empty in a healthy slice.
        head: (H, W), bool.
        acquired: for each channel whether it is no copy of FLAIR.
    """

    name: str
    patient: str
    host: str
    slice: int
    image: NDArray[np.float32]
    mask: NDArray[np.bool_]
    head: NDArray[np.bool_]
    acquired: tuple[bool, ...]

    @property
    def outside(self) -> NDArray[np.bool_]:
        """The head without what the sampler may change: the mask, its holes filled, grown by its margin."""
        return self.head & ~grow(ndimage.binary_fill_holes(self.mask), EDIT_MARGIN)


@dataclass(frozen=True, eq=False)
class AuditImage:
    """A generated image and what it was made from.

    Attributes:
        result: the image.
        composite: (3, H, W), float32, normalized like it, before the diffusion; None if it cannot be rebuilt.
        donor: (3, H, W), float32, the donor's slice through the row's transform; None likewise.
        donor_slice: number of the donor's slice.
    """

    result: AuditSlice
    composite: NDArray[np.float32] | None
    donor: NDArray[np.float32] | None
    donor_slice: int


def real_slices(
    cases: Sequence[Case], naming: Naming, *, chosen: Callable[[NDArray[np.bool_]], bool] = lambda _: True
) -> Iterator[AuditSlice]:
    """Yield the slices of patients that take part, one at a time.

    Args:
        cases: the patients.
        naming: from a patient's name to what is written.
        chosen: whether a slice with this mask, (H, W), is wanted.
    """
    for case in cases:
        patient = naming(case.patient)
        for index in case.listed:
            number, mask = case.volume.slice_numbers[index], case.volume.mask[index]
            if chosen(mask):
                yield AuditSlice(
                    name=f"{patient}_{number}",
                    patient=patient,
                    host=patient,
                    slice=number,
                    image=case.normalized([index])[0],
                    mask=mask,
                    head=case.head[index],
                    acquired=tuple(not missing for missing in case.missing),
                )


def generated_images(
    run_dir: Path, records: Sequence[Mapping[str, Any]], cases: Mapping[str, Case], rules: PlacementRules
) -> Iterator[AuditImage]:
    """Yield a run's images, each with its composite, composed again, and its donor.

    Args:
        run_dir: the run's folder.
        records: lines of the manifest.
        cases: the training patients by what the records call them; without any, head, scale and missing
            channels are found in the image itself, and there is neither composite nor donor.
        rules: what counts as tissue where a tumor is painted; those of the plan.

    Raises:
        DataError: an image cannot be read, or a patient has other pixels than the run was made from.
    """
    for record, tile in zip(records, StoredTiles(run_dir, records, cases, rules), strict=True):
        yield _with_origin(record, tile, cases) if cases else _alone(record, tile)


def _with_origin(record: Mapping[str, Any], tile: Tile, cases: Mapping[str, Case]) -> AuditImage:
    made = candidate(record)
    host, donor = cases[made.host.patient], cases[made.donor.patient]
    result = _generated_slice(
        record,
        host.scale.normalize(tile.result),
        tile.mask,
        head=host.head[slice_position(host, made.host)],
        missing=host.missing,
    )
    composite = None if tile.origin is None else host.scale.normalize(tile.origin.composite)
    warped = warp_donor(donor, made.transform, tile.mask.shape).image[1]
    return AuditImage(result, composite, warped, made.donor.slice)


def _alone(record: Mapping[str, Any], tile: Tile) -> AuditImage:
    stack = tile.result[None]
    result = _generated_slice(
        record,
        estimate_intensity_scale(stack).normalize(tile.result),
        tile.mask,
        head=head_mask(stack[:, Channel.FLAIR])[0],
        missing=find_missing_sequences(stack),
    )
    return AuditImage(result, None, None, record["donor"]["slice"])


def _generated_slice(
    record: Mapping[str, Any],
    image: NDArray[np.float32],
    mask: NDArray[np.bool_],
    *,
    head: NDArray[np.bool_],
    missing: Sequence[bool],
) -> AuditSlice:
    return AuditSlice(
        name=record["name"],
        patient=record["donor"]["patient"],
        host=record["host"]["patient"],
        slice=GENERATED_SLICE,
        image=image,
        mask=mask,
        head=head,
        acquired=tuple(not flag for flag in missing),
    )
