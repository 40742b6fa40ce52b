from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mcf_bundle.diffusion.losses import make_noise_loss
from mcf_bundle.diffusion.schedule import cosine_schedule
from mcf_bundle.errors import CheckpointError, DataError
from mcf_bundle.networks.presets import make_denoiser
from mcf_bundle.training.ema import EmaHandler
from mcf_bundle.training.epoch_sampler import EpochSampler
from mcf_bundle.training.handlers import (
    EpochSeedHandler,
    GradientClipHandler,
)
from mcf_bundle.training.inferer import NoisyInferer
from mcf_bundle.training.prepare_batch import NoisePrepareBatch
from mcf_bundle.training.resume import ResumeHandler
from tests.full_disk import full_disk


class RandomTriplets(Dataset):
    """Ten triplets of 32 x 32 noise, half of them with tumor."""

    labels = (0, 1) * 5

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(index)
        image, context = torch.randn(9, 32, 32, generator=generator).split((3, 6))
        return {"image": image, "context": context, "label": torch.tensor(self.labels[index])}


class DyingReader(RandomTriplets):
    """Kills the process that reads it, as a system out of memory does, at its ninth sample, in epoch 2."""

    def __init__(self) -> None:
        self.read = torch.zeros((), dtype=torch.int64).share_memory_()

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        self.read += 1
        if self.read == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


IDENTITY = {
    "preset": "smoke",
    "split_seed": 0,
    "patients": ["TCGA_HT_7692", "TCGA_CS_4941"],
    "validation_patients": ["TCGA_DU_5849"],
}


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
        self.loader: dict[str, Any] = {"dataset": RandomTriplets()}

    def train(self, epochs: int) -> Run:
        trainer = SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=epochs,
            train_data_loader=DataLoader(**self.loader, batch_size=2, sampler=self.sampler),
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


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut_short, flip_a_bit, Path.unlink])
def test_a_run_whose_last_state_is_damaged_goes_on_from_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    undisturbed = Run(tmp_path / "once").train(4)
    Run(tmp_path / "twice").train(3)
    damage(tmp_path / "twice" / "training_state.pt")
    with caplog.at_level(logging.INFO):
        second = Run(tmp_path / "twice", seed=99).train(4)
    assert len(second.draws) == 2 * 3  # epochs 3 and 4
    assert_same_state(second.network.state_dict(), undisturbed.network.state_dict())
    assert_same_state(second.optimizer.state_dict(), undisturbed.optimizer.state_dict())
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    if damage is not Path.unlink:
        assert len(warnings) == 1
        assert "training_state.pt: training state cannot be read; going on from" in warnings[0]
        assert "training_state_previous.pt, after epoch 2" in warnings[0]


def test_a_damaged_state_never_takes_the_place_of_the_good_one_before(tmp_path: Path) -> None:
    Run(tmp_path).train(3)
    cut_short(tmp_path / "training_state.pt")
    previous = (tmp_path / "training_state_previous.pt").read_bytes()
    Run(tmp_path).train(3)
    assert (tmp_path / "training_state_previous.pt").read_bytes() == previous
    assert Run(tmp_path).train(3).draws == []


@pytest.mark.parametrize("room", range(0, 9, 2))
def test_a_training_that_met_a_full_disk_is_finished_by_the_same_command(tmp_path: Path, room: int) -> None:
    undisturbed = Run(tmp_path / "once").train(3)
    folder = tmp_path / "twice"
    with full_disk(room), pytest.raises(DataError) as caught:
        Run(folder).train(3)
    assert caught.value.where == str(folder / "training_state.pt")
    assert caught.value.problem == "cannot be written (No space left on device)"
    assert caught.value.remedy.startswith("free disk space")
    for path in folder.iterdir():
        assert path.name in ("training_state.pt", "training_state_previous.pt")
        torch.load(path, weights_only=True)
    second = Run(folder).train(3)
    # Every epoch whose state had reached the disk is kept: a state takes a write and two fsyncs.
    assert len(second.draws) <= 3 * (3 - room // 3)
    assert_same_state(second.network.state_dict(), undisturbed.network.state_dict())
    assert_same_state(second.optimizer.state_dict(), undisturbed.optimizer.state_dict())


def test_a_training_whose_reader_was_killed_goes_on_after_the_last_finished_epoch(tmp_path: Path) -> None:
    undisturbed = Run(tmp_path / "once").train(3)
    first = Run(tmp_path / "twice")
    first.loader = {"dataset": DyingReader(), "num_workers": 1, "prefetch_factor": 1}
    with pytest.raises(RuntimeError, match=r"DataLoader worker .* (killed|exited)"):
        first.train(3)
    second = Run(tmp_path / "twice").train(3)
    assert len(second.draws) == 6
    assert_same_state(second.network.state_dict(), undisturbed.network.state_dict())
    assert_same_state(second.optimizer.state_dict(), undisturbed.optimizer.state_dict())


def test_two_damaged_states_are_refused_by_the_last_one_s_name(tmp_path: Path) -> None:
    Run(tmp_path).train(2)
    for name in ("training_state.pt", "training_state_previous.pt"):
        cut_short(tmp_path / name)
    with pytest.raises(CheckpointError, match=r"training_state\.pt: training state cannot be read"):
        Run(tmp_path).train(3)


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ({"preset": "paper"}, "belongs to a run with preset: 'smoke'"),
        ({"split_seed": 1}, "belongs to a run with split_seed: 0"),
        ({"patients": ["TCGA_HT_7692"]}, "belongs to a run with patients: other ones"),
        ({"validation_patients": []}, "belongs to a run with validation_patients: other ones"),
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


def test_a_state_from_before_validation_patients_were_stored_goes_on(tmp_path: Path) -> None:
    Run(tmp_path).train(1)
    content = torch.load(tmp_path / "training_state.pt", weights_only=True)
    del content["identity"]["validation_patients"]
    torch.save(content, tmp_path / "training_state.pt")
    assert Run(tmp_path).train(2).epoch == 2


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
