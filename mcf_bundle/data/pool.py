"""Which slices may receive a tumor (hosts) or lend theirs (donors), and what excluded the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import numpy as np

from mcf_bundle.arguments import check_fields, check_number, check_range, check_share, check_whole
from mcf_bundle.data.asymmetry import flair_asymmetry
from mcf_bundle.data.case import Case
from mcf_bundle.data.completeness import black_share, frame_contact
from mcf_bundle.data.triplets import triplet_indices
from mcf_bundle.data.volume import Channel

NOMINAL_HEAD_HEIGHT_MM = 150.0
"""Assumed distance between levels 0 and 1, for files without spacing: an estimate.

The foramen magnum lies near level 0.1 and the vertex near 1.0 of the LGG template, the skull between them is
about 135 mm high (basion to bregma), scalp included a little more. With 150 mm the frequent level steps of
0.033 and 0.050 come out at 5.0 and 7.5 mm, which are usual clinical protocols.
"""

REFERENCE_AREA = 256 * 256
"""Image area in pixels that areas in pixels refer to."""


@dataclass(frozen=True)
class HostRules:
    """What a slice must fulfil to receive a tumor; each limit is inclusive.

    Attributes:
        level_limits: lowest and highest axial level.
        tumor_level_percentiles: percentiles of the levels of all tumor slices with a reliable level; hosts
            lie between them, so that no tumor is put where none was seen. No rule where there is no such
            slice.
        min_gap_slices: slices from the triplet's nearest slice to the nearest tumor slice: 1 is its neighbor.
        min_gap_mm: the same distance in mm, estimated from the level.
        head_height_mm: distance between levels 0 and 1 that turns levels into mm.
        max_frame_contact: pixels along one side of the frame, relative to that side, that a whole head may
            touch.
        max_black_share: share of the head that may be exactly black (gray level 0) in any channel.
        min_brain_share: least area of the brain, relative to the head's, in the middle slice.
        max_asymmetry: largest excess of FLAIR over the mirrored side in any slice of the triplet, see
            `flair_asymmetry`: beyond it the slice has a lesion of its own, though no mask.

    Raises:
        ArgumentError: a field has another type or lies outside its range.
    """

    level_limits: tuple[float, float] = (0.38, 0.84)
    tumor_level_percentiles: tuple[float, float] = (1.0, 99.0)
    min_gap_slices: int = 2
    min_gap_mm: float = 10.0
    head_height_mm: float = NOMINAL_HEAD_HEIGHT_MM
    max_frame_contact: float = 0.0
    max_black_share: float = 0.1
    min_brain_share: float = 0.3
    max_asymmetry: float = 0.45

    def __post_init__(self) -> None:
        check_fields(
            self,
            {
                "level_limits": check_range,
                "tumor_level_percentiles": partial(check_range, least=0, most=100),
                "min_gap_slices": check_whole,
                "min_gap_mm": partial(check_number, least=0),
                "head_height_mm": partial(check_number, above=0),
                "max_frame_contact": check_share,
                "max_black_share": check_share,
                "min_brain_share": check_share,
                "max_asymmetry": partial(check_number, least=0),
            },
        )


@dataclass(frozen=True)
class DonorRules:
    """What a slice must fulfil to lend its tumor; each limit is inclusive.

    Attributes:
        level_limits: lowest and highest axial level.
        min_area: least area of the mask, in pixels of a 256 x 256 image; scaled with the image's area.
        min_in_brain: least share of the mask that lies in the brain region.
        max_brain_share: largest area of the mask relative to the brain's: nothing here makes a mass effect.
        max_black_share: as for hosts, in the middle slice only.

    Raises:
        ArgumentError: a field has another type or lies outside its range.
    """

    level_limits: tuple[float, float] = (0.38, 0.84)
    min_area: float = 150.0
    min_in_brain: float = 0.98
    max_brain_share: float = 0.20
    max_black_share: float = 0.1

    def __post_init__(self) -> None:
        check_fields(
            self,
            {
                "level_limits": check_range,
                "min_area": partial(check_number, least=0),
                "min_in_brain": check_share,
                "max_brain_share": check_share,
                "max_black_share": check_share,
            },
        )


@dataclass(frozen=True)
class Host:
    """A slice that may receive a tumor: patient, position, number in the file name, axial level."""

    patient: str
    index: int
    slice_number: int
    level: float


@dataclass(frozen=True)
class Donor:
    """A slice that may lend its tumor: patient, position, number in the file name, level, area in pixels."""

    patient: str
    index: int
    slice_number: int
    level: float
    area: int


Member = TypeVar("Member", Host, Donor)


@dataclass(frozen=True)
class Pool(Generic[Member]):
    """The slices that fulfil all rules, and the count of those that do not.

    Attributes:
        members: hosts or donors, by patient name and position.
        excluded: number of slices by the first rule that they break, in the order in which the rules are
            asked.
        considered: number of slices asked: the members and all excluded ones.
    """

    members: tuple[Member, ...]
    excluded: Mapping[str, int]
    considered: int

    @property
    def patients(self) -> tuple[str, ...]:
        """Names of the patients with at least one member, sorted."""
        return tuple(sorted({member.patient for member in self.members}))


def find_hosts(cases: Sequence[Case], rules: HostRules | None = None) -> Pool[Host]:
    """Find the slices that may receive a tumor.

    A host is the middle of three adjacent slices; the first and the last slice of a patient lack a neighbor
    and are no hosts.

    Args:
        cases: the training patients.
        rules: the limits; defaults if None.

    Returns:
        The pool; every listed slice of every patient counts as considered.
    """
    rules = rules or HostRules()
    tumor_limits = _tumor_level_limits(cases, rules.tumor_level_percentiles)
    members, excluded, considered = [], dict.fromkeys(HOST_RULES, 0), 0
    for case in sorted(cases, key=lambda case: case.patient):
        measures = _HostMeasures(case, rules, tumor_limits)
        for index in case.listed:
            considered += 1
            broken = next(
                (name for name, is_broken in HOST_RULES.items() if is_broken(measures, index)), None
            )
            if broken is None:
                number = case.volume.slice_numbers[index]
                members.append(Host(case.patient, index, number, float(case.level[index])))
            else:
                excluded[broken] += 1
    return Pool(tuple(members), excluded, considered)


def find_donors(cases: Sequence[Case], rules: DonorRules | None = None) -> Pool[Donor]:
    """Find the slices that may lend their tumor.

    Args:
        cases: the training patients.
        rules: the limits; defaults if None.

    Returns:
        The pool; the listed slices with tumor count as considered.
    """
    rules = rules or DonorRules()
    members, excluded, considered = [], dict.fromkeys(DONOR_RULES, 0), 0
    for case in sorted(cases, key=lambda case: case.patient):
        for index in case.tumor_slices:
            considered += 1
            broken = next(
                (name for name, is_broken in DONOR_RULES.items() if is_broken(case, index, rules)), None
            )
            if broken is None:
                number, area = case.volume.slice_numbers[index], int(case.volume.mask[index].sum())
                members.append(Donor(case.patient, index, number, float(case.level[index]), area))
            else:
                excluded[broken] += 1
    return Pool(tuple(members), excluded, considered)


def _tumor_level_limits(cases: Sequence[Case], percentiles: tuple[float, float]) -> tuple[float, float]:
    levels = [case.level[case.tumor_slices] for case in cases if case.level_is_reliable]
    joined = np.concatenate(levels) if levels else np.zeros(0)
    if not joined.size:
        return -np.inf, np.inf
    low, high = np.percentile(joined, percentiles)
    return float(low), float(high)


def _outside(value: float, limits: tuple[float, float]) -> bool:
    return not limits[0] <= value <= limits[1]


class _HostMeasures:
    """What the rules for hosts ask about a patient's slices."""

    def __init__(self, case: Case, rules: HostRules, tumor_limits: tuple[float, float]) -> None:
        self.case, self.rules, self.tumor_limits = case, rules, tumor_limits
        self.tumor_distance = case.volume.tumor_distance

    def lacks_neighbor(self, index: int) -> bool:
        return len(set(self.triplet(index))) < 3

    def triplet(self, index: int) -> tuple[int, int, int]:
        return triplet_indices(index, len(self.case.level))

    def gap_slices(self, index: int) -> float:
        """Slices from the nearest slice of the triplet to the nearest tumor slice; infinite without tumor."""
        return max(float(self.tumor_distance[index]) - 1.0, 0.0)

    def gap_mm(self, index: int) -> float:
        return self.gap_slices(index) * self.case.level_step * self.rules.head_height_mm

    def frame_contact(self, index: int) -> float:
        return max(frame_contact(self.case.head[i]) for i in self.triplet(index))

    def black_share(self, index: int) -> float:
        return max(black_share(self.case.volume.image[i], self.case.head[i]) for i in self.triplet(index))

    def brain_share(self, index: int) -> float:
        return float(self.case.brain[index].sum() / max(int(self.case.head[index].sum()), 1))

    def asymmetry(self, index: int) -> float:
        case = self.case
        return max(
            flair_asymmetry(case.normalized([i])[0][Channel.FLAIR], case.brain[i], case.midline)
            for i in self.triplet(index)
        )


HOST_RULES: Mapping[str, Callable[[_HostMeasures, int], bool]] = {
    "level is not reliable": lambda m, i: not m.case.level_is_reliable,
    "level is outside the limits": lambda m, i: _outside(m.case.level[i], m.rules.level_limits),
    "no tumor was seen at this level": lambda m, i: _outside(m.case.level[i], m.tumor_limits),
    "slice lacks a neighbor": lambda m, i: m.lacks_neighbor(i),
    "triplet has tumor": lambda m, i: m.gap_slices(i) == 0,
    "tumor is too few slices away": lambda m, i: m.gap_slices(i) < m.rules.min_gap_slices,
    "tumor is too few mm away": lambda m, i: m.gap_mm(i) < m.rules.min_gap_mm,
    "head is cut by the frame": lambda m, i: m.frame_contact(i) > m.rules.max_frame_contact,
    "a channel is partly black": lambda m, i: m.black_share(i) > m.rules.max_black_share,
    "brain is too small": lambda m, i: m.brain_share(i) < m.rules.min_brain_share,
    "one side is brighter": lambda m, i: m.asymmetry(i) > m.rules.max_asymmetry,
}
"""Reasons against a host, in the order in which they are asked."""


def _donor_area(case: Case, index: int) -> float:
    mask = case.volume.mask[index]
    return float(mask.sum()) * REFERENCE_AREA / mask.size


def _share_in_brain(case: Case, index: int) -> float:
    mask = case.volume.mask[index]
    return float((mask & case.brain[index]).sum() / mask.sum())


def _share_of_brain(case: Case, index: int) -> float:
    return float(case.volume.mask[index].sum() / max(int(case.brain[index].sum()), 1))


DONOR_RULES: Mapping[str, Callable[[Case, int, DonorRules], bool]] = {
    "level is not reliable": lambda c, i, r: not c.level_is_reliable,
    "level is outside the limits": lambda c, i, r: _outside(c.level[i], r.level_limits),
    "tumor is too small": lambda c, i, r: _donor_area(c, i) < r.min_area,
    "tumor reaches beyond the brain": lambda c, i, r: _share_in_brain(c, i) < r.min_in_brain,
    "tumor fills too much of the brain": lambda c, i, r: _share_of_brain(c, i) > r.max_brain_share,
    "a channel is partly black": lambda c, i, r: (
        black_share(c.volume.image[i], c.head[i]) > r.max_black_share
    ),
}
"""Reasons against a donor, in the order in which they are asked."""
