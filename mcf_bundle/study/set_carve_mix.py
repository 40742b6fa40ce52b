"""CarveMix: a region around one patient's tumor, pasted into a slice of another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mcf_bundle.data.case import Case
from mcf_bundle.data.pool import Donor, Host
from mcf_bundle.data.triplets import triplet_indices
from mcf_bundle.errors import DataError
from mcf_bundle.generation.finished_source import FinishedSource
from mcf_bundle.generation.plan import SliceId
from mcf_bundle.study.set_folder import SetCase

Pixels = TypeVar("Pixels", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Mixed:
    """A host's triplet with a region of the donor's in it.

    Attributes:
        images: (3, 3, H, W), uint8, stored gray levels on the host's scale.
        masks: (3, H, W), bool: the donor's within the region, the host's elsewhere.
        region: (3, H, W), bool, what was pasted; outside it images and masks are the host's own.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    region: NDArray[np.bool_]


def carve_mix(finished: FinishedSource, seed: int) -> Iterator[SetCase]:
    """Yield as many mixed images as the generation has, from its own hosts and donors.

    Donors are the tumor slices that the generation may use. What they are pasted into is drawn from the
    slices that may be host or donor, with and without tumor, of other patients at the donor's level with the
    same sequences. The draw of an image depends on the seed and its row alone.

    Raises:
        DataError: no donor has such a partner.
    """
    pairs = _partners(finished)
    names = {case.patient: name for name, case in finished.training.items()}
    cases = finished.source.cases
    for record in finished.run.records:
        generator = np.random.default_rng([seed, record["row"]])
        donor, hosts = pairs[int(generator.integers(len(pairs)))]
        host = hosts[int(generator.integers(len(hosts)))]
        target = cases[host.patient]
        fraction = generator.uniform(-1, 1)
        mixed = mix(target, host.index, cases[donor.patient], donor.index, fraction)
        origin = {
            role: {**vars(SliceId.of(member)), "patient": names[member.patient]}
            for role, member in (("host", host), ("donor", donor))
        }
        origin["carved"] = {"fraction": fraction, "pixels": int(mixed.region[1].sum())}
        yield SetCase(record["row"], target.volume.institution, mixed.images, mixed.masks, origin)


def mix(host: Case, host_index: int, donor: Case, donor_index: int, fraction: float) -> Mixed:
    """Paste the region around a donor's tumor into a host's triplet, all three slices (Zhang et al. 2021).

    X = M X_donor + (1 - M) X_host, and the same of the masks. Intensities go from the donor's scale to the
    host's. The published method mixes volumes that are registered to an atlas; here the donor is moved by
    whole pixels until the centers of both heads meet. The neighbors are carved at the middle slice's
    threshold; one without tumor stays the host's.

    Args:
        host: who gets the tumor.
        host_index: middle slice of the host's triplet.
        donor: whose tumor.
        donor_index: middle slice of the donor's triplet, with tumor.
        fraction: see `carve_threshold`.
    """
    into = list(triplet_indices(host_index, len(host.volume.image)))
    out_of = list(triplet_indices(donor_index, len(donor.volume.image)))
    shift = _head_center(host.head[host_index]) - _head_center(donor.head[donor_index])
    donor_masks = donor.volume.mask[out_of]
    threshold = carve_threshold(signed_distance(donor_masks[1]), fraction)
    region = np.stack([carve(mask, threshold) for mask in donor_masks])
    pasted = host.scale.denormalize(donor.normalized(out_of))
    moved_region, moved_masks = _move(region, shift), _move(donor_masks, shift)
    return Mixed(
        images=np.where(moved_region[:, None], _move(pasted, shift), host.volume.image[into]),
        masks=np.where(moved_region, moved_masks, host.volume.mask[into]),
        region=moved_region,
    )


def signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the distance to the mask's other side, pixels: negative inside, positive outside.

    Args:
        mask: (H, W), bool, neither empty nor full.
    """
    outside = ndimage.distance_transform_edt(~mask)
    inside = ndimage.distance_transform_edt(mask)
    return np.asarray(np.where(mask, -inside, outside), np.float64)


def carve_threshold(distance: NDArray[np.float64], fraction: float) -> float:
    """Return lambda, below which signed distances belong to the region.

    With R the tumor's depth, the least distance's size, a uniform fraction makes lambda uniform in [-R/2, 0]
    for half of the draws and in [0, R] for the others, as in the paper: from the tumor's inner part to the
    tumor with as much again around it.

    Args:
        distance: see `signed_distance`.
        fraction: from -1 to 1, what is drawn.

    >>> carve_threshold(np.array([-4.0, 3.0]), 1.0), carve_threshold(np.array([-4.0, 3.0]), -1.0)
    (-2.0, 4.0)
    """
    depth = -float(distance.min())
    return -fraction * depth / 2 if fraction > 0 else -fraction * depth


def carve(mask: NDArray[np.bool_], threshold: float) -> NDArray[np.bool_]:
    """Return the region of one slice, (H, W), bool; empty where the mask is."""
    if not mask.any():
        return np.zeros_like(mask)
    return signed_distance(mask) < threshold


def _partners(finished: FinishedSource) -> Sequence[tuple[Donor, Sequence[Host | Donor]]]:
    """Return each donor with the slices that its tumor may be pasted into, if there are any."""
    source, tolerance = finished.source, finished.placement_rules.level_tolerance
    donors = source.donors.members
    targets: list[Host | Donor] = [*source.hosts.members, *donors]
    missing = {patient: case.missing for patient, case in source.cases.items()}

    def fits(donor: Donor, target: Host | Donor) -> bool:
        return (
            target.patient != donor.patient
            and missing[target.patient] == missing[donor.patient]
            and abs(target.level - donor.level) <= tolerance
        )

    found = [(donor, [target for target in targets if fits(donor, target)]) for donor in donors]
    pairs = [(donor, hosts) for donor, hosts in found if hosts]
    if not pairs:
        problem = "no two training patients have slices of the same sequences at one level"
        raise DataError(source.cohort.root, problem, "add patients")
    return pairs


def _head_center(head: NDArray[np.bool_]) -> NDArray[np.int_]:
    """Return the middle of a head's box, (row, column); of the whole image where there is none."""
    places = np.argwhere(head if head.any() else np.ones_like(head))
    return np.asarray((places.min(axis=0) + places.max(axis=0)) // 2, int)


def _move(array: NDArray[Pixels], shift: NDArray[np.int_]) -> NDArray[Pixels]:
    """Move (..., H, W) by whole pixels, rows and columns; zeros come in."""
    offsets = (0,) * (array.ndim - 2) + tuple(shift.tolist())
    return ndimage.shift(array, offsets, order=0)
