from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from mcf_bundle.data.case import Case
from mcf_bundle.data.pool import Donor, Host
from mcf_bundle.errors import PlanError
from mcf_bundle.generation.pairing import PairingRules, PairSearch
from mcf_bundle.generation.plan import PlanRow
from tests.generation.disc_rows import SETTINGS, disc_cases

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
        (row.host.patient, row.host.slice, c.donor.patient, c.donor.slice, c.transform.mirrored)
        for row in rows
        for c in row.candidates[: None if spares else 1]
    ]


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
    short = search(cases).find(4)
    assert [row.host for row in short] == [row.host for row in rows[:4]]
    assert pairs(short, spares=False) == pairs(rows[:4], spares=False)


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


def test_host_and_donor_are_different_patients_even_where_one_could_be_both() -> None:
    cases = disc_cases(hosts=0, donors=3)
    made = search(cases)
    made.hosts = [Host(d.patient, d.index, d.slice_number, d.level) for d in made.donors]
    made.host_rank = made.host_rank.__class__(range(len(made.hosts)))
    # Refused by the tissue rules or not: no pair of one patient may come out.
    try:
        found = made.find(3)
    except PlanError:
        found = []
    assert all(row.host.patient != c.donor.patient for row in found for c in row.candidates)
    assert made.tries["patient"] > 0


@pytest.mark.parametrize("count", [3, 7, 9, 14])
def test_hosts_and_donors_are_used_evenly_while_donors_last(cases: dict[str, Case], count: int) -> None:
    made = search(cases, spares=0)
    found = made.find(count)
    by_slice = Counter({(h.patient, h.slice_number): 0 for h in made.hosts})
    by_slice.update((row.host.patient, row.host.slice) for row in found)
    assert spread(by_slice) <= 1
    by_patient = Counter(dict.fromkeys(["h0", "h1", "h2"], 0))
    by_patient.update(row.host.patient for row in found)
    assert spread(by_patient) <= 1
    donors = Counter(dict.fromkeys(["d0", "d1", "d2", "d3"], 0))
    donors.update(row.candidates[0].donor.patient for row in found)
    assert spread(donors) <= 2


@pytest.mark.parametrize("spares", [0, 1, 3])
def test_no_pair_is_planned_twice_with_the_same_mirroring(cases: dict[str, Case], spares: int) -> None:
    found = pairs(search(cases, spares=spares).find(12), spares=False)
    assert len(set(found)) == len(found)


def test_spares_are_other_donor_slices_with_noise_of_their_own(rows: list[PlanRow]) -> None:
    for row in rows:
        donors = [(c.donor.patient, c.donor.slice) for c in row.candidates]
        assert 1 <= len(donors) <= 1 + PairingRules().spares
        assert len(set(donors)) == len(donors)
    seeds = [c.seed for row in rows for c in row.candidates]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert any(len(row.candidates) == 4 for row in rows)


def test_host_and_donor_lie_at_the_same_level(rows: list[PlanRow]) -> None:
    tolerance = PairingRules().placement.level_tolerance
    assert all(abs(row.host.level - c.donor.level) <= tolerance for row in rows for c in row.candidates)


def test_every_combination_of_a_host_can_be_reached(cases: dict[str, Case]) -> None:
    # 9 host slices x 4 donor slices at their level x 2 mirrorings, all of which fit.
    found = pairs(search(cases, spares=0).find(72), spares=False)
    assert len(set(found)) == 72


def test_more_rows_than_pairs_are_refused_with_the_count(cases: dict[str, Case]) -> None:
    with pytest.raises(PlanError, match=r"num_images: only \d+ of 73 rows found a donor that fits.*fewer"):
        search(cases).find(73)


def test_where_nothing_fits_the_reasons_are_named() -> None:
    cases = disc_cases() | {"d0": disc_cases(missing=(True, False, False))["d0"]}
    with pytest.raises(PlanError, match=r"only 0 of 1 rows .*refused: missing \d+"):
        search(cases).find(1)


def test_without_a_donor_at_the_hosts_levels_that_is_said() -> None:
    made = search(disc_cases())
    made.donor_levels = made.donor_levels + 0.3
    with pytest.raises(PlanError, match="no donor at the hosts' levels"):
        made.find(1)


def test_no_rows_need_no_hosts() -> None:
    assert search(disc_cases(hosts=0)).find(0) == []
