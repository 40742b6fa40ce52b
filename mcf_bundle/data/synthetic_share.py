"""How many slices of an epoch show a tumor, and how many of those are synthetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import IntEnum

from mcf_bundle.arguments import check_share
from mcf_bundle.data.generated_case import is_generated
from mcf_bundle.data.triplet_dataset import SliceRef
from mcf_bundle.data.volume import Label
from mcf_bundle.errors import ArgumentError


class Group(IntEnum):
    """What an epoch is mixed from."""

    HEALTHY = 0
    REAL_TUMOR = 1
    SYNTHETIC_TUMOR = 2


def groups_of(slices: Sequence[SliceRef]) -> list[int]:
    """Return the group of each slice."""
    return [int(_group(item)) for item in slices]


def group_shares(
    groups: Sequence[int], *, tumor_share: float | None = None, synthetic_share: float | None = None
) -> tuple[float, ...] | None:
    """Return the share of each group in an epoch, for `EpochSampler`.

    Args:
        groups: see `groups_of`.
        tumor_share: share of tumor slices; None takes them as frequent as they come.
        synthetic_share: share of synthetic ones among the tumor slices; None takes them likewise, 0 leaves
            them out.

    Returns:
        One share a group, 1 in all; None if both are None.

    Raises:
        ArgumentError: a share is outside [0, 1], or asks for slices that are not there.

    >>> group_shares([0, 0, 1, 2], tumor_share=0.5, synthetic_share=0.2)
    (0.5, 0.4, 0.1)
    """
    for name, share in (("tumor_share", tumor_share), ("synthetic_share", synthetic_share)):
        if share is not None:
            check_share(name, share)
    if tumor_share is None and synthetic_share is None:
        return None
    counts = Counter(groups)
    tumors = counts[Group.REAL_TUMOR] + counts[Group.SYNTHETIC_TUMOR]
    tumor = tumors / len(groups) if tumor_share is None else tumor_share
    synthetic = counts[Group.SYNTHETIC_TUMOR] / max(tumors, 1) if synthetic_share is None else synthetic_share
    shares = (1 - tumor, tumor * (1 - synthetic), tumor * synthetic)
    if shares[Group.SYNTHETIC_TUMOR] and not counts[Group.SYNTHETIC_TUMOR]:
        problem = f"{synthetic_share} of the tumor slices should be synthetic and there are none"
        raise ArgumentError("synthetic_share", problem, "give the folder of a generation as synthetic_dir")
    return shares


def _group(item: SliceRef) -> Group:
    if item.label == Label.HEALTHY:
        return Group.HEALTHY
    return Group.SYNTHETIC_TUMOR if is_generated(item.volume.patient) else Group.REAL_TUMOR
