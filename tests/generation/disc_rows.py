"""Plan rows over disc brains: hosts and donors for which every rule of placement holds by construction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mcf_bundle.data.case import Case
from mcf_bundle.generation.placement import PlacementRules, Rejection, fit_transform
from mcf_bundle.generation.plan import Candidate, PlanRow, SliceId
from tests.generation.discs import SLICES, disc_case

SIZE = 64
MIDDLE = SLICES // 2
SETTINGS = {"blend": "replace", "start_step": 300, "steps": 10}


def disc_cases(hosts: int = 1, donors: int = 1, *, missing: tuple[bool, bool, bool] = (False,) * 3):
    """Return cases by name: h0, h1, ... without tumor, d0, d1, ... with one in the middle slices."""
    shape = {"size": SIZE, "radius": 20.0, "center": (31.5, 31.5), "missing": missing}
    cases = [disc_case(f"h{i}", tissue=(50, 120, 60), **shape) for i in range(hosts)]
    cases += [
        disc_case(f"d{i}", tumor=(27.0, 40.0, 5.0), lesion=(90, 120, 115), **shape) for i in range(donors)
    ]
    return {case.patient: case for case in cases}


def slice_id(case: Case, index: int = MIDDLE) -> SliceId:
    return SliceId(case.patient, case.volume.slice_numbers[index], round(float(case.level[index]), 4))


def candidate(cases: Mapping[str, Case], host: str, donor: str, seed: int = 0) -> Candidate:
    transform = fit_transform(
        cases[host], MIDDLE, cases[donor], MIDDLE, mirrored=False, rules=PlacementRules()
    )
    assert not isinstance(transform, Rejection)
    return Candidate(slice_id(cases[host]), slice_id(cases[donor]), transform, seed)


def plan_row(cases: Mapping[str, Case], seeds: Sequence[int], *, row: int = 0, host: str = "h0") -> PlanRow:
    """Return a row with one candidate a seed, all of donor d0."""
    candidates = tuple(candidate(cases, host, "d0", seed) for seed in seeds)
    return PlanRow(row, f"SYN_XX_{row:06d}", candidates, SETTINGS)
