"""The mix of an epoch: healthy, real tumor, synthetic tumor."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from mcf_bundle.data.normalization import IntensityScale
from mcf_bundle.data.synthetic_share import Group, group_shares, groups_of
from mcf_bundle.data.triplet_dataset import SliceRef
from mcf_bundle.data.volume import Volume
from mcf_bundle.errors import ArgumentError
from mcf_bundle.training.epoch_sampler import EpochSampler

GROUPS = [Group.HEALTHY] * 60 + [Group.REAL_TUMOR] * 30 + [Group.SYNTHETIC_TUMOR] * 10


def slice_of(patient: str, *, tumor: bool) -> SliceRef:
    image, mask = np.zeros((1, 3, 8, 8), np.uint8), np.full((1, 8, 8), tumor)
    return SliceRef(Volume(patient, "CS", (2,), image, mask), IntensityScale((0.0,) * 3, (1.0,) * 3), 0)


def test_a_slice_s_group_is_its_label_and_its_case_s_name() -> None:
    slices = [slice_of("TCGA_CS_4941_19960909", tumor=tumor) for tumor in (False, True)]
    slices += [slice_of("SYN_CS_000007", tumor=True)]
    assert groups_of(slices) == [Group.HEALTHY, Group.REAL_TUMOR, Group.SYNTHETIC_TUMOR]


@pytest.mark.parametrize(
    ("tumor_share", "synthetic_share", "expected"),
    [
        (None, None, None),
        (0.5, None, (0.5, 0.375, 0.125)),
        (None, 0.0, (0.6, 0.4, 0.0)),
        (0.5, 0.5, (0.5, 0.25, 0.25)),
        (1.0, 1.0, (0.0, 0.0, 1.0)),
    ],
)
def test_shares_are_of_the_tumor_slices(
    tumor_share: float | None, synthetic_share: float | None, expected: tuple[float, ...] | None
) -> None:
    found = group_shares(GROUPS, tumor_share=tumor_share, synthetic_share=synthetic_share)
    assert found == (expected if expected is None else pytest.approx(expected))


def test_an_epoch_has_the_shares() -> None:
    shares = group_shares(GROUPS, tumor_share=0.5, synthetic_share=0.2)
    drawn = Counter(GROUPS[i] for i in EpochSampler(GROUPS, num_samples=200, class_shares=shares))
    assert drawn == {Group.HEALTHY: 100, Group.REAL_TUMOR: 80, Group.SYNTHETIC_TUMOR: 20}


def test_synthetic_slices_that_are_not_there_are_an_error() -> None:
    with pytest.raises(ArgumentError, match=r"synthetic_share: 0.3 .* there are none; give .* synthetic_dir"):
        group_shares([0, 1], tumor_share=0.5, synthetic_share=0.3)


@pytest.mark.parametrize("name", ["tumor_share", "synthetic_share"])
@pytest.mark.parametrize("share", [-0.1, 1.1, "half", True])
def test_a_bad_share_is_refused(name: str, share: float) -> None:
    with pytest.raises(ArgumentError, match=name):
        group_shares(GROUPS, **{name: share})
