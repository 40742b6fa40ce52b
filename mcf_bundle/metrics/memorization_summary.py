"""How many images are nearer to training images than real held-out ones are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.bootstrap import bootstrap_over_patients
from mcf_bundle.metrics.case_table import Row, check_cases
from mcf_bundle.metrics.memorization_table import HELD_OUT, SYNTHETIC

PERCENTILE = 99.0
"""Percentile of the held-out slices' figures above which an image counts as a copy."""

LEAST_HELD_OUT = 20
"""Held-out tumors that a limit is taken from at least, if there are so many."""

FEW_HELD_OUT = 100
"""With fewer held-out slices the 99th percentile is hardly more than the largest figure."""

FEW_PATIENTS = 10
"""Below this many held-out patients the limits depend on who they are."""


@dataclass(frozen=True)
class AuditFigure:
    """A figure of the table and how it is judged.

    Attributes:
        held_out: column of the held-out slices that its limit comes from; empty without a limit.
        unit: column of the patients that its interval is drawn over.
        by_size: whether only held-out tumors of about that size or larger count for an image.
        topic: heading that it stands under.
    """

    held_out: str
    unit: str
    by_size: bool
    topic: str


HOST, COPY, CHANGE = "the host is recognizable", "the tumor is a copy", "what the diffusion changed"
"""Topics: the first one holds by design, the second one is what the audit is for."""

AUDIT_FIGURES = {
    "outside_correlation": AuditFigure("outside_correlation", "host", False, HOST),
    "outside_feature": AuditFigure("outside_feature", "host", False, HOST),
    "whole_correlation": AuditFigure("whole_correlation", "host", False, HOST),
    "whole_feature": AuditFigure("whole_feature", "host", False, HOST),
    "tumor_correlation": AuditFigure("tumor_correlation", "patient", True, COPY),
    "tumor_correlation_others": AuditFigure("tumor_correlation", "patient", True, COPY),
    "tumor_feature": AuditFigure("tumor_feature", "patient", True, COPY),
    "donor_correlation": AuditFigure("tumor_correlation", "patient", True, CHANGE),
    "composite_donor_correlation": AuditFigure("tumor_correlation", "patient", True, CHANGE),
    "composite_correlation": AuditFigure("tumor_correlation", "patient", True, CHANGE),
    "composite_feature": AuditFigure("tumor_feature", "patient", True, CHANGE),
    "donor_drop": AuditFigure("", "patient", False, CHANGE),
}
"""By column."""


@dataclass(frozen=True)
class AuditSummary:
    """One figure of the synthetic images.

    Attributes:
        figure: key of `AUDIT_FIGURES`.
        topic: what it speaks of.
        mean: over the n images that have a value.
        sd: standard deviation (n - 1).
        mean_low: lower end of the mean's 95 % interval by bootstrap over patients.
        mean_high: upper end.
        limit: median of the images' limits, see `image_limits`; nan without one.
        above: images above their limit.
        share: above / n.
        share_low: lower end of the share's interval; the limits are taken as they are.
        share_high: upper end.
        n: images with a value.
        patients: their patients, the unit of the intervals.
        held_out_n: held-out slices.
        held_out_patients: their patients.
    """

    figure: str
    topic: str
    mean: float
    sd: float
    mean_low: float
    mean_high: float
    limit: float
    above: int
    share: float
    share_low: float
    share_high: float
    n: int
    patients: int
    held_out_n: int
    held_out_patients: int

    def __str__(self) -> str:
        """Return one line."""
        line = (
            f"{self.figure}: mean {self.mean:.3f} (SD {self.sd:.3f}; 95 % interval over patients "
            f"{self.mean_low:.3f} to {self.mean_high:.3f}; n = {self.n} of {self.patients} patients)"
        )
        if np.isnan(self.limit):
            return line
        return (
            f"{line}; {self.above} above the {PERCENTILE:g}th percentile of held-out slices (median "
            f"{self.limit:.3f}), {100 * self.share:.0f} % ({100 * self.share_low:.0f} to "
            f"{100 * self.share_high:.0f} %)"
        )


def image_limits(rows: Sequence[Row], held_out: Sequence[Row], figure: str) -> NDArray[np.float64]:
    """Return the limit of a figure for each image: a percentile of the held-out slices' figures.

    The smaller a mask, the higher its best correlation with a thousand others by chance. So for what lies in
    the mask an image is judged by the held-out slices whose mask is at least half as large as its own, or by
    the 20 largest ones if those are fewer; one limit for all would let copies of large tumors pass.

    Args:
        rows: images, rows of `MEMORIZATION_COLUMNS`.
        held_out: real ones, rows of the same table.
        figure: key of `AUDIT_FIGURES`.

    Returns:
        (N,); nan for a figure without a limit, and where no held-out slice has a value.
    """
    judged = AUDIT_FIGURES[figure]
    if not judged.held_out:
        return np.full(len(rows), np.nan)
    known = [row for row in held_out if not np.isnan(row[judged.held_out])]
    known.sort(key=lambda row: -row["mask_pixels"])
    values = np.array([row[judged.held_out] for row in known], np.float64)
    sizes = np.array([row["mask_pixels"] for row in known])
    if not len(known):
        return np.full(len(rows), np.nan)
    if not judged.by_size:
        return np.full(len(rows), np.percentile(values, PERCENTILE))
    counts = [max(int((sizes >= row["mask_pixels"] / 2).sum()), LEAST_HELD_OUT) for row in rows]
    return np.array([np.percentile(values[:count], PERCENTILE) for count in counts])


def split_sets(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return the synthetic and the held-out rows of a table.

    Raises:
        ArgumentError: the table is empty, holds a case twice, or lacks one of the sets.
    """
    check_cases(rows)
    sets = tuple([row for row in rows if row["set"] == name] for name in (SYNTHETIC, HELD_OUT))
    for name, found in zip((SYNTHETIC, HELD_OUT), sets, strict=True):
        if not found:
            raise ArgumentError("rows", f"there are no {name} ones", "audit both in one table")
    return sets[0], sets[1]


def summarize_memorization(
    rows: Sequence[Row], *, resamples: int = 2000, seed: int = 0
) -> list[AuditSummary]:
    """Summarize a table of `MEMORIZATION_COLUMNS`; figures that no image has are left out.

    Args:
        rows: synthetic and held-out ones.
        resamples: draws of the bootstrap.
        seed: seed of the draws.

    Raises:
        ArgumentError: see `split_sets`.
    """
    synthetic, held_out = split_sets(rows)
    summaries = []
    for figure in AUDIT_FIGURES:
        known = [row for row in synthetic if not np.isnan(row[figure])]
        if known:
            summaries.append(_summarize(known, held_out, figure, resamples=resamples, seed=seed))
    return summaries


def _summarize(
    rows: Sequence[Row], held_out: Sequence[Row], figure: str, *, resamples: int, seed: int
) -> AuditSummary:
    judged = AUDIT_FIGURES[figure]
    values = np.array([row[figure] for row in rows], np.float64)
    limits = image_limits(rows, held_out, figure)
    above = np.where(np.isnan(limits), np.nan, values > limits)
    table = np.stack([values, above], axis=1)
    patients = [str(row[judged.unit]) for row in rows]
    interval = bootstrap_over_patients(
        lambda cases: table[cases].mean(0), patients, resamples=resamples, seed=seed
    )
    return AuditSummary(
        figure=figure,
        topic=judged.topic,
        mean=float(values.mean()),
        sd=float(values.std(ddof=1)) if len(values) > 1 else float("nan"),
        mean_low=float(interval.low[0]),
        mean_high=float(interval.high[0]),
        limit=float(np.median(limits)),
        above=int((values > limits).sum()),
        share=float(above.mean()),
        share_low=float(interval.low[1]),
        share_high=float(interval.high[1]),
        n=len(values),
        patients=len(set(patients)),
        held_out_n=len(held_out),
        held_out_patients=len({row["patient"] for row in held_out}),
    )


@dataclass(frozen=True)
class Copy:
    """A synthetic image whose tumor is nearer to a training tumor than its limits allow.

    Attributes:
        case: name of the image.
        correlation: its tumor_correlation.
        correlation_limit: the limit.
        feature: its tumor_feature.
        feature_limit: the limit.
        by: "correlation", "feature" or "both".
    """

    case: str
    correlation: float
    correlation_limit: float
    feature: float
    feature_limit: float
    by: str


def find_copies(rows: Sequence[Row]) -> list[Copy]:
    """List the copies of a table: those above both limits first, then by correlation, highest first.

    Raises:
        ArgumentError: see `split_sets`.
    """
    synthetic, held_out = split_sets(rows)
    names = ("tumor_correlation", "tumor_feature")
    limits = [image_limits(synthetic, held_out, name) for name in names]
    copies = []
    for row, of_correlation, of_feature in zip(synthetic, *limits, strict=True):
        correlation, feature = (row[name] for name in names)
        broken = correlation > of_correlation, feature > of_feature
        if any(broken):
            by = "both" if all(broken) else "correlation" if broken[0] else "feature"
            copies.append(
                Copy(row["case"], correlation, float(of_correlation), feature, float(of_feature), by)
            )
    return sorted(copies, key=lambda copy: (copy.by != "both", -copy.correlation))


def audit_warnings(rows: Sequence[Row]) -> list[str]:
    """Return what keeps the limits of a table from meaning what they seem to.

    Raises:
        ArgumentError: see `split_sets`.
    """
    _, held_out = split_sets(rows)
    patients = len({row["patient"] for row in held_out})
    found = []
    if len(held_out) < FEW_HELD_OUT:
        found.append(f"{len(held_out)} held-out slices: the 99th percentile is about the largest of them")
    if patients < FEW_PATIENTS:
        found.append(f"{patients} held-out patients: the limits depend on who they are")
    return found
