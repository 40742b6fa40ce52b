"""The picture of what the denoiser makes of validation slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from mcf_bundle.data.normalization import IntensityScale
from mcf_bundle.data.triplet_dataset import SliceRef, TripletDataset
from mcf_bundle.data.volume import Channel, Volume
from mcf_bundle.diffusion.schedule import NoiseSchedule, cosine_schedule
from mcf_bundle.errors import ArgumentError
from mcf_bundle.training.inferer import NoisyInferer
from mcf_bundle.training.sample_grid import SampleGridHandler

SCHEDULE, SIZE = cosine_schedule(), 32
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Normalized intensity of FLAIR in each slice, the same at every pixel."""

TITLE = "slices above, denoised below"


class ExactDenoiser(nn.Module):
    """The noise in a slice whose clean pixels are known: those of the previous slice, its conditioning."""

    def __init__(self, schedule: NoiseSchedule = SCHEDULE) -> None:
        super().__init__()
        self.schedule = schedule
        self.device_holder = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        assert not self.training
        noisy, clean = x[:, :3], x[:, 3:6]
        alpha_bar = self.schedule.at(timesteps + 1, noisy)
        return (noisy - alpha_bar.sqrt() * clean) / (1 - alpha_bar).sqrt()


def dataset(labels: tuple[int, ...]) -> TripletDataset:
    """One patient a slice, so that its neighbors are the slice itself."""
    scale = IntensityScale(background=(0.0, 0.0, 0.0), span=(100.0, 100.0, 100.0))
    items = []
    for level, label in zip(LEVELS, labels, strict=True):
        image = np.zeros((1, 3, SIZE, SIZE), np.uint8)
        image[:, Channel.FLAIR] = round(100 * level)
        mask = np.full((1, SIZE, SIZE), bool(label))
        items.append(SliceRef(Volume("p", "", (1,), image, mask), scale, 0))
    return TripletDataset(items)


def handler(folder: Path, labels: tuple[int, ...], **settings: int) -> SampleGridHandler:
    writer = SummaryWriter(str(folder))
    return SampleGridHandler(writer, ExactDenoiser(), dataset(labels), SCHEDULE, NoisyInferer(), **settings)


@pytest.mark.parametrize(
    ("labels", "count", "chosen"),
    [((0, 1, 0, 1, 1), 2, (1, 3)), ((0, 1, 0, 1, 1), 4, (1, 3, 4)), ((0, 0, 0, 0, 0), 4, (0, 1, 2, 3))],
    ids=["first tumors", "fewer tumors than places", "no tumor"],
)
def test_the_first_tumor_slices_stand_above_what_an_exact_denoiser_gives_back(
    tmp_path: Path, labels: tuple[int, ...], count: int, chosen: tuple[int, ...]
) -> None:
    grid = handler(tmp_path, labels, start_step=300, steps=3, count=count).draw()
    assert grid.shape == (1, 2 * SIZE, len(chosen) * SIZE)
    assert grid.dtype == torch.float32
    for place, position in enumerate(chosen):
        column = grid[0, :, place * SIZE : (place + 1) * SIZE]
        torch.testing.assert_close(column, torch.full_like(column, LEVELS[position]), rtol=0, atol=1e-4)


@pytest.mark.parametrize("step", [0, 1001])
def test_a_step_outside_the_schedule_is_refused_before_the_training(tmp_path: Path, step: int) -> None:
    with pytest.raises(ArgumentError, match=rf"grid_step: {step} is outside \[1, 1000\]"):
        handler(tmp_path, (1, 1, 1, 1, 1), start_step=step)


def test_a_small_step_takes_no_more_calls_than_it_has(tmp_path: Path) -> None:
    assert handler(tmp_path, (1, 1, 1, 1, 1), start_step=3, steps=10).settings.steps == 3


def test_the_pictures_of_all_validations_are_written_at_once_into_one_file(tmp_path: Path) -> None:
    engine = Engine(lambda engine, batch: None)
    handler(tmp_path, (1, 1, 1, 1, 1)).attach(engine)
    for epoch in (7, 14):
        engine.state.epoch = epoch
        engine.fire_event(Events.COMPLETED)
        recorded = EventAccumulator(str(tmp_path))
        recorded.Reload()
        image = recorded.Images(TITLE)[-1]
        assert (image.step, image.width, image.height) == (epoch, 4 * SIZE, 2 * SIZE)
    assert len(list(tmp_path.glob("events.*"))) == 1
