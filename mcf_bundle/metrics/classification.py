"""Scores of a classifier of slices, tumor against none, from labels and predicted probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.metrics import compute_confusion_matrix_metric
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from mcf_bundle.arguments import check_share
from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.calibration import calibration_error

CLASSIFICATION_METRICS = (
    "accuracy",
    "balanced_accuracy",
    "f1",
    "sensitivity",
    "specificity",
    "mcc",
    "auc",
    "calibration_error",
)
MONAI_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1": "f1 score",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "mcc": "matthews correlation coefficient",
}


def classification_scores(
    labels: ArrayLike, probabilities: ArrayLike, *, threshold: float = 0.5, bins: int = 15
) -> dict[str, float]:
    """Score predicted probabilities of tumor.

    Args:
        labels: (N,), 0 no mask in the slice, 1 tumor.
        probabilities: (N,), predicted probability of tumor, [0, 1].
        threshold: probabilities above it are called tumor, in [0, 1].
        bins: bins of the calibration error.

    Returns:
        `CLASSIFICATION_METRICS`, by name. With cases of one class only, the share of them that is right
        (sensitivity or specificity) is all that can be said and the rest is nan: an accuracy or F1 would
        flatter. A classifier that gives both classes one answer has `mcc` 0.

    Raises:
        ArgumentError: lengths differ, labels other than 0 and 1, or numbers outside [0, 1].
    """
    labels, probabilities = as_labels(labels), as_probabilities(probabilities)
    if labels.shape != probabilities.shape:
        problem = f"{len(probabilities)} probabilities came for {len(labels)} labels"
        raise ArgumentError("probabilities", problem, "give one for each case")
    check_share("threshold", threshold)
    return _scores(labels, probabilities, threshold, bins)


def roc_auc(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """Return the probability that a tumor case ranks above one without, ties half; nan with one class.

    Mann and Whitney's U from midranks. MONAI's `compute_roc_auc` gives the same and walks the cases in
    Python, too slow for a bootstrap.
    """
    tumor = int(labels.sum())
    healthy = len(labels) - tumor
    if not tumor or not healthy:
        return float("nan")
    u = rankdata(probabilities)[labels == 1].sum() - tumor * (tumor + 1) / 2
    return float(u / (tumor * healthy))


def as_labels(labels: ArrayLike) -> NDArray[np.int64]:
    """Return labels as (N,), int64.

    Raises:
        ArgumentError: another number of axes, or values other than 0 and 1.
    """
    array = np.asarray(labels)
    if array.ndim != 1:
        raise ArgumentError("labels", f"expected one axis, got shape {array.shape}", "flatten them")
    if not np.isin(array, (0, 1)).all():
        raise ArgumentError("labels", "expected 0 (no mask) and 1 (tumor) only", "map the classes to these")
    return array.astype(np.int64)


def as_probabilities(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Return probabilities as (N,), float64.

    Raises:
        ArgumentError: another number of axes, or numbers outside [0, 1], nan included.
    """
    try:
        array = np.asarray(probabilities, np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentError("probabilities", "expected numbers", "pass one for each case") from error
    if array.ndim != 1:
        problem = f"expected one axis, got shape {array.shape}"
        raise ArgumentError("probabilities", problem, "pass the tumor class alone")
    if not ((array >= 0) & (array <= 1)).all():
        raise ArgumentError(
            "probabilities", "some lie outside [0, 1] or are nan", "apply softmax or sigmoid to logits first"
        )
    return array


def _scores(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], threshold: float, bins: int
) -> dict[str, float]:
    called, tumor = probabilities > threshold, labels == 1
    quadrants: Sequence[Any] = (called & tumor, called & ~tumor, ~called & ~tumor, ~called & tumor)
    counts = torch.tensor([float(quadrant.sum()) for quadrant in quadrants], dtype=torch.float64)
    scores = {
        name: compute_confusion_matrix_metric(known, counts).item() for name, known in MONAI_NAMES.items()
    }
    if not tumor.any() or tumor.all():
        kept = ("sensitivity", "specificity")
        return {name: scores[name] if name in kept else float("nan") for name in CLASSIFICATION_METRICS}
    if np.isnan(scores["mcc"]):
        scores["mcc"] = 0.0
    scores["auc"] = roc_auc(labels, probabilities)
    scores["calibration_error"] = calibration_error(labels, probabilities, bins)
    return scores
