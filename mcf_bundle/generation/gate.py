"""The gate: keeps or rejects a generated image, with the figures and the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.generation.contrast import broken_limits, to_interval, tumor_figures
from mcf_bundle.generation.gate_rules import GateRules
from mcf_bundle.generation.nearest import SliceGallery

LOWER_ONLY = ("tumor_probability", "mask_in_brain")
"""Figures of which only too little is wrong."""

UPPER_ONLY = ("nearest_correlation",)
"""Figures of which only too much is wrong."""

SATURATED = 0.5
"""A host with this P(tumor) or more looks like tumor already: no rise is asked of it."""

_DEFAULT_RULES = GateRules()


@dataclass(frozen=True)
class GateLimits:
    """Accepted range of each figure.

    Attributes:
        ranges: (smallest, largest) accepted value by figure; -inf or inf where one side is free.
        relaxed: figures whose range was extended so that real tumors pass.
        rejects_training: share of the real training tumors that the limits reject.
        rejects_validation: share of the real validation tumors that they reject; nan without any.
        counts: number of training and validation tumors behind these shares.
    """

    ranges: Mapping[str, tuple[float, float]]
    relaxed: tuple[str, ...] = ()
    rejects_training: float = float("nan")
    rejects_validation: float = float("nan")
    counts: tuple[int, int] = (0, 0)

    def broken(self, figures: Mapping[str, float]) -> tuple[str, ...]:
        """Name the figures outside their range; nan is outside, a figure without a range is not."""
        return broken_limits(self.ranges, figures)

    def warnings(self, max_rejection: float) -> tuple[str, ...]:
        """Name the real tumors of which more than the largest share allowed is rejected all the same.

        Widening does not help against figures that are undefined, nor against limits that were given; where
        validation tumors do not widen, those may also be unlike anything that the gate's classifier has seen.
        """
        reason = "a figure of theirs is undefined, or limits were set"
        unlike = "or what the gate's classifier learned does not hold for other patients"
        splits = {"training": f"{reason}.", "validation": f"{reason}, {unlike}."}
        rates = zip(splits, (self.rejects_training, self.rejects_validation), self.counts, strict=True)
        return tuple(
            f"The gate rejects {100 * rate:.1f} % of {count} real {split} tumors, more than "
            f"{100 * max_rejection:g} %: {splits[split]}"
            for split, rate, count in rates
            if rate > max_rejection
        )

    def rejection_rate(self, cases: Sequence[Mapping[str, float]]) -> float:
        """Return the share of the cases with a figure outside its range; nan without cases."""
        return float(np.mean([bool(self.broken(figures)) for figures in cases])) if cases else float("nan")


@dataclass(frozen=True)
class GateResult:
    """What the gate says of one image.

    Attributes:
        figures: by name.
        reasons: names of the figures outside their range; empty if the image is kept.
    """

    figures: Mapping[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the image is kept."""
        return not self.reasons


def slice_figures(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_],
    brain: NDArray[np.bool_],
    *,
    missing: tuple[bool, ...],
    gallery: SliceGallery,
    left_out: Sequence[str],
) -> dict[str, float]:
    """Measure a slice with tumor, real or generated, apart from the classifier's probability.

    Args:
        image: (3, H, W), float32, normalized.
        mask: (H, W), bool, the tumor.
        brain: (H, W), bool, brain region of the host (of the slice itself if it is real).
        missing: channels that are copies of FLAIR.
        gallery: the training slices.
        left_out: patients whose slices are no neighbors: the slice's own, or a row's host and donor.

    Returns:
        The figures of `tumor_figures`, `mask_in_brain` (share of the mask, [0, 1]; nan for an empty mask) and
        `nearest_correlation` ([-1, 1], to the nearest training slice of another patient).
    """
    figures = tumor_figures(image, mask, brain, missing=missing)
    figures["mask_in_brain"] = float(brain[mask].mean()) if mask.any() else float("nan")
    figures["nearest_correlation"] = gallery.nearest(image, left_out=left_out)
    return figures


def change_outside(
    image: NDArray[np.float32], host: NDArray[np.float32], editable: NDArray[np.bool_]
) -> float:
    """Return the mean absolute change outside the grown mask, on [0, 1].

    Args:
        image: (3, H, W), float32, normalized, the generated slice.
        host: (3, H, W), float32, normalized.
        editable: (H, W), bool, the grown mask.
    """
    return float(np.abs(np.clip(image, 0, 1) - np.clip(host, 0, 1))[:, ~editable].mean())


def probability_rise(probability: float, host_probability: float) -> dict[str, float]:
    """Return the rise of P(tumor) from host to generated slice, as the figure `probability_rise`.

    An absolute limit on P(tumor) cannot tell a faint tumor from a host that looks a little like one; an image
    in which nothing happened has no rise, whatever its host. A host that looks like tumor already, P(tumor)
    0.5 or more, has little room to rise: it gets no such figure.
    """
    return {} if host_probability >= SATURATED else {"probability_rise": probability - host_probability}


def fit_limits(
    training: Sequence[Mapping[str, float]],
    validation: Sequence[Mapping[str, float]] = (),
    rules: GateRules = _DEFAULT_RULES,
) -> GateLimits:
    """Take the limits from real tumors: two percentiles of each figure over the training tumors.

    Percentiles of few values lie inside the true ones, so each end is moved out by 10 / n of the range's
    width. Several figures with two ends each reject more than 2 % together, and validation patients differ
    from training patients, whom the gate's classifier has seen. Where more than 5 % of the training or of the
    validation tumors would be rejected, the figure that rejects most of them is extended to the same
    percentiles of theirs, then the next one; if that is not enough, half as far from the ends, and to the
    extremes. These numbers are the rules' defaults; a rule leaves the validation tumors out of it. Limits
    that the rules give are taken as they are.

    Args:
        training: figures of real training tumors.
        validation: figures of real validation tumors.
        rules: see `GateRules`.

    Returns:
        The limits with the rates at which they reject real tumors. Tumors with an undefined figure are always
        rejected, so the rates can stay above the largest one allowed.
    """
    given = {name: to_interval(limits) for name, limits in rules.limits.items()}
    low, high = rules.percentiles
    margin = rules.small_sample
    ranges = {**_percentile_ranges(training, (low, high), margin), **given}
    relaxed: list[str] = []
    for tumors in (validation, training) if rules.validation_widens else (training,):
        for percentiles in ((low, high), (low / 2, (high + 100) / 2), (0.0, 100.0)):
            offered = _percentile_ranges(tumors, percentiles, margin)
            offered = {name: limits for name, limits in offered.items() if name not in given}
            relaxed += _relax(ranges, tumors, offered, rules.max_real_rejection)
    ranges.setdefault("change_outside", (-np.inf, rules.max_change_outside))
    ranges.setdefault("probability_rise", (rules.min_probability_rise, np.inf))
    return GateLimits(
        ranges,
        tuple(dict.fromkeys(relaxed)),
        GateLimits(ranges).rejection_rate(training),
        GateLimits(ranges).rejection_rate(validation),
        (len(training), len(validation)),
    )


def _relax(
    ranges: dict[str, tuple[float, float]],
    tumors: Sequence[Mapping[str, float]],
    offered: Mapping[str, tuple[float, float]],
    max_rejection: float,
) -> list[str]:
    """Extend ranges to those offered, the worst figure first, until enough tumors pass; return whose."""
    relaxed: list[str] = []
    left = [name for name in ranges if name in offered]
    while left and GateLimits(ranges).rejection_rate(tumors) > max_rejection:
        worst = max(left, key=lambda name: GateLimits({name: ranges[name]}).rejection_rate(tumors))
        left.remove(worst)
        low, high = ranges[worst]
        ranges[worst] = min(low, offered[worst][0]), max(high, offered[worst][1])
        relaxed.append(worst)
    return relaxed


def _percentile_ranges(
    cases: Sequence[Mapping[str, float]], percentiles: tuple[float, float], small_sample: float
) -> dict[str, tuple[float, float]]:
    """Return the percentiles of each figure over its finite values, moved out; free sides are infinite."""
    ranges = {}
    for name in sorted({name for figures in cases for name in figures}):
        values = np.array([figures[name] for figures in cases if np.isfinite(figures.get(name, np.nan))])
        if values.size:
            low, high = np.percentile(values, percentiles).tolist()
            margin = small_sample / values.size * (high - low)
            ranges[name] = (
                -np.inf if name in UPPER_ONLY else low - margin,
                np.inf if name in LOWER_ONLY else high + margin,
            )
    return ranges
