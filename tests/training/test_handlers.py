from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mcf_bundle.diffusion.losses import make_noise_loss
from mcf_bundle.diffusion.schedule import cosine_schedule
from mcf_bundle.errors import CheckpointError
from mcf_bundle.networks.presets import make_denoiser
from mcf_bundle.training.checkpoint import read_checkpoint
from mcf_bundle.training.epoch_sampler import EpochSampler
from mcf_bundle.training.handlers import (
    EmaHandler,
    EpochSeedHandler,
    GradientClipHandler,
    ResumeHandler,
    WeightsHandler,
)
from mcf_bundle.training.inferer import NoisyInferer
from mcf_bundle.training.prepare_batch import NoisePrepareBatch


class RandomTriplets(Dataset):
    """Ten triplets of 32 x 32 noise, half of them with tumor."""

    labels = (0, 1) * 5

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(index)
        image, context = torch.randn(9, 32, 32, generator=generator).split((3, 6))
        return {"image": image, "context": context, "label": torch.tensor(self.labels[index])}


class Run:
    """A training as the bundle's: smoke preset, AdamW, EMA, clipping, resume; three steps an epoch."""

    def __init__(self, folder: Path, *, seed: int = 0, preset: str = "smoke") -> None:
        torch.manual_seed(seed)
        self.network = make_denoiser("smoke")
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-3)
        self.ema = EmaHandler(self.network, decay=0.9)
        self.sampler = EpochSampler(RandomTriplets.labels, num_samples=6, class_shares=(0.5, 0.5))
        self.prepare_batch = NoisePrepareBatch(cosine_schedule(), max_step=500)
        parts = {"network": self.network, "optimizer": self.optimizer, "ema": self.ema}
        self.resume = ResumeHandler(folder / "training_state.pt", parts, preset)
        self.draws: list[float] = []

    def train(self, epochs: int) -> Run:
        trainer = SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=epochs,
            train_data_loader=DataLoader(RandomTriplets(), batch_size=2, sampler=self.sampler),
            network=self.network,
            optimizer=self.optimizer,
            loss_function=make_noise_loss("l2"),
            prepare_batch=self.prepare_batch,
            inferer=NoisyInferer(),
            decollate=False,
            train_handlers=[
                EpochSeedHandler([self.sampler, self.prepare_batch]),
                GradientClipHandler(self.network),
                self.ema,
                self.resume,
            ],
        )
        # What dropout or a random transform would draw from the global generator.
        trainer.add_event_handler(Events.ITERATION_STARTED, lambda: self.draws.append(torch.rand(()).item()))
        trainer.run()
        self.epoch, self.iteration = trainer.state.epoch, trainer.state.iteration
        return self


def assert_same_state(first: Any, second: Any) -> None:
    if isinstance(first, Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_same_state(first[key], second[key])
    elif isinstance(first, list | tuple):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_same_state(one, other)
    else:
        assert first == second


# --- Resume ----------------------------------------------------------------------------------------


def test_a_resumed_run_ends_in_the_same_bytes_as_an_undisturbed_one(tmp_path: Path) -> None:
    undisturbed = Run(tmp_path / "once").train(4)
    first = Run(tmp_path / "twice").train(2)
    second = Run(tmp_path / "twice", seed=99).train(4)  # other fresh weights: all state comes from the file
    assert (second.epoch, second.iteration) == (undisturbed.epoch, undisturbed.iteration) == (4, 12)
    assert first.draws + second.draws == undisturbed.draws
    assert_same_state(second.network.state_dict(), undisturbed.network.state_dict())
    assert_same_state(second.ema.state_dict(), undisturbed.ema.state_dict())
    assert_same_state(second.optimizer.state_dict(), undisturbed.optimizer.state_dict())


def test_a_finished_run_that_is_started_again_changes_nothing(tmp_path: Path) -> None:
    finished = Run(tmp_path).train(2)
    again = Run(tmp_path, seed=99).train(2)
    assert again.draws == []
    assert_same_state(again.network.state_dict(), finished.network.state_dict())


def test_without_a_state_file_the_run_starts_at_the_first_epoch(tmp_path: Path) -> None:
    run = Run(tmp_path).train(1)
    assert (run.epoch, run.iteration) == (1, 3)
    assert (tmp_path / "training_state.pt").is_file()


def test_a_damaged_state_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "training_state.pt"
    Run(tmp_path).train(1)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"training_state\.pt: training state cannot be read") as caught:
        Run(tmp_path).resume.restore(Engine(lambda engine, batch: None))
    assert caught.value.remedy == "delete it to start anew"


def test_the_state_of_another_preset_is_refused(tmp_path: Path) -> None:
    Run(tmp_path).train(1)
    with pytest.raises(CheckpointError, match="holds a run of preset 'smoke', wanted 'paper'"):
        Run(tmp_path, preset="paper").resume.restore(Engine(lambda engine, batch: None))


# --- Moving average --------------------------------------------------------------------------------


def constant(value: float) -> nn.Module:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, value)
    return network


def test_the_average_of_a_jump_has_a_closed_form() -> None:
    """What is left of 0 after n updates towards 1: the product of (1 + i) / (10 + i) = 1 / C(n + 9, 9)."""
    network = constant(0.0)
    ema = EmaHandler(network, decay=0.999)
    nn.init.constant_(network.weight, 1.0)
    for updates in range(1, 30):
        ema(Engine(lambda engine, batch: None))
        expected = 1 - 1 / math.comb(updates + 9, 9)
        assert ema.average.weight.item() == pytest.approx(expected, abs=1e-6)


def test_the_decay_stops_rising_at_its_value() -> None:
    network = constant(0.0)
    ema = EmaHandler(network, decay=0.25)
    nn.init.constant_(network.weight, 1.0)
    for _ in range(5):
        ema(Engine(lambda engine, batch: None))
    left = 1 / 10 * 2 / 11 * 0.25**3
    assert ema.average.weight.item() == pytest.approx(1 - left, abs=1e-7)


def test_the_average_copies_what_is_no_float_and_takes_no_gradient() -> None:
    network = nn.BatchNorm2d(2)
    ema = EmaHandler(network)
    for _ in range(3):
        network(torch.randn(4, 2, 3, 3))
    ema(Engine(lambda engine, batch: None))
    assert ema.average.num_batches_tracked.item() == 3
    assert not any(parameter.requires_grad for parameter in ema.average.parameters())
    assert not ema.average.training


# --- The other handlers ----------------------------------------------------------------------------


class Announced:
    def __init__(self) -> None:
        self.epochs: list[int] = []

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)


@pytest.mark.parametrize(("fixed", "expected"), [(None, [1, 2, 3]), (0, [0, 0, 0])])
def test_each_epoch_is_announced_and_seeds_torch(fixed: int | None, expected: list[int]) -> None:
    target, draws = Announced(), []
    engine = Engine(lambda engine, batch: draws.append(torch.rand(()).item()))
    EpochSeedHandler([target], seed=5, fixed_epoch=fixed).attach(engine)
    engine.run([0], max_epochs=3)
    assert target.epochs == expected
    assert len(set(draws)) == len(set(expected))


def test_gradients_are_clipped_to_the_largest_norm() -> None:
    network = nn.Linear(2, 1)
    for scale, expected in ((100.0, 0.5), (1e-3, 1e-3 * math.sqrt(3))):
        for parameter in network.parameters():
            parameter.grad = torch.full_like(parameter, scale)
        GradientClipHandler(network, max_norm=0.5)(Engine(lambda engine, batch: None))
        norm = torch.cat([parameter.grad.flatten() for parameter in network.parameters()]).norm().item()
        assert norm == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("lower_is_better", "best_epoch"), [(True, 2), (False, 1)])
def test_best_and_last_weights_follow_the_validation(
    tmp_path: Path, lower_is_better: bool, best_epoch: int
) -> None:
    network = constant(0.0)
    engine = Engine(lambda engine, batch: None)
    handler = WeightsHandler(
        tmp_path,
        network,
        preset="smoke",
        kind="denoiser",
        patients=["TCGA_CS_1"],
        info={"split_seed": 0},
        metric="val_loss",
        lower_is_better=lower_is_better,
    )
    handler.attach(engine)
    for epoch, value in enumerate((0.5, 0.25, 0.375), start=1):
        nn.init.constant_(network.weight, float(epoch))
        engine.state.metrics["val_loss"], engine.state.epoch = value, epoch
        engine.fire_event(Events.COMPLETED)
    best, last = (read_checkpoint(tmp_path / f"model_{which}.pt") for which in ("best", "last"))
    assert (best.weights["weight"].item(), last.weights["weight"].item()) == (best_epoch, 3)
    assert (best.info["epoch"], last.info["epoch"]) == (best_epoch, 3)
    assert last.info["val_loss"] == 0.375
    assert last.info["split_seed"] == 0
