"""The bundle's training beside a plain MONAI SupervisedTrainer with MONAI's loaders and default settings."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset
from monai.engines import DiffusionPrepareBatch, SupervisedTrainer
from monai.inferers import DiffusionInferer
from monai.networks.schedulers import DDPMScheduler
from monai.transforms import Compose, ConcatItemsd, EnsureChannelFirstd, LoadImaged, ScaleIntensityd
from torch import Tensor, nn

from benchmarks.row import Row
from mcf_bundle.data.lgg import dataset_root, list_slices
from mcf_bundle.networks.presets import make_denoiser
from mcf_bundle.resources import bundle_root

BATCH_SIZE = 8


class Clock:
    """Note when each step of a trainer began, got its batch and ended; stop it after some steps.

    Args:
        steps: steps that count.
        warm_up: steps before them.
    """

    def __init__(self, steps: int, warm_up: int = 1) -> None:
        self.steps, self.warm_up = steps, warm_up
        self.step_s: list[float] = []
        self.waiting_s: list[float] = []

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._begin)
        engine.add_event_handler(Events.GET_BATCH_COMPLETED, self._loaded)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._end)

    def _begin(self, engine: Engine) -> None:
        self.began = time.perf_counter()

    def _loaded(self, engine: Engine) -> None:
        self.loaded = time.perf_counter()

    def _end(self, engine: Engine) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.step_s.append(time.perf_counter() - self.began)
        self.waiting_s.append(self.loaded - self.began)
        if len(self.step_s) == self.warm_up + self.steps:
            engine.terminate()

    @property
    def counted(self) -> list[float]:
        """Seconds of each step after the warm-up."""
        return self.step_s[self.warm_up :]

    @property
    def waiting_share(self) -> float:
        """Share of the time that went into waiting for batches."""
        return sum(self.waiting_s[self.warm_up :]) / sum(self.counted)


class ConcatInferer(DiffusionInferer):
    """MONAI's inferer with the conditioning joined to the channels, which its engine cannot ask for."""

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:  # type: ignore[override]
        """Return the network's estimate of the noise."""
        return super().__call__(inputs, network, *args, mode="concat", **kwargs)


def our_trainer(dataset_dir: Path, ckpt_dir: Path, preset: str) -> Engine:
    """Return the trainer of train.json on whole slices, in batches of the benchmark."""
    config = ConfigParser()
    config.read_config(bundle_root("mcf_diffusion") / "configs/train.json")
    overrides = {"dataset_dir": str(dataset_dir), "ckpt_dir": str(ckpt_dir), "preset": preset}
    config.update({**overrides, "batch_size": BATCH_SIZE})
    return config.get_parsed_content("train#trainer")


def monai_trainer(dataset_dir: Path, preset: str, device: torch.device) -> Engine:
    """Return a plain trainer: our network and optimizer, MONAI's loaders, everything else as it comes."""
    network = make_denoiser(preset).to(device)
    keys = ["image", "previous", "next"]
    transforms = Compose(
        [
            LoadImaged(keys, reader="PILReader"),
            EnsureChannelFirstd(keys, channel_dim=-1),
            ScaleIntensityd(keys),
            ConcatItemsd(["previous", "next"], "context"),
        ]
    )
    data = []
    for patient in sorted(path for path in dataset_root(dataset_dir).iterdir() if path.is_dir()):
        images = [item.image for item in list_slices(patient)]
        slices = zip(images, images[1:], images[2:], strict=False)
        data += [{"previous": a, "image": b, "next": c, "label": 0} for a, b, c in slices]
    return SupervisedTrainer(
        device=device,
        max_epochs=100,
        train_data_loader=DataLoader(Dataset(data, transforms), batch_size=BATCH_SIZE, shuffle=True),
        network=network,
        optimizer=torch.optim.AdamW(network.parameters(), lr=5e-4),
        loss_function=nn.MSELoss(),
        inferer=ConcatInferer(DDPMScheduler(1000)),
        prepare_batch=DiffusionPrepareBatch(1000, condition_name="context"),
    )


def measure(
    dataset_dir: Path, scratch_dir: Path, *, preset: str, steps: int, repeats: int, device: torch.device
) -> list[Row]:
    """Return the rows of training: images a second, and the share of waiting for the loader.

    Args:
        dataset_dir: folder in the LGG layout.
        scratch_dir: where our trainer may write; each run gets a folder of its own.
        preset: of the network.
        steps: timed steps of each run.
        repeats: runs of each, in turn.
        device: where to train.
    """
    rates: dict[str, list[float]] = {"ours": [], "monai": []}
    waiting = []
    for repeat in range(repeats):
        for name in ("ours", "monai") if repeat % 2 == 0 else ("monai", "ours"):
            trainer = (
                our_trainer(dataset_dir, scratch_dir / str(repeat), preset)
                if name == "ours"
                else monai_trainer(dataset_dir, preset, device)
            )
            clock = Clock(steps)
            clock.attach(trainer)
            trainer.run()
            rates[name] += [BATCH_SIZE / seconds for seconds in clock.counted]
            if name == "ours":
                waiting.append(clock.waiting_share)
    where = f"{preset}, {device.type}, batches of {BATCH_SIZE}"
    return [
        Row(
            name=f"training ({where})",
            ours=statistics.median(rates["ours"]),
            peer=statistics.median(rates["monai"]),
            peer_name="monai SupervisedTrainer, MONAI's loaders, defaults",
            unit="images per second",
            bar=1.5,
            spread=(min(rates["ours"]), max(rates["ours"])),
            peer_spread=(min(rates["monai"]), max(rates["monai"])),
            n=len(rates["ours"]),
        ),
        Row(
            name=f"waiting for the loader ({where})",
            ours=statistics.median(waiting),
            peer=None,
            peer_name="",
            unit="share of the time",
            better="smaller",
            bar=0.05,
            limit=True,
            spread=(min(waiting), max(waiting)),
            n=repeats,
        ),
    ]
