"""The gate: keeps or rejects a generated image, with the figures and the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.generation.contrast import tumor_figures
from mcf_bundle.generation.nearest import SliceGallery

LOWER_ONLY = ("tumor_probability", "mask_in_brain")
"""Figures of which only too little is wrong."""

UPPER_ONLY = ("nearest_correlation",)
"""Figures of which only too much is wrong."""

PERCENTILES = (1.0, 99.0)
"""Percentiles of real training tumors between which a figure is accepted."""

MAX_REAL_REJECTION = 0.05
"""Largest share of real validation tumors that the fitted limits may reject."""

SMALL_SAMPLE = 10
"""Each end of a range is moved out by this over the number of tumors, times the range's width."""

MAX_CHANGE_OUTSIDE = 0.03
"""Largest mean absolute change of the head outside the grown mask, normalized intensity."""


@dataclass(frozen=True)
class GateLimits:
    """Accepted range of each figure.

    Attributes:
        ranges: (smallest, largest) accepted value by figure; -inf or inf where one side is free.
        relaxed: figures whose range was extended so that real validation tumors pass.
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
        return tuple(
            name
            for name, (low, high) in self.ranges.items()
            if name in figures and not low <= figures[name] <= high
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


def fit_limits(
    training: Sequence[Mapping[str, float]], validation: Sequence[Mapping[str, float]] = ()
) -> GateLimits:
    """Take the limits from real tumors: the 1st and 99th percentile of each figure over the training tumors.

    Percentiles of few values lie inside the true ones, so each end is moved out by 10 / n of the range's
    width. Several figures with two ends each reject more than 2 % together, and validation patients differ
    from training patients, whom the gate's classifier has seen. Where more than 5 % of the training or of the
    validation tumors would be rejected, the figure that rejects most of them is extended to their 1st and
    99th percentile, then the next one; if that is not enough, to the 0.5th and 99.5th, and to the extremes.

    Args:
        training: figures of real training tumors.
        validation: figures of real validation tumors.

    Returns:
        The limits with the rates at which they reject real tumors.
    """
    ranges = _percentile_ranges(training, PERCENTILES)
    relaxed: list[str] = []
    for tumors in (validation, training):
        for percentiles in (PERCENTILES, (0.5, 99.5), (0.0, 100.0)):
            relaxed += _relax(ranges, tumors, _percentile_ranges(tumors, percentiles))
    return GateLimits(
        {**ranges, "change_outside": (-np.inf, MAX_CHANGE_OUTSIDE)},
        tuple(dict.fromkeys(relaxed)),
        GateLimits(ranges).rejection_rate(training),
        GateLimits(ranges).rejection_rate(validation),
        (len(training), len(validation)),
    )


def _relax(
    ranges: dict[str, tuple[float, float]],
    tumors: Sequence[Mapping[str, float]],
    offered: Mapping[str, tuple[float, float]],
) -> list[str]:
    """Extend ranges to those offered, the worst figure first, until enough tumors pass; return whose."""
    relaxed: list[str] = []
    left = [name for name in ranges if name in offered]
    while left and GateLimits(ranges).rejection_rate(tumors) > MAX_REAL_REJECTION:
        worst = max(left, key=lambda name: GateLimits({name: ranges[name]}).rejection_rate(tumors))
        left.remove(worst)
        low, high = ranges[worst]
        ranges[worst] = min(low, offered[worst][0]), max(high, offered[worst][1])
        relaxed.append(worst)
    return relaxed


def _percentile_ranges(
    cases: Sequence[Mapping[str, float]], percentiles: tuple[float, float]
) -> dict[str, tuple[float, float]]:
    """Return the percentiles of each figure over its finite values; free sides are infinite."""
    ranges = {}
    for name in sorted({name for figures in cases for name in figures}):
        values = np.array([figures[name] for figures in cases if np.isfinite(figures.get(name, np.nan))])
        if values.size:
            low, high = np.percentile(values, percentiles).tolist()
            margin = SMALL_SAMPLE / values.size * (high - low)
            ranges[name] = (
                -np.inf if name in UPPER_ONLY else low - margin,
                np.inf if name in LOWER_ONLY else high + margin,
            )
    return ranges
