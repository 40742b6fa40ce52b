from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from mcf_bundle.data.pool import Donor, Host
from mcf_bundle.generation.plan import Candidate, Plan, PlanRow, SliceId, reuse, summarize_plan
from mcf_bundle.generation.variation import Variation
from mcf_bundle.generation.warp import Transform

TRANSFORM = Transform(
    ((0.9, 0.1, 3.25), (-0.1, 1.1, 1 / 3)), (4, 5, None), True, (0.9, 1.1), Variation(2.0, 1.1, (0.5, -1.0))
)
HEADER = {"num_images": 2, "seed": 0, "split_seed": 0, "compute_batch": 8, "checkpoints": {"denoiser": "ab"}}
SETTINGS = {"blend": "replace", "start_step": 300, "eta": 0.0, "keep_outside": True}


def row(number: int = 0, host: str = "A", donors: str = "BC", **changed: Any) -> PlanRow:
    candidates = tuple(
        Candidate(SliceId(host, 9, 0.5123), SliceId(name, 7, 0.5), TRANSFORM, 2**62 + position)
        for position, name in enumerate(donors)
    )
    fields = {"candidates": candidates, "settings": SETTINGS} | changed
    return PlanRow(number, f"SYN_CS_{number:06d}", **fields)


def plan(**changed: Any) -> Plan:
    return Plan(**({"header": HEADER, "rows": (row(0), row(1, "D", "B"))} | changed))


def test_the_first_line_is_the_header_and_each_other_line_a_row() -> None:
    made = plan(tries={"accepted": 3, "brain": 1})
    header, *rows = map(json.loads, made.to_jsonl().splitlines())
    assert header == {
        "plan_id": made.plan_id,
        "format": 1,
        **HEADER,
        "tries": {"accepted": 3, "brain": 1},
    }
    assert [line["row"] for line in rows] == [0, 1]
    assert rows == [item.to_dict() for item in made.rows]


def test_a_row_lists_its_first_choice_and_its_spares_in_order() -> None:
    line = json.loads(json.dumps(row(donors="BCE").to_dict()))
    assert line["host"] == {"patient": "A", "slice": 9, "level": 0.5123}
    assert line["donor"]["patient"] == "B"
    assert [spare["donor"]["patient"] for spare in line["spares"]] == ["C", "E"]
    assert [line["seed"], *(spare["seed"] for spare in line["spares"])] == [2**62, 2**62 + 1, 2**62 + 2]
    assert line["settings"] == SETTINGS
    assert all(item["host"]["patient"] == "A" for item in (line, *line["spares"]))
    assert all(Transform.from_dict(item["transform"]) == TRANSFORM for item in (line, *line["spares"]))


@pytest.mark.parametrize(
    "changed",
    [
        *({"header": HEADER | {name: 99}} for name in HEADER),
        {"header": HEADER | {"provenance": "full"}},
        {"rows": (row(0),)},
        {"rows": (row(1, "D", "B"), row(0))},
        {"rows": (row(0, donors="CB"), row(1, "D", "B"))},
        {"rows": (row(0, host="E"), row(1, "D", "B"))},
        *({"rows": (row(0, settings=SETTINGS | {name: 99}), row(1, "D", "B"))} for name in SETTINGS),
    ],
)
def test_the_plan_id_changes_with_everything_an_image_depends_on(changed: dict[str, Any]) -> None:
    assert plan(**changed).plan_id != plan().plan_id


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"transform": replace(TRANSFORM, mirrored=False)},
        {"host": SliceId("A", 8, 0.5)},
        {"donor": SliceId("B", 8, 0.5)},
    ],
)
@pytest.mark.parametrize("position", [0, 1])
def test_the_plan_id_changes_with_every_candidate(position: int, changed: dict[str, Any]) -> None:
    candidates = list(row().candidates)
    candidates[position] = replace(candidates[position], **changed)
    other = plan(rows=(row(candidates=tuple(candidates)), row(1, "D", "B")))
    assert other.plan_id != plan().plan_id


def test_the_plan_id_depends_neither_on_the_search_nor_on_the_order_of_settings() -> None:
    assert plan(tries={"accepted": 9}).plan_id == plan().plan_id
    turned = dict(reversed(HEADER.items()))
    assert plan(header=turned).plan_id == plan().plan_id
    assert len(plan().plan_id) == 64


def test_a_slice_is_identified_by_its_number_in_the_file_name() -> None:
    assert SliceId.of(Host("A", 3, 9, 0.51234567)) == SliceId("A", 9, 0.5123)
    assert SliceId.of(Donor("B", 4, 12, 0.5, 100)) == SliceId("B", 12, 0.5)


def test_reuse_counts_hosts_and_first_choices() -> None:
    counts = reuse([row(0, "A", "BC"), row(1, "A", "DB"), row(2, "E", "B")])
    assert counts == {
        "host slices": Counter({"A 9": 2, "E 9": 1}),
        "donor slices": Counter({"B 7": 2, "D 7": 1}),
        "host patients": Counter({"A": 2, "E": 1}),
        "donor patients": Counter({"B": 2, "D": 1}),
    }


def test_the_summary_tells_size_reuse_and_refusals() -> None:
    made = plan(rows=(row(0), row(1)), tries={"skull": 2, "accepted": 3, "brain": 5})
    text = "\n".join(summarize_plan(made))
    assert text.startswith("2 images planned")
    assert "1 host slices, each used 2 times" in text
    assert "at most 2 of 2 images (100.0 %) on one host patient" in text
    assert "10 pairs tried, 3 accepted; refused: tumor reaches beyond the brain 5, too near the edge" in text
    assert "0 pairs tried, 0 accepted; refused: none" in "\n".join(summarize_plan(plan(rows=())))
