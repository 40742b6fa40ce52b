"""AUC by step, with a classifier that looks at nothing but the brightness, on slices made for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mcf_bundle.data.level_matching import match_levels
from mcf_bundle.data.normalization import IntensityScale
from mcf_bundle.data.splits import TRAIN, VALIDATION
from mcf_bundle.data.training_data import LeveledSlice
from mcf_bundle.data.triplet_dataset import SliceRef
from mcf_bundle.data.volume import Volume
from mcf_bundle.diffusion.schedule import cosine_schedule
from mcf_bundle.errors import CheckpointError
from mcf_bundle.training.auc_by_step import AucReport, measure_auc_by_step, score_and_label, tumor_scores
from mcf_bundle.training.checkpoint import save_checkpoint
from mcf_bundle.training.inferer import NoisyInferer

SCHEDULE = cosine_schedule()
INFERER = NoisyInferer()
BRIGHT, DARK = 200, 100
LOW, MIDDLE = 0.41, 0.51
"""Two axial levels in different bins."""


class Brightness(nn.Module):
    """Logit of tumor: gain x mean of the image."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        mean = x.mean(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(mean), self.gain * mean], dim=1)


def leveled(*slices: tuple[int, float]) -> list[LeveledSlice]:
    """Slices of one patient from (class, level): tumor is bright, everything else dark."""
    labels = np.array([label for label, _ in slices])
    image = np.where(labels[:, None, None, None] == 1, BRIGHT, DARK) * np.ones((1, 3, 16, 16))
    mask = np.zeros((len(slices), 16, 16), bool)
    mask[labels == 1, 4:8, 4:8] = True
    numbers = tuple(range(1, len(slices) + 1))
    volume = Volume("P_A_1", "A", numbers, image.astype(np.uint8), mask)
    scale = IntensityScale((0.0,) * 3, (200.0,) * 3)
    return [LeveledSlice(SliceRef(volume, scale, index), level) for index, (_, level) in enumerate(slices)]


class Data:
    """Stands in for TrainingData."""

    def __init__(self, training: list[LeveledSlice], validation: list[LeveledSlice]) -> None:
        self.by_split = {TRAIN: training, VALIDATION: validation}

    def leveled_slices(self, split: str) -> list[LeveledSlice]:
        return self.by_split[split]

    def matched_slices(self, split: str, *, repeat: bool) -> list[SliceRef]:
        found = self.by_split[split]
        labels, levels = [int(item.ref.label) for item in found], [item.level for item in found]
        return match_levels([item.ref for item in found], labels, levels, repeat=repeat)

    def volumes(self, split: str) -> list[Volume]:
        return list({id(item.ref.volume): item.ref.volume for item in self.by_split[split]}.values())


@pytest.fixture
def data() -> Data:
    """A third of the training slices at the middle level have tumor, none at the low level."""
    training = leveled((0, LOW), (0, LOW), (0, MIDDLE), (0, MIDDLE), (1, MIDDLE))
    validation = leveled(*[(0, LOW)] * 6, *[(0, MIDDLE)] * 2, *[(1, MIDDLE)] * 4)
    return Data(training, validation)


@pytest.mark.parametrize(("gain", "expected"), [(5.0, 1.0), (-5.0, 0.0), (0.0, 0.5)])
def test_auc_without_noise_is_that_of_what_the_network_sees(data: Data, gain: float, expected: float) -> None:
    result = measure_auc_by_step(Brightness(gain), data, SCHEDULE, steps=[0], inferer=INFERER)
    assert result["auc"] == {"0": expected}


def test_noise_hides_the_tumor() -> None:
    many = leveled(*[(0, MIDDLE), (1, MIDDLE)] * 60)
    result = measure_auc_by_step(
        Brightness(1.0), Data(many, many), SCHEDULE, steps=[0, 300, 1000], inferer=INFERER
    )
    assert list(result["auc"]) == ["0", "300", "1000"]
    assert result["auc"]["0"] == result["auc"]["300"] == 1.0
    assert result["auc"]["1000"] == pytest.approx(0.5, abs=0.2)  # 60 x 60 pairs: standard deviation 0.05


def test_the_baseline_by_level_is_worked_out_by_hand(data: Data) -> None:
    result = measure_auc_by_step(Brightness(1.0), data, SCHEDULE, steps=[0], inferer=INFERER)
    # Scores are 0 at the low and 1/3 at the middle level: 6 of 8 healthy slices lie below every tumor slice,
    # 2 tie with them. At the middle level alone all tie.
    assert result["level_only_auc"] == {
        "all slices": pytest.approx((6 + 2 / 2) / 8),
        "level-matched slices": pytest.approx(0.5),
    }
    assert result["slices"] == {"all": 12, "level-matched": 4}
    assert result["patients"] == 1


def test_auc_is_measured_again_with_the_same_noise(data: Data) -> None:
    first, again = (
        measure_auc_by_step(Brightness(0.1), data, SCHEDULE, steps=[900], inferer=INFERER) for _ in range(2)
    )
    assert first == again


def test_scores_are_probabilities_of_tumor_one_a_slice() -> None:
    slices = [item.ref for item in leveled(*[(0, LOW)] * 9, (1, LOW))]
    scores = tumor_scores(Brightness(2.0), slices, SCHEDULE, 0, INFERER)
    # In the networks' range a dark slice is 0 and a bright one 1.
    np.testing.assert_allclose(scores, [0.5] * 9 + [1 / (1 + np.exp(-2.0))], atol=1e-6)
    assert tumor_scores(Brightness(2.0), [], SCHEDULE, 0, INFERER).shape == (0,)


def test_an_engine_s_output_gives_score_and_label_in_columns() -> None:
    output = {"pred": torch.tensor([[0.0, 0.0], [0.0, 2.0]]), "label": torch.tensor([0, 1])}
    score, label = score_and_label(output)
    torch.testing.assert_close(score, torch.tensor([[0.5], [torch.tensor(2.0).sigmoid()]]))
    assert label.tolist() == [[0], [1]]


def write(folder: Path, name: str, gain: float) -> None:
    save_checkpoint(
        folder / name, Brightness(gain).state_dict(), preset="smoke", kind="classifier", patients=[], info={}
    )


def report(folder: Path, data: Data) -> AucReport:
    return AucReport(folder, Brightness(0.0), data, SCHEDULE, steps=[0], inferer=INFERER)


@pytest.mark.parametrize("last", [None, -5.0])
def test_the_report_is_of_the_best_checkpoint(data: Data, tmp_path: Path, last: float | None) -> None:
    write(tmp_path, "model_best.pt", 5.0)
    if last is not None:
        write(tmp_path, "model_last.pt", last)
    result = report(tmp_path, data).run()
    assert result["auc"] == {"0": 1.0}
    written = json.loads((tmp_path / "auc_by_step.json").read_text())
    assert written == {"checkpoint": "model_best.pt", **result}


def test_without_a_best_checkpoint_the_report_is_of_the_last(data: Data, tmp_path: Path) -> None:
    write(tmp_path, "model_last.pt", -5.0)
    assert report(tmp_path, data).run()["auc"] == {"0": 0.0}
    assert json.loads((tmp_path / "auc_by_step.json").read_text())["checkpoint"] == "model_last.pt"


def test_without_a_checkpoint_there_is_no_report(data: Data, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        report(tmp_path, data).run()
    assert list(tmp_path.iterdir()) == []
