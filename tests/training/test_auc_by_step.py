"""How well a classifier of noisy slices does, against classifiers whose AUC is known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mcf_bundle.data.normalization import IntensityScale
from mcf_bundle.data.training_data import LeveledSlice
from mcf_bundle.data.triplet_dataset import SliceRef
from mcf_bundle.data.volume import Volume
from mcf_bundle.diffusion.schedule import cosine_schedule
from mcf_bundle.errors import ArgumentError, CheckpointError
from mcf_bundle.networks.checkpoint import save_checkpoint
from mcf_bundle.training.auc_by_step import AucReport, measure_auc_by_step, score_and_label, tumor_scores
from mcf_bundle.training.inferer import NoisyInferer

SCHEDULE, INFERER = cosine_schedule(), NoisyInferer()
SCALE = IntensityScale(background=(0.0, 0.0, 0.0), span=(100.0, 100.0, 100.0))


class Brightness(nn.Module):
    """Calls bright slices tumor; a negative weight makes it wrong throughout."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        self.timesteps = timesteps
        score = 50 * self.weight * x.mean((1, 2, 3))
        return torch.stack([-score, score], dim=1)


class Data:
    """Ten slices, tumor in every second one; those are brighter, and higher up by `lift`."""

    def __init__(self, lift: float = 0.0, contrast: int = 60, size: int = 32) -> None:
        self.items = []
        for number in range(10):
            tumor = number % 2 == 1
            image = np.full((1, 3, size, size), 20 + contrast * tumor + number, np.uint8)
            volume = Volume(str(number), "", (1,), image, np.full((1, size, size), tumor))
            self.items.append(LeveledSlice(SliceRef(volume, SCALE, 0), 0.42 + lift * tumor))

    def leveled_slices(self, split: str) -> list[LeveledSlice]:
        return self.items

    def matched_slices(self, split: str, *, repeat: bool) -> list[SliceRef]:
        assert not repeat
        return [item.ref for item in self.items]

    def volumes(self, split: str) -> list[Volume]:
        return [item.ref.volume for item in self.items]


def measure(network: nn.Module, data: Data, *steps: int) -> dict:
    return measure_auc_by_step(network, data, SCHEDULE, steps=steps, inferer=INFERER)


@pytest.mark.parametrize(("weight", "auc"), [(1.0, 1.0), (-1.0, 0.0), (0.0, 0.5)])
def test_a_perfect_an_inverted_and_a_blind_classifier_have_their_auc(weight: float, auc: float) -> None:
    assert measure(Brightness(weight), Data(), 0, 100)["auc"] == {"0": auc, "100": auc}


def test_noise_hides_the_tumor() -> None:
    auc = measure(Brightness(), Data(), 0, 1000)["auc"]
    assert auc["0"] == 1 > auc["1000"]


@pytest.mark.parametrize(("lift", "auc"), [(0.2, 1.0), (0.0, 0.5)])
def test_the_baseline_knows_the_level_alone(lift: float, auc: float) -> None:
    result = measure(Brightness(0.0), Data(lift), 1)
    assert result["level_only_auc"] == {"all slices": auc, "level-matched slices": auc}
    assert result["slices"] == {"all": 10, "level-matched": 10}
    assert result["patients"] == 10


def test_scores_are_probabilities_in_the_order_of_the_slices() -> None:
    slices, network = Data().matched_slices("validation", repeat=False), Brightness(0.02)
    scores = tumor_scores(network, slices, SCHEDULE, 0, INFERER)
    assert scores.dtype == np.float64
    assert ((scores > 0) & (scores < 1)).all()
    assert list(np.argsort(scores)) == [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
    assert tumor_scores(network, [], SCHEDULE, 0, INFERER).shape == (0,)


@pytest.mark.parametrize(("step", "timestep"), [(0, 0), (1, 0), (300, 299)])
def test_the_network_is_told_the_step(step: int, timestep: int) -> None:
    network = Brightness()
    tumor_scores(network, Data().matched_slices("validation", repeat=False), SCHEDULE, step, INFERER)
    assert set(network.timesteps.tolist()) == {timestep}


def test_one_class_alone_has_no_auc() -> None:
    data = Data()
    data.items = data.items[::2]
    assert measure(Brightness(), data, 1)["auc"]["1"] is None


def test_score_and_label_are_columns_for_the_metric() -> None:
    score, label = score_and_label(
        {"pred": torch.tensor([[0.0, 0.0], [0.0, 9.0]]), "label": torch.tensor([0, 1])}
    )
    assert score.shape == label.shape == (2, 1)
    torch.testing.assert_close(score[:, 0], torch.tensor([0.5, 1 / (1 + math.exp(-9))]))


def report(folder: Path) -> AucReport:
    return AucReport(folder, Brightness(0.0), Data(), SCHEDULE, steps=(0,), inferer=INFERER)


@pytest.mark.parametrize(
    ("weights", "used", "auc"),
    [
        ({"best": 1.0, "last": -1.0}, "model_best.pt", 1.0),
        ({"last": -1.0}, "model_last.pt", 0.0),
    ],
)
def test_the_best_checkpoint_is_judged_and_the_last_where_there_is_no_best(
    tmp_path: Path, weights: dict[str, float], used: str, auc: float
) -> None:
    story = {"preset": "smoke", "kind": "gate", "patients": (), "info": {}}
    for name, weight in weights.items():
        save_checkpoint(tmp_path / f"model_{name}.pt", Brightness(weight).state_dict(), **story)
    result = report(tmp_path).run()
    written = json.loads((tmp_path / "auc_by_step.json").read_text())
    assert written == {"checkpoint": used, **result}
    assert written["auc"] == {"0": auc}


@pytest.mark.parametrize("step", [-1, 1001])
def test_a_step_outside_the_schedule_is_refused_before_the_training(tmp_path: Path, step: int) -> None:
    with pytest.raises(ArgumentError, match=rf"auc_steps: {step} is outside \[0, 1000\]"):
        AucReport(tmp_path, Brightness(), Data(), SCHEDULE, steps=(0, step), inferer=INFERER)


def test_without_a_checkpoint_there_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        report(tmp_path).run()
    assert not list(tmp_path.iterdir())
