"""Properties of plans: written and read, damaged, and drawn from discs whose rules can be checked by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcf_bundle.data.case import Case
from mcf_bundle.data.pool import Donor, Host
from mcf_bundle.errors import DataError
from mcf_bundle.generation.finished_run import parse_plan, read_run
from mcf_bundle.generation.pairing import PairingRules, PairSearch
from mcf_bundle.generation.placement_rules import PlacementRules
from mcf_bundle.generation.plan import Candidate, Plan, PlanRow, SliceId
from mcf_bundle.generation.variation import Bend, Variation
from mcf_bundle.generation.warp import Transform, warp_donor
from tests.damage_targets import write_run
from tests.generation.disc_rows import disc_cases

FEW = settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

numbers = st.floats(allow_nan=False, allow_infinity=False)
pairs = st.tuples(numbers, numbers)
triples = st.tuples(numbers, numbers, numbers)
modes = st.tuples(pairs, pairs, pairs)
whole = st.integers(0, 200)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
slice_ids = st.builds(SliceId, texts, whole, numbers)
transforms = st.builds(
    Transform,
    st.tuples(triples, triples),
    st.tuples(st.none() | whole, whole, st.none() | whole),
    st.booleans(),
    pairs,
    st.builds(Variation, numbers, numbers, pairs, st.just(()) | modes, numbers),
    st.none() | st.builds(Bend, pairs, modes),
)
candidates = st.builds(Candidate, slice_ids, slice_ids, transforms, st.integers(0, 2**63 - 1))
plain = st.none() | st.booleans() | st.integers() | numbers | texts
settings_of_rows = st.dictionaries(texts, plain, max_size=3)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Draw a plan with full names."""
    rows = [
        PlanRow(row, f"SYN_CS_{row:06d}", tuple(tried), draw(settings_of_rows))
        for row, tried in enumerate(draw(st.lists(st.lists(candidates, min_size=1, max_size=2), max_size=3)))
    ]
    taken = {"plan_id", "format", "tries"}
    header = {key: value for key, value in draw(settings_of_rows).items() if key not in taken}
    tries = draw(st.dictionaries(texts, whole, max_size=3))
    return Plan({**header, "provenance": "full"}, tuple(rows), tries)


@FEW
@given(plan=plans())
def test_what_is_written_reads_back(plan: Plan) -> None:
    found = parse_plan(plan.to_jsonl())
    assert (found.header, found.rows, found.tries) == (plan.header, plan.rows, plan.tries)
    assert found.plan_id == plan.plan_id


@FEW
@given(plan=plans(), data=st.data())
def test_a_value_changed_anywhere_is_refused(plan: Plan, data: st.DataObject) -> None:
    lines = [json.loads(line) for line in plan.to_jsonl().splitlines()]
    line = data.draw(st.sampled_from(lines))
    key = data.draw(st.sampled_from(sorted(line.keys() - {"tries"})))
    value = data.draw(plain)
    if json.dumps(value) == json.dumps(line[key]):
        return
    line[key] = value
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        parse_plan("".join(json.dumps(item) + "\n" for item in lines))


@FEW
@given(
    text=st.text(max_size=50) | st.lists(plain, max_size=3).map(json.dumps) | settings_of_rows.map(json.dumps)
)
def test_any_text_in_its_place_is_refused(tmp_path: Path, text: str) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    write_run(folder, "full")
    (folder / "plan.jsonl").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError, match=r"plan\.jsonl: "):
        read_run(folder)


def mutated(line: dict[str, Any], draw: st.DataObject) -> str:
    """Return a line of the plan without one of its parts."""
    key = draw.draw(
        st.sampled_from(["row", "name", "host", "donor", "transform", "seed", "settings", "spares"])
    )
    return json.dumps({name: value for name, value in line.items() if name != key})


@FEW
@given(plan=plans().filter(lambda plan: plan.rows), data=st.data())
def test_a_row_without_one_of_its_parts_is_refused(plan: Plan, data: st.DataObject) -> None:
    header, *rows = plan.to_jsonl().splitlines()
    broken = data.draw(st.integers(0, len(rows) - 1))
    rows[broken] = mutated(json.loads(rows[broken]), data)
    with pytest.raises(KeyError):
        parse_plan("\n".join([header, *rows]))


@settings(FEW, max_examples=4)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_candidate_of_every_row_is_feasible(seed: int) -> None:
    cases, rules = disc_cases(hosts=2, donors=3), PlacementRules()
    pools = {role: _middle_slices(cases, role) for role in ("h", "d")}
    hosts = [Host(name, i, i + 1, level) for name, i, level in pools["h"]]
    donors = [Donor(name, i, i + 1, level, 80) for name, i, level in pools["d"]]
    rows = PairSearch(cases, hosts, donors, seed=seed, rules=PairingRules(), settings={}).find(4)
    tried = [item for row in rows for item in row.candidates]
    assert len(rows) == 4
    assert len({item.seed for item in tried}) == len(tried)
    for item in tried:
        host, donor = cases[item.host.patient], cases[item.donor.patient]
        index = item.host.slice - 1
        assert item.host.patient != item.donor.patient
        assert abs(item.host.level - item.donor.level) <= rules.level_tolerance
        assert all(rules.scale_range[0] <= scale <= rules.scale_range[1] for scale in item.transform.scales)
        tumor = warp_donor(donor, item.transform, host.volume.image.shape[-2:]).mask[1]
        assert tumor.any()
        assert host.brain[index][tumor].mean() >= rules.brain_share


def _middle_slices(cases: Mapping[str, Case], role: str) -> list[tuple[str, int, float]]:
    return [(name, i, float(cases[name].level[i])) for name in cases if name[0] == role for i in (2, 3, 4)]


def test_the_order_of_the_rows_counts() -> None:
    made = [PlanRow(row, f"SYN_CS_{row:06d}", (draw_candidate(row),), {}) for row in range(3)]
    ids = {Plan({}, tuple(made[i] for i in order)).plan_id for order in ((0, 1, 2), (1, 0, 2), (2, 1, 0))}
    assert len(ids) == 3


def draw_candidate(seed: int) -> Candidate:
    place = SliceId("A", 9, float(np.round(0.5 + seed / 100, 4)))
    return Candidate(place, place, Transform(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), (None, 4, None)), seed)
