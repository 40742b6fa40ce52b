from __future__ import annotations

import math

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from mcf_bundle.errors import ArgumentError
from mcf_bundle.training.handlers import (
    CooldownHandler,
    EpochSeedHandler,
    FinalValidationHandler,
    GradientClipHandler,
    ProgressHandler,
)


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


def rates(optimizer: torch.optim.Optimizer, cooldown: int, epochs: int, done: int = 0) -> list[float]:
    """Return the rate of each step of a run with two steps an epoch that goes on after some epochs."""
    engine = Engine(lambda engine, batch: optimizer.param_groups[0]["lr"])
    seen: list[float] = []
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: seen.append(engine.state.output))
    CooldownHandler(optimizer, cooldown).attach(engine)
    engine.load_state_dict({"epoch": done, "epoch_length": 2, "max_epochs": epochs, "rng_states": None})
    engine.run([0, 1], max_epochs=epochs)
    return seen


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.8)


def test_the_rate_falls_linearly_over_the_last_epochs() -> None:
    assert rates(optimizer(), 2, 4) == pytest.approx([0.8, 0.8, 0.8, 0.8, 0.8, 0.6, 0.4, 0.2])
    assert rates(optimizer(), 2, 2) == pytest.approx([0.8, 0.6, 0.4, 0.2])


def test_a_run_that_goes_on_has_the_rates_of_one_that_was_not_stopped() -> None:
    assert rates(optimizer(), 2, 4, done=3) == pytest.approx([0.4, 0.2])


class Validator:
    def __init__(self) -> None:
        self.epochs: list[int] = []

    def run(self, epoch: int) -> None:
        self.epochs.append(epoch)


@pytest.mark.parametrize(
    ("epochs", "interval", "validated"), [(1, 5, [1]), (5, 5, []), (6, 5, [6]), (3, 1, []), (4, 3, [4])]
)
def test_the_last_epoch_is_validated_if_the_interval_does_not(
    epochs: int, interval: int, validated: list[int]
) -> None:
    validator, engine = Validator(), Engine(lambda engine, batch: None)
    FinalValidationHandler(validator, interval).attach(engine)
    engine.run([0, 1], max_epochs=epochs)
    assert validator.epochs == validated


def progress(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.split("\r")[-1]


def test_progress_counts_all_steps_and_shows_the_loss(capsys: pytest.CaptureFixture[str]) -> None:
    engine = Engine(lambda engine, batch: {"loss": torch.tensor(float(batch))})
    ProgressHandler().attach(engine)
    engine.run([1, 2, 3], max_epochs=2)
    line = progress(capsys)
    assert "6/6" in line
    assert "epoch=2" in line
    assert "loss=3.0000" in line


def test_progress_of_a_resumed_run_starts_where_it_left_off(capsys: pytest.CaptureFixture[str]) -> None:
    engine, handler = Engine(lambda engine, batch: {"loss": torch.tensor(0.0)}), ProgressHandler()

    def resume(engine: Engine) -> None:
        engine.state.epoch, engine.state.iteration = 1, 3

    started: list[int] = []
    engine.add_event_handler(Events.STARTED, resume)
    handler.attach(engine)
    engine.add_event_handler(Events.STARTED, lambda: started.append(handler.bar.n))
    engine.run([1, 2, 3], max_epochs=2)
    assert started == [3]
    assert "6/6" in progress(capsys)


def test_progress_lets_an_error_through(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(engine: Engine, batch: int) -> None:
        raise ArgumentError("crop", "is too large", "crop less")

    engine, handler = Engine(fail), ProgressHandler()
    handler.attach(engine)
    with pytest.raises(ArgumentError, match="crop: is too large"):
        engine.run([1], max_epochs=1)
    assert handler.bar is not None
    assert handler.bar.disable  # closed
