"""The same scores as MONAI metric classes, for an evaluator's `key_metric` and `additional_metrics`.

Each goes into a `monai.handlers.IgniteMetricHandler` as its `metric_fn`. A class here computes one number for
the selection of a checkpoint; what is reported comes from the per-case table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.metrics import CumulativeIterationMetric
from torch import Tensor

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.classification import CLASSIFICATION_METRICS, classification_scores
from mcf_bundle.metrics.denominator import Denominator, as_denominator
from mcf_bundle.metrics.masks import Mask, mask_of
from mcf_bundle.metrics.segmentation import DISTANCES, OVERLAPS, overlap_scores, segmentation_scores


class SegmentationMetric(CumulativeIterationMetric):
    """Mean score of FLAIR-abnormality masks over tumor slices or all slices.

    Empty masks are penalized, see `EmptyPolicy`: with them left out, a checkpoint that misses its hard tumors
    would win.

    Args:
        metric: `dice`, `jaccard`, `hd95` or `asd`.
        denominator: `tumor slices` or `all slices`; batches do not say which patient a slice is of.
        spacing_mm: one number or one for each axis; None gives distances in pixels.
        channel: which channel of a batch is the mask; the last one of one, and of background and tumor.

    Raises:
        ArgumentError: there is no such metric or denominator.
    """

    def __init__(
        self,
        metric: str = "dice",
        *,
        denominator: str = Denominator.TUMOR_SLICES,
        spacing_mm: float | Sequence[float] | None = None,
        channel: int = -1,
    ) -> None:
        super().__init__()
        if metric not in (*OVERLAPS, *DISTANCES):
            problem = f"expected one of {', '.join((*OVERLAPS, *DISTANCES))}, got {metric!r}"
            raise ArgumentError("metric", problem, "choose one")
        self.metric, self.denominator = metric, as_denominator(denominator)
        if self.denominator is Denominator.PATIENTS:
            problem = "an evaluator's metric does not know the patients"
            raise ArgumentError("denominator", problem, "take it from the per-case table, or count slices")
        self.spacing_mm, self.channel = spacing_mm, channel

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **kwargs: Any) -> Tensor:
        """Return the score of each case, (B, 1), float32; nan where the denominator does not count it."""
        if y is None:
            raise ArgumentError("y", "the reference masks are missing", "pass (prediction, reference)")
        pairs = zip(y_pred, y, strict=True)
        scores = [self._score(mask_of(p, self.channel), mask_of(r, self.channel)) for p, r in pairs]
        return torch.tensor(scores, device=y_pred.device)[:, None]

    def aggregate(self) -> Tensor:
        """Return the mean over the cases that count, (); nan if there are none."""
        scores = self.get_buffer()
        if not isinstance(scores, Tensor):
            raise ArgumentError("y_pred", "no batch came", "evaluate at least one")
        return scores.nanmean()

    def _score(self, prediction: Mask, reference: Mask) -> float:
        if self.denominator is Denominator.TUMOR_SLICES and not reference.any():
            return float("nan")
        if self.metric in OVERLAPS:
            return overlap_scores(prediction, reference)[self.metric]
        return segmentation_scores(prediction, reference, spacing_mm=self.spacing_mm)[self.metric]


class ClassificationMetric(CumulativeIterationMetric):
    """One score of a classifier of slices over all cases of an evaluation.

    `mcf_bundle.training.auc_by_step.score_and_label` makes its input from an engine's output.

    Args:
        metric: from `CLASSIFICATION_METRICS`.
        threshold: probabilities above it are called tumor.

    Raises:
        ArgumentError: there is no such metric.
    """

    def __init__(self, metric: str = "balanced_accuracy", *, threshold: float = 0.5) -> None:
        super().__init__()
        if metric not in CLASSIFICATION_METRICS:
            problem = f"expected one of {', '.join(CLASSIFICATION_METRICS)}, got {metric!r}"
            raise ArgumentError("metric", problem, "choose one")
        self.metric, self.threshold = metric, threshold

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **kwargs: Any) -> Tensor:
        """Pair probability of tumor, (B,) or (B, 1), with label, (B,) or (B, 1): (B, 2)."""
        if y is None or y.numel() != len(y_pred) or y_pred.numel() != len(y_pred):
            shapes = f"{tuple(y_pred.shape)} and {None if y is None else tuple(y.shape)}"
            problem = f"expected one probability and one label for each case, got {shapes}"
            raise ArgumentError("y_pred", problem, "pass the probability of tumor alone")
        return torch.stack([y_pred.reshape(-1).float(), y.reshape(-1).float()], dim=1)

    def aggregate(self) -> Tensor:
        """Return the score, (), float64."""
        cases = self.get_buffer()
        if not isinstance(cases, Tensor):
            raise ArgumentError("y_pred", "no batch came", "evaluate at least one")
        probabilities, labels = cases.cpu().double().numpy().T
        scores = classification_scores(labels, probabilities, threshold=self.threshold)
        return torch.tensor(scores[self.metric], dtype=torch.float64)
