"""What a mean of segmentation scores is taken over: tumor slices, all slices, or pooled patients."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.case_table import SEGMENTATION_COLUMNS, Row, case_columns, check_cases
from mcf_bundle.metrics.empty_masks import as_empty_policy, empty_scores
from mcf_bundle.metrics.overlap import PixelCounts, dice, jaccard
from mcf_bundle.metrics.segmentation import OVERLAPS


class Denominator(StrEnum):
    """What a mean is taken over.

    TUMOR_SLICES: the cases whose reference has the abnormality, found or missed.
    ALL_SLICES: all cases; under `penalize` two empty masks count as 1.
    PATIENTS: each patient's pixels pooled over all its slices (Dice and Jaccard of the volume), then the
        mean over patients. Distances do not pool: score volumes for them, whose rows are taken as they are.
    """

    TUMOR_SLICES = "tumor slices"
    ALL_SLICES = "all slices"
    PATIENTS = "pooled per patient"


def as_denominator(denominator: str) -> Denominator:
    """Return the denominator of that name.

    Raises:
        ArgumentError: there is none.
    """
    try:
        return Denominator(denominator)
    except ValueError as error:
        problem = f"expected one of {', '.join(Denominator)}, got {denominator!r}"
        raise ArgumentError("denominator", problem, "name what the mean is taken over") from error


def select_cases(rows: Sequence[Row], denominator: str) -> list[Row]:
    """Return the rows that a denominator counts; for `Denominator.PATIENTS` one pooled row a patient.

    Args:
        rows: rows of `SEGMENTATION_COLUMNS`, of one model.
        denominator: see `Denominator`.

    Raises:
        ArgumentError: the table is empty, holds a case twice, or mixes units, tolerances, policies of empty
            masks, or slices and volumes; or there is no such denominator.
    """
    check_cases(rows)
    if len({is_volume(row) for row in rows}) > 1:
        raise ArgumentError("rows", "slices and whole volumes are mixed", "summarize them separately")
    for name in ("unit", "empty_policy", "tolerance"):
        found = sorted({str(row[name]) for row in rows})
        if len(found) > 1:
            raise ArgumentError("rows", f"the column {name} mixes {' and '.join(found)}", "score all alike")
    chosen = as_denominator(denominator)
    if chosen is Denominator.PATIENTS:
        return list(rows) if is_volume(rows[0]) else pool_by_patient(rows)
    return [row for row in rows if chosen is Denominator.ALL_SLICES or row["reference_pixels"]]


def is_volume(row: Row) -> bool:
    """Return whether a row is of a whole volume, not of a slice."""
    return row["slice"] is None


def pool_by_patient(rows: Sequence[Row]) -> list[Row]:
    """Add up each patient's pixels and score the sums; every other score is nan."""
    pooled: dict[str, PixelCounts] = defaultdict(lambda: PixelCounts(0, 0, 0))
    for row in rows:
        pooled[row["patient"]] += counts_of(row)
    return [_pooled_row(patient, counts, rows[0]) for patient, counts in pooled.items()]


def counts_of(row: Row) -> PixelCounts:
    """Return a row's pixel counts."""
    return PixelCounts(row["prediction_pixels"], row["reference_pixels"], row["common_pixels"])


def _pooled_row(patient: str, counts: PixelCounts, like: Row) -> Row:
    scores = {"dice": dice(counts), "jaccard": jaccard(counts)}
    if not (counts.prediction and counts.reference):
        policy = as_empty_policy(like["empty_policy"])
        scores = {name: empty_scores(counts, policy, diagonal=0.0)[name] for name in OVERLAPS}
    return {
        **{name: float("nan") for name, column in SEGMENTATION_COLUMNS.items() if column.kind is float},
        **case_columns(patient, None),
        "prediction_pixels": counts.prediction,
        "reference_pixels": counts.reference,
        "common_pixels": counts.common,
        "empty_policy": like["empty_policy"],
        "unit": like["unit"],
        **scores,
    }
