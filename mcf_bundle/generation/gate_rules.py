"""How the gate's limits are fitted, and how many images it may reject."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from mcf_bundle.arguments import (
    check_count,
    check_fields,
    check_flag,
    check_number,
    check_range,
    check_share,
)
from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.contrast import Limits, check_limits
from mcf_bundle.generation.wording import FIGURES


@dataclass(frozen=True)
class GateRules:
    """Thresholds of the gate.

    Attributes:
        percentiles: percentiles of the real training tumors between which a figure is accepted.
        small_sample: each end of a range is moved out by this over the number of tumors, times its width:
            percentiles of few values lie inside the true ones.
        max_real_rejection: fitted limits are widened where they reject a larger share of the real training or
            validation tumors.
        validation_widens: whether validation tumors widen limits too; if not, their rejection is reported
            and changes nothing.
        max_change_outside: largest mean absolute change of the head outside the grown mask, normalized
            intensity.
        min_probability_rise: least rise of P(tumor) over the host's, see `gate.probability_rise`.
        limits: (smallest, largest) by figure, None where a side is free; they stand in the place of those
            above, fitted or not, and are never widened.
        max_rejected: a larger share of rejected images stops the run: then the settings are wrong, not the
            images.
        min_tried: images to be tried before that share is judged.

    Raises:
        ArgumentError: a field has another type or lies outside its range, or there is no such figure.
    """

    percentiles: tuple[float, float] = (1.0, 99.0)
    small_sample: float = 10.0
    max_real_rejection: float = 0.05
    validation_widens: bool = True
    max_change_outside: float = 0.03
    min_probability_rise: float = 0.05
    limits: Mapping[str, Limits] = field(default_factory=dict)
    max_rejected: float = 0.60
    min_tried: int = 16

    def __post_init__(self) -> None:
        check_fields(
            self,
            {
                "percentiles": partial(check_range, least=0, most=100),
                "small_sample": partial(check_number, least=0),
                "max_real_rejection": check_share,
                "validation_widens": check_flag,
                "max_change_outside": check_share,
                "min_probability_rise": partial(check_number, least=-1, most=1),
                "limits": _check_figures,
                "max_rejected": check_share,
                "min_tried": check_count,
            },
        )

    def describe(self) -> dict[str, Any]:
        """Return what decides which images are kept: all but the rules that stop a run."""
        return {
            name: value for name, value in asdict(self).items() if name not in ("max_rejected", "min_tried")
        }


def _check_figures(name: str, limits: Any) -> None:
    if not isinstance(limits, Mapping):
        raise ArgumentError(name, f"expected limits by figure, got {limits!r}", "write {figure: [low, high]}")
    for figure, pair in limits.items():
        if figure not in FIGURES:
            raise ArgumentError(name, f"there is no figure {figure!r}", f"choose of {', '.join(FIGURES)}")
        check_limits(f"{name} {figure}", pair)
