"""What is measured of one patient in one run, so that any mean over patients or slices follows from sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mcf_bundle.metrics.case_table import Row
from mcf_bundle.metrics.denominator import Denominator, pool_by_patient

THRESHOLD = 0.5
"""Probabilities above it are called tumor; the default of the bundles."""

SumAndWeight = tuple[float, float]


@dataclass(frozen=True)
class Measure:
    """A figure of an arm: the sum over patients of what `score` adds, over the sum of its weights.

    Attributes:
        title: what a table calls it.
        over: what the mean is taken over.
        unit: nothing for shares; ``distance`` stands for the unit of the table: mm, pixel or voxel.
        best: which side is better, high or low.
        score: rows of one patient in one run -> (sum, weight); weight 0 where the patient does not count.
    """

    title: str
    over: str
    unit: str
    best: str
    score: Callable[[Sequence[Row]], SumAndWeight]


def _tumor(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["reference_pixels"]]


def _tumor_free(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if not row["reference_pixels"]]


def _of_tumor_slices(column: str) -> Callable[[Sequence[Row]], SumAndWeight]:
    def score(rows: Sequence[Row]) -> SumAndWeight:
        values = [row[column] for row in _tumor(rows)]
        return sum(values), float(len(values))

    return score


def _of_pooled(column: str) -> Callable[[Sequence[Row]], SumAndWeight]:
    def score(rows: Sequence[Row]) -> SumAndWeight:
        return pool_by_patient(rows)[0][column], 1.0

    return score


def _of_volume(column: str) -> Callable[[Sequence[Row]], SumAndWeight]:
    def score(rows: Sequence[Row]) -> SumAndWeight:
        (row,) = rows
        return row[column], 1.0

    return score


def _of_patient(score: Callable[[Sequence[Row]], SumAndWeight]) -> Callable[[Sequence[Row]], SumAndWeight]:
    """Make the mean over a patient's cases count once, however many cases there are."""

    def mean(rows: Sequence[Row]) -> SumAndWeight:
        total, weight = score(rows)
        return (total / weight, 1.0) if weight else (0.0, 0.0)

    return mean


def _false_positive_area(rows: Sequence[Row]) -> SumAndWeight:
    free = _tumor_free(rows)
    return float(sum(row["prediction_pixels"] for row in free)), float(len(free))


def _false_positive_share(rows: Sequence[Row]) -> SumAndWeight:
    free = _tumor_free(rows)
    return float(sum(row["prediction_pixels"] > 0 for row in free)), float(len(free))


def _right(rows: Sequence[Row]) -> SumAndWeight:
    right = sum((row["probability"] > THRESHOLD) == (row["label"] == 1) for row in rows)
    return float(right), float(len(rows))


_SCORES = {"dice": ("Dice", "", "high"), "jaccard": ("Jaccard", "", "high")}
_DISTANCES = {"hd95": ("HD95", "distance", "low"), "asd": ("ASD", "distance", "low")}
PATIENT_MEAN = "a patient's tumor slices, then patients"

SEGMENTATION_MEASURES: Mapping[str, Measure] = {
    **{
        name: Measure(title, PATIENT_MEAN, unit, best, _of_patient(_of_tumor_slices(name)))
        for name, (title, unit, best) in {**_SCORES, **_DISTANCES}.items()
    },
    **{
        f"slice_{name}": Measure(title, str(Denominator.TUMOR_SLICES), unit, best, _of_tumor_slices(name))
        for name, (title, unit, best) in {**_SCORES, **_DISTANCES}.items()
    },
    **{
        f"volume_{name}": Measure(title, str(Denominator.PATIENTS), unit, best, _of_pooled(name))
        for name, (title, unit, best) in _SCORES.items()
    },
    "false_positive_area": Measure(
        "false-positive area", "tumor-free slices", "pixel", "low", _false_positive_area
    ),
    "false_positive_share": Measure(
        "slices with any prediction", "tumor-free slices", "", "low", _false_positive_share
    ),
}
"""Of segmentation, by name; the first four count every patient once."""

VOLUME_MEASURES: Mapping[str, Measure] = {
    f"volume_{name}": Measure(title, "volumes of the patients", unit, best, _of_volume(name))
    for name, (title, unit, best) in _DISTANCES.items()
}
"""Of segmentation, from one row a patient: what the slices' pixel counts do not tell."""

CLASSIFICATION_MEASURES: Mapping[str, Measure] = {
    "accuracy": Measure("accuracy", "a patient's slices, then patients", "", "high", _of_patient(_right)),
}
"""Of classification, by name; what does not follow from sums is in `classification_figures`."""

MEASURES = {**SEGMENTATION_MEASURES, **VOLUME_MEASURES, **CLASSIFICATION_MEASURES}

COMPARABLE = tuple(name for name, measure in MEASURES.items() if measure.over.endswith(", then patients"))
"""Measures that give each patient one number in a run, so that two arms can be paired."""
