"""Every field of every class of rules that a config reaches: found by walking, so that none is forgotten."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from mcf_bundle.data.pool import DonorRules, HostRules
from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.contrast import ContrastLimits
from mcf_bundle.generation.gate_rules import GateRules
from mcf_bundle.generation.pairing import PairingRules
from mcf_bundle.generation.placement_rules import PlacementRules
from mcf_bundle.generation.rules import GenerationRules
from mcf_bundle.generation.source import PoolRules
from mcf_bundle.generation.variation import VariationRules
from mcf_bundle.generation.wording import FIGURES


def walk(rules: Any) -> Iterator[tuple[type, str]]:
    """Yield class and name of every field of rules and of the rules in them."""
    for field in dataclasses.fields(rules):
        yield type(rules), field.name
        value = getattr(rules, field.name)
        if dataclasses.is_dataclass(value):
            yield from walk(value)


ALL_FIELDS = list(walk(GenerationRules()))


def test_the_walk_meets_every_class_of_rules() -> None:
    expected = {GenerationRules, PoolRules, HostRules, DonorRules}
    expected |= {PairingRules, PlacementRules, ContrastLimits, VariationRules, GateRules}
    assert {kind for kind, _ in ALL_FIELDS} == expected


FLAGS = [(kind, field) for kind, field in ALL_FIELDS if isinstance(getattr(kind(), field), bool)]
NUMBERS = [item for item in ALL_FIELDS if item not in FLAGS]
NONSENSE = ("ten", math.nan, -1e9, (0.5, math.nan), (2.0, 1.0), (1.0, 2.0, 3.0))
"""No field of any rule means anything by one of these; nor by True, but for flags."""


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        *((kind, field, value) for kind, field in ALL_FIELDS for value in NONSENSE),
        *((kind, field, True) for kind, field in NUMBERS),
        *((kind, field, 1) for kind, field in FLAGS),
    ],
    ids=lambda part: getattr(part, "__name__", str(part)),
)
def test_no_field_takes_nonsense(kind: type, field: str, value: object) -> None:
    with pytest.raises(ArgumentError, match=rf"^{kind.__name__}\.{field}: expected .*got") as caught:
        kind(**{field: value})
    assert repr(value) in caught.value.problem


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (HostRules, "tumor_level_percentiles", (1.0, 101.0)),
        (HostRules, "min_gap_slices", 1.5),
        (HostRules, "head_height_mm", 0),
        (HostRules, "max_black_share", 1.01),
        (DonorRules, "max_brain_share", 20),
        (PoolRules, "min_correlation", 1.1),
        (PoolRules, "host", DonorRules()),
        (PlacementRules, "scale_range", 5),
        (PlacementRules, "scale_range", (0, 1.2)),
        (PlacementRules, "csf_share", 8),
        (PairingRules, "max_tries", -3),
        (PairingRules, "max_tries", 0),
        (VariationRules, "scale", 1),
        (VariationRules, "rotation_deg", 181),
        (VariationRules, "bend", 0.6),
        (VariationRules, "first_use", 1),
        (PairingRules, "placement", {}),
        (ContrastLimits, "pre_rim", (0.1,)),
        (GateRules, "percentiles", (1.0, 101.0)),
        (GateRules, "max_rejected", 60),
        (GateRules, "min_tried", 0),
        (GateRules, "min_probability_rise", 1.1),
        (GenerationRules, "gate", None),
    ],
)
def test_a_value_beyond_the_range_is_refused(kind: type, field: str, value: object) -> None:
    with pytest.raises(ArgumentError, match=rf"^{kind.__name__}\.{field}: expected .*got"):
        kind(**{field: value})


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (HostRules, {"level_limits": [-1, 2], "min_gap_slices": 0, "max_black_share": 1, "min_gap_mm": 0}),
        (PlacementRules, {"scale_range": [1, 1], "csf_share": 0, "bright_share": 1.0}),
        (PairingRules, {"spares": 0, "other_hosts": 0, "rounds": 0, "max_tries": 1}),
        (VariationRules, {"rotation_deg": 180, "scale": 0, "shift": 0, "bend": 0.5, "contrast": 0}),
        (ContrastLimits, {"flair_rim": None, "pre_rim": [None, 0.4], "post_rim": (-0.3, None)}),
        (
            GateRules,
            {"percentiles": [0, 100], "max_rejected": 1, "min_probability_rise": -1, "small_sample": 0},
        ),
        (GateRules, {"limits": {name: [None, 0.5] for name in FIGURES}}),
    ],
)
def test_the_ends_of_a_range_are_allowed_and_lists_are_ranges(kind: type, values: Mapping[str, Any]) -> None:
    assert {name: getattr(kind(**values), name) for name in values} == values


def test_limits_of_an_unknown_figure_are_refused_with_the_list_of_figures() -> None:
    with pytest.raises(ArgumentError, match=r"^GateRules.limits: there is no figure 'flair'") as caught:
        GateRules(limits={"flair": (0.1, 0.5)})
    assert all(name in caught.value.remedy for name in FIGURES)


@pytest.mark.parametrize("limits", [5, (0.5, 0.1), (math.nan, 1), ("0.1", 0.5), (0.1,), None])
def test_limits_of_a_figure_are_a_pair(limits: object) -> None:
    with pytest.raises(ArgumentError, match=r"^GateRules.limits flair_rim: expected two numbers"):
        GateRules(limits={"flair_rim": limits})


def test_the_plan_holds_every_rule_that_decides_what_is_made_and_no_other() -> None:
    described = GenerationRules().describe()
    assert json.loads(json.dumps(described, allow_nan=False)).keys() == {"pool", "pairing", "gate"}
    left_out = {
        (part, field.name)
        for part, kind in (("pool", PoolRules), ("pairing", PairingRules), ("gate", GateRules))
        for field in dataclasses.fields(kind)
        if field.name not in described[part]
    }
    assert left_out == {("pairing", "max_patient_share"), ("gate", "max_rejected"), ("gate", "min_tried")}
