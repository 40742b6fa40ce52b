"""Whether masks fit their images, by a segmenter that was trained on real images alone and is not changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.arguments import check_whole
from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.bootstrap import bootstrap_over_patients
from mcf_bundle.metrics.case_table import CASE_COLUMNS, Column
from mcf_bundle.metrics.overlap import count_pixels, dice

SHIFT = 12
"""How far the control's masks are moved, pixels at 256 x 256."""

CONTROL = "{} with the mask moved"
"""Name of the control."""

LABEL_CONSISTENCY_COLUMNS = {
    **CASE_COLUMNS,
    "set": Column(str, "the set of images"),
    "prediction_pixels": Column(int, "pixels of the segmenter's mask, 0 = empty"),
    "reference_pixels": Column(int, "pixels of the written mask, 0 = empty"),
    "dice": Column(float, "Dice of the two, 0 to 1; 0 where the segmenter finds nothing"),
}

Masks = NDArray[np.bool_]
Segmenter = Callable[[Any], Masks]
"""What a set has as `images` -> masks, (N, H, W), bool; the same for an image whatever stands beside it."""


@dataclass(frozen=True, eq=False)
class LabeledSet:
    """Images with the masks that were written with them.

    Attributes:
        images: what the segmenter takes, one entry an image.
        masks: (N, H, W), bool, none of them empty.
        patients: patient of each image, (N,); of a synthetic image the host's.
        slices: number of each slice, (N,).
    """

    images: Any
    masks: Masks
    patients: Sequence[str]
    slices: Sequence[int]


@dataclass(frozen=True)
class ConsistencyRow:
    """Mean Dice of a set, over all of its images.

    Attributes:
        name: the set.
        dice: mean over images.
        sd: standard deviation over images (n - 1); nan below two.
        low: lower end of the 95 % interval by bootstrap over patients; nan below two patients.
        high: upper end.
        n: images.
        patients: their patients.
        missed: images in which the segmenter found nothing; they count as 0.
    """

    name: str
    dice: float
    sd: float
    low: float
    high: float
    n: int
    patients: int
    missed: int

    def __str__(self) -> str:
        """Return one line."""
        return (
            f"{self.name}: Dice {self.dice:.3f} (SD {self.sd:.3f}; 95 % interval over patients "
            f"{self.low:.3f} to {self.high:.3f}; n = {self.n} of {self.patients} patients, "
            f"{self.missed} missed)"
        )


def label_consistency(
    segmenter: Segmenter, sets: Mapping[str, LabeledSet], *, control: str, shift: int = SHIFT
) -> list[dict[str, Any]]:
    """Compare a segmenter's masks with the written ones, image by image.

    Args:
        segmenter: see `Segmenter`; frozen, and trained on none of the real patients here.
        sets: by name: synthetic images, composites, real tumors of patients that it does not know.
        control: the set whose masks are also compared moved, see `moved`: figures that do not fall there
            say nothing.
        shift: see `moved`.

    Returns:
        Rows of `LABEL_CONSISTENCY_COLUMNS`, set after set, the control's last.

    Raises:
        ArgumentError: there is no set `control`, a part has another length, a mask is empty, or the
            segmenter's masks have another shape or type.
    """
    check_whole("shift", shift, least=1)
    if control not in sets:
        raise ArgumentError("control", f"there is no set {control!r}", f"choose one of {list(sets)}")
    rows = []
    for name, one in sets.items():
        _check(name, one)
        predictions = segmenter(one.images)
        _check_predictions(predictions, one.masks)
        rows += _rows(name, predictions, one.masks, one)
        if name == control:
            references = np.stack([moved(mask, shift) for mask in one.masks])
            last = _rows(CONTROL.format(name), predictions, references, one)
    return rows + last


def moved(mask: Masks, shift: int) -> Masks:
    """Move a mask sideways, towards the farther side of the image, so that none of it leaves the image.

    Args:
        mask: (H, W), bool, not empty.
        shift: columns; fewer where the mask would reach the side before.
    """
    columns = np.nonzero(mask.any(0))[0]
    left, right = int(columns[0]), mask.shape[1] - 1 - int(columns[-1])
    step = min(shift, max(left, right))
    return np.roll(mask, step if right >= left else -step, axis=1)


def summarize_consistency(
    rows: Sequence[Mapping[str, Any]], *, resamples: int = 500, seed: int = 0
) -> list[ConsistencyRow]:
    """Summarize rows of `label_consistency`, one line a set, in their order."""
    return [
        _summary(name, [row for row in rows if row["set"] == name], resamples, seed)
        for name in dict.fromkeys(row["set"] for row in rows)
    ]


def _summary(name: str, rows: Sequence[Mapping[str, Any]], resamples: int, seed: int) -> ConsistencyRow:
    values = np.array([row["dice"] for row in rows], np.float64)
    patients = [row["patient"] for row in rows]
    interval = bootstrap_over_patients(
        lambda cases: values[cases].mean(keepdims=True), patients, resamples=resamples, seed=seed
    )
    return ConsistencyRow(
        name=name,
        dice=float(values.mean()),
        sd=float(values.std(ddof=1)) if len(values) > 1 else float("nan"),
        low=float(interval.low[0]),
        high=float(interval.high[0]),
        n=len(values),
        patients=len(set(patients)),
        missed=sum(not row["prediction_pixels"] for row in rows),
    )


def _rows(name: str, predictions: Masks, references: Masks, one: LabeledSet) -> list[dict[str, Any]]:
    rows = []
    for k, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
        counts = count_pixels(prediction, reference)
        rows.append(
            {
                "case": f"{name}/{k}",
                "patient": str(one.patients[k]),
                "slice": one.slices[k],
                "set": name,
                "prediction_pixels": counts.prediction,
                "reference_pixels": counts.reference,
                "dice": dice(counts),
            }
        )
    return rows


def _check(name: str, one: LabeledSet) -> None:
    for part in ("images", "patients", "slices"):
        if len(getattr(one, part)) != len(one.masks):
            problem = f"has {len(one.masks)} masks and {len(getattr(one, part))} {part}"
            raise ArgumentError(name, problem, "give one an image")
    if not len(one.masks):
        raise ArgumentError(name, "there are no images", "leave the set out")
    if not one.masks.any((1, 2)).all():
        raise ArgumentError(name, "a written mask is empty", "give images with a tumor")


def _check_predictions(predictions: Any, masks: Masks) -> None:
    if getattr(predictions, "dtype", None) != np.bool_ or predictions.shape != masks.shape:
        got = (
            f"{getattr(predictions, 'dtype', type(predictions).__name__)} {getattr(predictions, 'shape', '')}"
        )
        problem = f"gave {got} for masks of {masks.shape}"
        raise ArgumentError("segmenter", problem, "let it return boolean masks, one an image")
