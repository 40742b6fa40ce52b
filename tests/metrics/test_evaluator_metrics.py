"""The metric classes in the hands of MONAI's evaluator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from torch import Tensor

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.classification import classification_scores
from mcf_bundle.metrics.evaluator_metrics import ClassificationMetric, SegmentationMetric
from mcf_bundle.metrics.segmentation import segmentation_scores
from tests.metrics.masks import EMPTY, HALF, TUMOR, Mask, random_pair

PAIRS = [*(random_pair(seed, (24, 24)) for seed in range(3)), (np.zeros((24, 24), bool),) * 2]


def batch(masks: Any, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.from_numpy(np.stack(list(masks)))[:, None].to(dtype)


@pytest.mark.parametrize("metric", ["dice", "jaccard", "hd95", "asd"])
@pytest.mark.parametrize(("denominator", "counted"), [("tumor slices", 3), ("all slices", 4)])
@pytest.mark.parametrize("spacing", [None, (0.5, 2.0)])
def test_the_mean_is_that_of_the_functions(metric: str, denominator: str, counted: int, spacing: Any) -> None:
    found = SegmentationMetric(metric, denominator=denominator, spacing_mm=spacing)
    for start in (0, 2):
        pairs = PAIRS[start : start + 2]
        found(batch(p for p, _ in pairs), batch(r for _, r in pairs))
    expected = [segmentation_scores(p, r, spacing_mm=spacing)[metric] for p, r in PAIRS[:counted]]
    assert found.aggregate().item() == pytest.approx(np.mean(expected), rel=1e-6)


def test_a_list_of_volumes_counts_like_a_batch() -> None:
    pair = random_pair(5, (6, 16, 16))
    found = SegmentationMetric("asd")
    found([torch.from_numpy(pair[0])[None]], [torch.from_numpy(pair[1])[None]])
    assert found.aggregate().item() == pytest.approx(segmentation_scores(*pair)["asd"], rel=1e-6)


@pytest.mark.parametrize("metric", ["dice", "jaccard", "hd95", "asd"])
def test_a_miss_scores_the_worst_and_is_counted(metric: str) -> None:
    found = SegmentationMetric(metric)
    found(batch([TUMOR, EMPTY, EMPTY]), batch([TUMOR, TUMOR, EMPTY]))
    worst = 8 * math.sqrt(2) / 2 if metric in ("hd95", "asd") else 0.5
    assert found.aggregate().item() == pytest.approx(worst)


def test_without_tumor_slices_there_is_no_number() -> None:
    found = SegmentationMetric()
    found(batch([EMPTY]), batch([EMPTY]))
    assert math.isnan(found.aggregate().item())


@pytest.mark.parametrize("value", [0.5, 0.999, 2.0, float("nan")])
def test_probabilities_are_refused(value: float) -> None:
    with pytest.raises(ArgumentError, match=r"y_pred: expected a mask of 0 and 1"):
        SegmentationMetric()(batch([HALF]) * value, batch([HALF]))


def test_a_channel_that_is_not_there_is_refused() -> None:
    with pytest.raises(ArgumentError, match="channel: there are 1 channels and no number 1"):
        SegmentationMetric(channel=1)(batch([HALF]), batch([HALF]))


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "f1", "mcc", "auc", "calibration_error"])
def test_a_classifier_is_scored_over_all_batches_together(metric: str) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 20)
    probabilities = rng.random(20).astype(np.float32)
    found = ClassificationMetric(metric, threshold=0.4)
    for start in (0, 12):
        part = slice(start, start + 12)
        found(torch.from_numpy(probabilities[part])[:, None], torch.from_numpy(labels[part])[:, None])
    expected = classification_scores(labels, probabilities, threshold=0.4)[metric]
    assert found.aggregate().item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: SegmentationMetric("surface_dice"), "metric: expected one of dice, jaccard, hd95, asd"),
        (lambda: SegmentationMetric(denominator="pooled per patient"), "does not know the patients"),
        (lambda: SegmentationMetric(denominator="mean"), "denominator: expected"),
        (lambda: ClassificationMetric("precision"), "metric: expected one of accuracy"),
        (lambda: SegmentationMetric().aggregate(), "no batch came"),
        (lambda: ClassificationMetric().aggregate(), "no batch came"),
        (lambda: SegmentationMetric()(batch([HALF])), "reference masks are missing"),
        (lambda: ClassificationMetric()(torch.rand(3, 2), torch.ones(3)), "one probability and one label"),
    ],
)
def test_bad_arguments_are_refused(make: Any, problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        make()


def evaluator(metrics: dict[str, Any], pairs: list[tuple[Mask, Mask]]) -> Any:
    """An evaluator built from a config, whose network hands its input through."""
    data = [
        {"image": torch.from_numpy(p)[None].float(), "label": torch.from_numpy(r)[None]} for p, r in pairs
    ]
    handler = {
        "_target_": "monai.handlers.IgniteMetricHandler",
        "output_transform": "$monai.handlers.from_engine(['pred', 'label'])",
    }
    config = {
        "imports": ["$import monai", "$import torch"],
        "evaluator": {
            "_target_": "monai.engines.SupervisedEvaluator",
            "device": "$torch.device('cpu')",
            "val_data_loader": "$torch.utils.data.DataLoader(@data, batch_size=2)",
            "network": "$torch.nn.Identity()",
            "key_val_metric": {name: {**handler, "metric_fn": value} for name, value in metrics.items()},
        },
    }
    parser = ConfigParser(config)
    parser["data"] = data
    return parser.get_parsed_content("evaluator")


def test_a_config_can_name_them_and_each_run_starts_anew() -> None:
    path = "mcf_bundle.metrics.evaluator_metrics.SegmentationMetric"
    metrics = {
        "val_dice": {"_target_": path},
        "val_hd95": {"_target_": path, "metric": "hd95", "denominator": "all slices"},
    }
    engine = evaluator(metrics, PAIRS)
    for _ in range(2):
        engine.run()
        scores = [segmentation_scores(*pair) for pair in PAIRS]
        assert engine.state.metrics["val_dice"] == pytest.approx(np.mean([s["dice"] for s in scores[:3]]))
        assert engine.state.metrics["val_hd95"] == pytest.approx(np.mean([s["hd95"] for s in scores]))
