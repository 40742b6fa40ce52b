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
from mcf_bundle.errors import ArgumentError, CheckpointError
from mcf_bundle.networks.presets import make_denoiser
from mcf_bundle.training.checkpoint import read_checkpoint
from mcf_bundle.training.epoch_sampler import EpochSampler
from mcf_bundle.training.handlers import (
    EmaHandler,
    EpochSeedHandler,
    FinalValidationHandler,
    GradientClipHandler,
    ProgressHandler,
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


IDENTITY = {"preset": "smoke", "split_seed": 0, "patients": ["TCGA_HT_7692", "TCGA_CS_4941"]}


class Run:
    """A training as the bundle's: smoke preset, AdamW, EMA, clipping, resume; three steps an epoch."""

    def __init__(self, folder: Path, *, seed: int = 0, **identity: Any) -> None:
        torch.manual_seed(seed)
        self.network = make_denoiser("smoke")
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-3)
        self.ema = EmaHandler(self.network, decay=0.9)
        self.sampler = EpochSampler(RandomTriplets.labels, num_samples=6, class_shares=(0.5, 0.5))
        self.prepare_batch = NoisePrepareBatch(cosine_schedule(), max_step=500)
        parts = {"network": self.network, "optimizer": self.optimizer, "ema": self.ema}
        self.resume = ResumeHandler(folder, parts, IDENTITY | identity)
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


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ({"preset": "paper"}, "belongs to a run with preset: 'smoke'"),
        ({"split_seed": 1}, "belongs to a run with split_seed: 0"),
        ({"patients": ["TCGA_HT_7692"]}, "belongs to a run with patients: other ones"),
        ({"crop": 64}, "belongs to a run with crop: None"),
    ],
)
def test_the_state_of_another_run_is_refused(tmp_path: Path, other: dict[str, Any], problem: str) -> None:
    Run(tmp_path).train(1)
    with pytest.raises(CheckpointError) as caught:
        Run(tmp_path, **other).resume.restore(Engine(lambda engine, batch: None))
    assert caught.value.problem == problem


def test_the_order_of_the_patients_makes_no_other_run(tmp_path: Path) -> None:
    Run(tmp_path).train(1)
    assert Run(tmp_path, patients=IDENTITY["patients"][::-1]).train(2).epoch == 2


def test_the_state_names_no_patient(tmp_path: Path) -> None:
    Run(tmp_path).train(1)
    assert b"TCGA" not in (tmp_path / "training_state.pt").read_bytes()


def test_a_state_whose_parts_do_not_fit_is_refused(tmp_path: Path) -> None:
    Run(tmp_path).train(1)
    run = Run(tmp_path)
    run.resume.parts["network"] = make_denoiser("fast")
    with pytest.raises(CheckpointError, match=r"does not fit this run \(RuntimeError\)"):
        run.resume.restore(Engine(lambda engine, batch: None))


@pytest.mark.parametrize("missing", ["epoch", "rng", "identity", "ema"])
def test_a_state_that_lacks_something_is_refused(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "training_state.pt"
    Run(tmp_path).train(1)
    content = torch.load(path, weights_only=True)
    del content[missing]
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="is no training state of this project"):
        Run(tmp_path).resume.restore(Engine(lambda engine, batch: None))


def test_the_learning_rate_is_the_config_s(tmp_path: Path) -> None:
    Run(tmp_path).train(1)
    run = Run(tmp_path)
    run.optimizer.param_groups[0]["lr"] = 0.25
    run.train(2)
    assert run.optimizer.param_groups[0]["lr"] == 0.25
    assert run.optimizer.state_dict()["state"]


def test_the_state_is_written_as_often_as_asked_and_at_the_end(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.resume.every = 2
    written: list[int] = []
    save = run.resume.save
    run.resume.save = lambda engine: (written.append(engine.state.epoch), save(engine))
    run.train(5)
    assert written == [2, 4, 5]


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


@pytest.mark.parametrize("decay", [-0.1, 1.0, 2])
def test_a_decay_that_is_no_share_is_refused(decay: float) -> None:
    with pytest.raises(ArgumentError, match=r"ema_decay: expected a number in \[0, 1\)"):
        EmaHandler(constant(0.0), decay)


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


def test_without_a_comparable_metric_there_is_no_best(tmp_path: Path) -> None:
    engine = Engine(lambda engine, batch: None)
    story: dict[str, Any] = {"preset": "smoke", "kind": "gate", "patients": (), "info": {}}
    WeightsHandler(tmp_path, constant(0.0), **story, metric="auc", lower_is_better=False).attach(engine)
    engine.state.metrics["auc"] = float("nan")
    engine.fire_event(Events.COMPLETED)
    assert [path.name for path in tmp_path.iterdir()] == ["model_last.pt"]


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
