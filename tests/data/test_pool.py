from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mcf_bundle.data.case import Case
from mcf_bundle.data.midline import Midline
from mcf_bundle.data.normalization import IntensityScale
from mcf_bundle.data.pool import DonorRules, HostRules, Pool, find_donors, find_hosts
from tests.data.disc_head import flair_of, volume_of

COUNT, STEP = 21, 0.05


def case_of(patient: str = "A", tumor: tuple[int, ...] = (10,), radius: int = 5) -> Case:
    """Level = 0.05 x index; 0.05 of 150 mm is 7.5 mm."""
    flair = np.repeat(flair_of(64)[11:12], COUNT, axis=0)
    volume = volume_of(patient, flair, tumor, radius)
    return Case(
        volume=volume,
        scale=IntensityScale((0.0,) * 3, (255.0,) * 3),
        missing=(False,) * 3,
        head=flair > 0,
        brain=(flair > 0),
        level=np.arange(COUNT) * STEP,
        level_step=STEP,
        level_is_reliable=True,
        midline=Midline(31.5, 31.5, 0.0),
    )


EVERYWHERE = HostRules(level_limits=(-1.0, 2.0), tumor_level_percentiles=(0.0, 100.0))


def indices(pool: Pool) -> list[int]:
    return [member.index for member in pool.members]


@pytest.fixture
def cases() -> list[Case]:
    """Tumor at every level of another patient, so that no level is without tumors."""
    return [case_of("A", (10,)), case_of("B", tuple(range(COUNT)))]


def test_hosts_keep_the_gap_from_the_triplets_nearest_slice(cases):
    # Slice 10 has tumor: with a gap of 2 slices the triplet of 7 ends at 8, that of 13 begins at 12.
    assert indices(find_hosts(cases, EVERYWHERE)) == [*range(1, 8), *range(13, 20)]
    wider = replace(EVERYWHERE, min_gap_slices=3)
    assert indices(find_hosts(cases, wider)) == [*range(1, 7), *range(14, 20)]


def test_a_gap_in_mm_counts_thin_slices(cases):
    thin = [replace(case, level_step=0.01) for case in cases]  # about 1.5 mm: 7 slices make 10.5 mm
    assert indices(find_hosts(thin, EVERYWHERE)) == [1, 2, 18, 19]
    assert indices(find_hosts(thin, replace(EVERYWHERE, head_height_mm=500.0))) == [
        *range(1, 8),
        *range(13, 20),
    ]


def test_hosts_lie_between_the_level_limits_inclusive(cases):
    rules = replace(EVERYWHERE, level_limits=(float(cases[0].level[3]), float(cases[0].level[15])))
    assert indices(find_hosts(cases, rules)) == [3, 4, 5, 6, 7, 13, 14, 15]


def test_hosts_lie_where_tumors_occur():
    cases = [case_of("A", ()), case_of("B", (9, 10, 11))]
    assert indices(find_hosts(cases, EVERYWHERE)) == [9, 10, 11]


def test_the_defaults_are_the_documented_levels():
    pool = find_hosts([case_of("A", ()), case_of("B", tuple(range(COUNT)))])
    assert indices(pool) == list(range(8, 17))  # levels 0.40 to 0.80


def test_first_and_last_slice_are_no_hosts():
    cases = [case_of("A", ()), case_of("B", tuple(range(COUNT)))]
    assert find_hosts(cases, EVERYWHERE).excluded["slice lacks a neighbor"] == 4


def test_every_slice_is_a_host_or_counted_once(cases):
    cases[0].volume.image[3, 0] = 0
    cases[0].head[16, 0] = True
    cases[0].brain[18] = False
    pool = find_hosts(cases, EVERYWHERE)
    assert len(pool.members) + sum(pool.excluded.values()) == pool.considered == 2 * COUNT
    assert pool.excluded["a channel is partly black"] == 3
    assert pool.excluded["head is cut by the frame"] == 3
    assert pool.excluded["brain is too small"] == 1
    assert indices(pool) == [1, 5, 6, 7, 13, 14, 19]


def test_a_patient_with_an_unreliable_level_is_neither_host_nor_donor(cases):
    unreliable = [replace(case, level_is_reliable=False) for case in cases]
    assert find_hosts(unreliable).members == ()
    assert find_donors(unreliable).members == ()


def test_pools_do_not_depend_on_the_order_of_the_cases():
    cases = [case_of("B", (8, 9)), case_of("A", (11, 12, 13))]
    assert find_hosts(cases) == find_hosts(cases[::-1])
    assert find_donors(cases) == find_donors(cases[::-1])
    assert find_donors(cases).patients == ("A", "B")


def test_a_donor_carries_its_slice_number_level_and_area():
    case = case_of("A", (10,))
    (donor,) = find_donors([case]).members
    assert (donor.patient, donor.index, donor.slice_number) == ("A", 10, 11)
    assert donor.level == pytest.approx(0.5)
    assert donor.area == case.volume.mask[10].sum()


@pytest.mark.parametrize(
    ("radius", "rules", "reason"),
    [
        (1, DonorRules(min_area=81.0), "tumor is too small"),  # 5 pixels of 64 x 64 are 80 of 256 x 256
        (14, DonorRules(), "tumor fills too much of the brain"),
        (5, DonorRules(level_limits=(0.6, 0.8)), "level is outside the limits"),
    ],
)
def test_a_donor_is_excluded_for_its_first_reason(radius, rules, reason):
    pool = find_donors([case_of("A", (10,), radius)], rules)
    assert pool.members == ()
    assert pool.excluded[reason] == pool.considered == 1


def test_the_area_of_a_donor_scales_with_the_image():
    assert find_donors([case_of("A", (10,), 1)], DonorRules(min_area=80.0)).members


def test_a_tumor_beyond_the_brain_lends_nothing():
    case = case_of("A", (10,))
    case.brain[10, :, 40:] = False
    assert find_donors([case]).excluded["tumor reaches beyond the brain"] == 1


def test_no_cases_give_empty_pools():
    assert find_hosts([]).members == find_donors([]).members == ()
    assert find_hosts([]).considered == 0
