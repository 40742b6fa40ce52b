"""All rules of a generation: what may be host and donor, how they are paired, what the gate keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from mcf_bundle.arguments import check_fields, check_instance
from mcf_bundle.generation.gate_rules import GateRules
from mcf_bundle.generation.pairing import PairingRules
from mcf_bundle.generation.source import PoolRules


@dataclass(frozen=True)
class GenerationRules:
    """The rules of a generation.

    Attributes:
        pool: which slices may be hosts and donors.
        pairing: how pairs are searched.
        gate: how the gate is fitted.

    Raises:
        ArgumentError: a part is something else.
    """

    pool: PoolRules = field(default_factory=PoolRules)
    pairing: PairingRules = field(default_factory=PairingRules)
    gate: GateRules = field(default_factory=GateRules)

    def __post_init__(self) -> None:
        kinds = {"pool": PoolRules, "pairing": PairingRules, "gate": GateRules}
        check_fields(self, {name: partial(check_instance, kind=kind) for name, kind in kinds.items()})

    def describe(self) -> dict[str, Any]:
        """Return the rules that decide what is made, as plain values for the plan.

        Rules that only warn or stop a run are not among them: a run that was stopped can be repeated with
        others in the same folder.
        """
        return {
            "pool": asdict(self.pool),
            "pairing": self.pairing.describe(),
            "gate": self.gate.describe(),
        }
