"""Thresholds for where a tumor may go, and the answer to a pair that breaks one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from mcf_bundle.arguments import check_fields, check_number, check_range, check_share

FitReason = Literal["patient", "missing", "level", "empty", "scale"]
"""Why `fit_transform` refuses a pair."""

PlaceReason = Literal["outside", "brain", "neighbor", "midline", "csf", "bright", "skull"]
"""Why `accept_placement` refuses a place."""

Reason = Literal[FitReason, PlaceReason]
"""Why a pair is refused; `wording.REASONS` has the words for it."""


@dataclass(frozen=True)
class PlacementRules:
    """Thresholds of placement; a pair that breaks one is rejected under the name in brackets.

    Intensities are in units of the median over the host slice's brain. The last four rules look at what lies
    under the tumor in the host: a place in a ventricle, the orbit or the scalp is wrong even where the brain
    region says otherwise.

    Attributes:
        level_tolerance: largest difference of level between host and donor slice [level].
        scale_range: smallest and largest donor extent over host extent, along and across the midline [scale].
        brain_share: least share of the placed tumor in the host's brain, before it is cut to it [brain].
        neighbor_brain_share: the same in the two neighbors, where the donor has tumor there [neighbor].
        midline_tolerance: largest change of the share of the tumor across the midline [midline].
        csf_share: largest share of fluid, bone or air under the tumor [csf].
        csf_level: FLAIR below this is not tissue.
        csf_level_pre: pre-contrast T1 below this is not tissue.
        bright_share: largest share of scalp, fat or another lesion under the tumor [bright].
        bright_level: FLAIR above this is one of those.
        skull_depth: least depth of the tumor's outermost 2 % below the edge of the head, in radii of the
            head's slice [skull]; 99 % of the LGG set's donor tumors lie deeper than 0.14.

    Raises:
        ArgumentError: a field has another type or lies outside its range.
    """

    level_tolerance: float = 0.03
    scale_range: tuple[float, float] = (0.8, 1.25)
    brain_share: float = 0.98
    neighbor_brain_share: float = 0.90
    midline_tolerance: float = 0.05
    csf_share: float = 0.08
    csf_level: float = 0.60
    csf_level_pre: float = 0.50
    bright_share: float = 0.05
    bright_level: float = 1.40
    skull_depth: float = 0.12

    def __post_init__(self) -> None:
        at_least_0 = partial(check_number, least=0)
        check_fields(
            self,
            {
                "level_tolerance": at_least_0,
                "scale_range": partial(check_range, above=0),
                "brain_share": check_share,
                "neighbor_brain_share": check_share,
                "midline_tolerance": check_share,
                "csf_share": check_share,
                "csf_level": at_least_0,
                "csf_level_pre": at_least_0,
                "bright_share": check_share,
                "bright_level": at_least_0,
                "skull_depth": check_share,
            },
        )


@dataclass(frozen=True)
class Rejection:
    """Why a pair was refused.

    Attributes:
        reason: see `Reason`.
        value: the figure that broke the rule; nan where there is none.
    """

    reason: Reason
    value: float = float("nan")
