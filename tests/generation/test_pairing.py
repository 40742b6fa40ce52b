from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from mcf_bundle.data.case import Case
from mcf_bundle.data.pool import Donor, Host
from mcf_bundle.errors import PlanError
from mcf_bundle.generation.contrast import ContrastLimits
from mcf_bundle.generation.pairing import PairingRules, PairSearch, _Uses, share_warnings
from mcf_bundle.generation.placement import PlacementRules
from mcf_bundle.generation.plan import Candidate, PlanRow, SliceId
from mcf_bundle.generation.variation import Variation, VariationRules
from tests.generation.disc_rows import SETTINGS, disc_cases, plan_row
from tests.generation.discs import disc_case

INDICES = (2, 3, 4)
"""Slices of each disc patient that are hosts or donors; a host finds donors in the slice of its own level."""


def search(
    cases: Mapping[str, Case], *, seed: int = 0, settings: Mapping[str, Any] = SETTINGS, **rules: Any
) -> PairSearch:
    hosts = [
        Host(name, i, i + 1, float(cases[name].level[i])) for name in cases if name[0] == "h" for i in INDICES
    ]
    donors = [
        Donor(name, i, i + 1, float(cases[name].level[i]), 80)
        for name in cases
        if name[0] == "d"
        for i in INDICES
    ]
    return PairSearch(cases, hosts, donors, seed=seed, rules=PairingRules(**rules), settings=settings)


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    return disc_cases(hosts=3, donors=4)


@pytest.fixture(scope="module")
def rows(cases: dict[str, Case]) -> list[PlanRow]:
    return search(cases).find(9)


def pairs(rows: Sequence[PlanRow], *, spares: bool) -> list[tuple]:
    return [
        (c.host, c.donor, c.transform.mirrored, c.transform.variation)
        for row in rows
        for c in row.candidates[: None if spares else 1]
    ]


def firsts(rows: Sequence[PlanRow]) -> list[Candidate]:
    return [row.candidates[0] for row in rows]


def spread(counts: Counter) -> int:
    return max(counts.values()) - min(counts.values())


def test_the_same_seed_gives_the_same_rows_and_another_one_others(
    cases: dict[str, Case], rows: list[PlanRow]
) -> None:
    assert search(cases).find(9) == rows
    other = search(cases, seed=1).find(9)
    assert pairs(other, spares=False) != pairs(rows, spares=False)
    seeds = [{c.seed for row in found for c in row.candidates} for found in (rows, other)]
    assert not seeds[0] & seeds[1]


def test_fewer_rows_are_the_beginning_of_more(cases: dict[str, Case], rows: list[PlanRow]) -> None:
    assert pairs(search(cases).find(4), spares=False) == pairs(rows[:4], spares=False)


def test_pairs_do_not_depend_on_settings_or_the_order_of_the_cases(
    cases: dict[str, Case], rows: list[PlanRow]
) -> None:
    made = search(cases)
    made.cases, made.settings = dict(reversed(cases.items())), {"blend": "add"}
    found = made.find(9)
    assert pairs(found, spares=True) == pairs(rows, spares=True)
    assert all(row.settings == {"blend": "add"} for row in found)


def test_rows_are_numbered_and_named_after_the_hosts_institution(rows: list[PlanRow]) -> None:
    assert [row.row for row in rows] == list(range(9))
    assert [row.name for row in rows] == [f"SYN_XX_{i:06d}" for i in range(9)]
    assert all(row.settings == SETTINGS for row in rows)


def test_host_and_donor_are_different_patients_where_one_could_be_both() -> None:
    # Hosts with a tumor of their own: the pool's rules forbid them, here they only have to be passed over.
    cases = disc_cases(hosts=0, donors=3)
    made = search(cases)
    hosts = [Host(d.patient, d.index, d.slice_number, d.level) for d in made.donors]
    rules = PairingRules(
        placement=PlacementRules(bright_share=1.0), contrast=ContrastLimits(None, None, None, None)
    )
    found = PairSearch(cases, hosts, made.donors, seed=0, rules=rules, settings={}).find(9)
    assert all(c.host.patient != c.donor.patient for row in found for c in row.candidates)


@pytest.mark.parametrize("count", [3, 7, 9, 14, 40])
def test_hosts_and_donors_are_used_evenly_while_donors_last(cases: dict[str, Case], count: int) -> None:
    made = search(cases)
    found = made.find(count)
    by_slice = Counter({(h.patient, h.slice_number): 0 for h in made.hosts})
    by_slice.update((c.host.patient, c.host.slice) for c in firsts(found))
    assert spread(by_slice) <= 1
    by_patient = Counter(dict.fromkeys(["h0", "h1", "h2"], 0))
    by_patient.update(c.host.patient for c in firsts(found))
    assert spread(by_patient) <= 1
    donors = Counter(dict.fromkeys(["d0", "d1", "d2", "d3"], 0))
    donors.update(c.donor.patient for c in firsts(found))
    assert spread(donors) <= 2


@pytest.fixture
def unequal(cases: dict[str, Case]) -> PairSearch:
    """One host slice of patient h0, two of h1, three of h2, each with as many donors as the others."""
    made = search(cases)
    slices = {"h0": INDICES[:1], "h1": INDICES[:2], "h2": INDICES}
    hosts = [host for host in made.hosts if host.index in slices[host.patient]]
    return PairSearch(cases, hosts, made.donors, seed=0, rules=PairingRules(), settings={})


def test_a_patient_with_more_slices_is_used_more_and_each_of_its_slices_less(unequal: PairSearch) -> None:
    # Uses of a patient and of its slice together come out equal: 6 + 6 = 8 + 4 = 9 + 3.
    found = firsts(unequal.find(6 + 8 + 9))
    assert Counter(c.host.patient for c in found) == {"h0": 6, "h1": 8, "h2": 9}
    by_slice = Counter((c.host.patient, c.host.slice) for c in found)
    assert sorted(by_slice.values()) == [3, 3, 3, 4, 4, 6]


def test_no_patient_comes_back_before_all_had_a_turn(unequal: PairSearch) -> None:
    assert {c.host.patient for c in firsts(unequal.find(3))} == {"h0", "h1", "h2"}


def test_spare_hosts_are_spread_over_the_patients_too(unequal: PairSearch) -> None:
    unequal.rules = PairingRules(spares=0, other_hosts=1)
    rows = unequal.find(23)
    uses = Counter(c.host.patient for row in rows for c in row.candidates)
    assert sum(uses.values()) == 46
    assert max(uses.values()) < 2 * min(uses.values())


def test_a_host_with_few_donors_is_used_as_often_as_one_with_many(cases: dict[str, Case]) -> None:
    made = search(cases)
    hosts = [host for host in made.hosts if (host.patient, host.index) in (("h0", 2), ("h1", 4))]
    donors = [donor for donor in made.donors if donor.index == 2 or donor.patient == "d0"]
    few_and_many = PairSearch(cases, hosts, donors, seed=0, rules=PairingRules(), settings={})
    used = Counter(c.host.patient for c in firsts(few_and_many.find(12)))
    assert used == {"h0": 6, "h1": 6}


@pytest.mark.parametrize("count", [5, 40, 90])
def test_no_pair_is_planned_twice_in_the_same_way(cases: dict[str, Case], count: int) -> None:
    found = pairs(search(cases).find(count), spares=False)
    assert len(set(found)) == count


def test_spares_differ_from_the_first_choice_and_have_noise_of_their_own(rows: list[PlanRow]) -> None:
    for row in rows:
        tried = pairs([row], spares=True)
        assert len(set(tried)) == len(tried) > 1
    seeds = [c.seed for row in rows for c in row.candidates]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_spares_are_other_donors_for_the_host_and_then_other_hosts(cases: dict[str, Case]) -> None:
    for row in search(cases, spares=2, other_hosts=1).find(9):
        first, *spares = row.candidates
        same = [c for c in spares if c.host == first.host]
        assert spares[: len(same)] == same
        assert len({c.donor for c in (first, *same)}) == 1 + len(same) == 3
        assert [c.host.patient != first.host.patient for c in spares[len(same) :]] == [True]


def test_without_spares_a_row_has_its_first_choice_alone(cases: dict[str, Case]) -> None:
    assert [len(row.candidates) for row in search(cases, spares=0, other_hosts=0).find(9)] == [1] * 9


def test_host_and_donor_lie_at_the_same_level(rows: list[PlanRow]) -> None:
    tolerance = PairingRules().placement.level_tolerance
    assert all(abs(c.host.level - c.donor.level) <= tolerance for row in rows for c in row.candidates)


# 9 host slices x 4 donor slices at their level x 2 mirrorings fit.
PAIRS = 72


def test_all_pairs_of_a_host_are_found_before_one_is_varied(cases: dict[str, Case]) -> None:
    found = firsts(search(cases).find(PAIRS + 8))
    plain = {(c.host, c.donor, c.transform.mirrored) for c in found[:PAIRS]}
    assert len(plain) == PAIRS
    assert all(c.transform.variation == Variation() for c in found[:PAIRS])
    rules = PairingRules().variation
    for change in (c.transform.variation for c in found[PAIRS:]):
        assert change != Variation()
        assert abs(change.rotation_deg) <= rules.rotation_deg
        assert abs(change.scale - 1) <= rules.scale
        assert max(map(abs, change.shift)) <= rules.shift


def test_the_first_use_is_varied_where_the_rules_say_so(cases: dict[str, Case]) -> None:
    rules = VariationRules(first_use=True, bend=0.2, contrast=0.2)
    found = firsts(search(cases, variation=rules).find(12))
    assert all(c.transform.variation.bend and c.transform.variation.contrast != 1 for c in found)
    assert len({c.transform.variation for c in found}) == len(found)


def test_more_rows_than_pairs_are_refused_with_the_count(cases: dict[str, Case]) -> None:
    with pytest.raises(PlanError, match=rf"num_images: only {PAIRS} of 73 rows .*; ask for fewer images"):
        search(cases, rounds=0).find(PAIRS + 1)


def test_where_nothing_fits_the_reasons_are_named() -> None:
    cases = disc_cases()
    large = disc_case("d0", size=64, radius=28.0, center=(31.5, 31.5), tumor=(27.0, 40.0, 5.0))
    with pytest.raises(PlanError, match=r"only 0 of 1 rows .*refused: scale \d+"):
        search(cases | {"d0": large}).find(1)


def test_a_donor_with_other_missing_sequences_does_not_fit() -> None:
    cases = disc_cases() | {"d0": disc_cases(missing=(True, False, False))["d0"]}
    with pytest.raises(PlanError, match="only 0 of 1 rows"):
        search(cases).find(1)


def test_without_a_donor_at_the_hosts_levels_that_is_said() -> None:
    made = search(disc_cases())
    made.donor_levels = made.donor_levels + 0.3
    with pytest.raises(PlanError, match=r"refused: no donor .*at the hosts' levels"):
        made.find(1)


def test_no_rows_need_no_hosts() -> None:
    assert search(disc_cases(hosts=0)).find(0) == []


@pytest.mark.parametrize(
    ("hosts", "limit", "warns"),
    [
        ({"h0": 11, "h1": 9}, 0.55, False),  # 11 of 20 are exactly 55 %
        ({"h0": 11, "h1": 9}, 0.54, True),
        ({"h0": 2, "h1": 1}, 0.1, False),  # two images never are too many
        ({"h0": 3, "h1": 1}, 0.1, True),
        ({}, 0.1, False),
    ],
)
def test_a_host_patient_with_too_large_a_share_is_warned_of(
    cases: dict[str, Case], hosts: dict[str, int], limit: float, warns: bool
) -> None:
    rows = [plan_row(cases, [0], host=host) for host, count in hosts.items() for _ in range(count)]
    warnings = share_warnings(rows, limit)
    assert len(warnings) == warns
    assert all(f"{hosts['h0']} of {len(rows)} images" in warning for warning in warnings)


def test_members_come_by_their_own_and_their_patient_s_uses_then_by_rank() -> None:
    generator = np.random.default_rng(0)
    members = [
        Host(f"p{number % 5}", number, number, 0.1 * (number % 7))
        for number in generator.permutation(40).tolist()
    ]
    uses = _Uses(members)
    counts: Counter[object] = Counter()
    for number in generator.integers(0, 40, 60).tolist():
        uses.add(SliceId.of(members[number]))
        counts.update([members[number], members[number].patient])
    rank = generator.permutation(40)
    expected = sorted(
        range(40),
        key=lambda i: (counts[members[i]] + counts[members[i].patient], counts[members[i]], rank[i]),
    )
    assert uses.order(np.arange(40), rank).tolist() == expected
    some = np.array([3, 9, 27, 31])
    assert uses.order(some, rank[some]).tolist() == [i for i in expected if i in some]
