"""Ignite handlers that MONAI and Ignite lack: epoch seeds, EMA, exact resume, checkpoints for use."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from torch import nn

from mcf_bundle.errors import CheckpointError
from mcf_bundle.training.checkpoint import save_atomically, save_checkpoint

logger = logging.getLogger(__name__)


class HasEpoch(Protocol):
    """Anything whose random numbers are a function of seed and epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch."""


class EpochSeedHandler:
    """Tell samplers and batch preparation which epoch begins; seed torch for everything else.

    Args:
        targets: what draws random numbers.
        seed: seed of the run.
        fixed_epoch: the epoch to announce instead of the engine's, so that each validation sees the same
            noise.
    """

    def __init__(self, targets: Sequence[HasEpoch], *, seed: int = 0, fixed_epoch: int | None = None) -> None:
        self.targets, self.seed, self.fixed_epoch = tuple(targets), seed, fixed_epoch

    def attach(self, engine: Engine) -> None:
        """Register with the engine."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Set the epoch."""
        epoch = engine.state.epoch if self.fixed_epoch is None else self.fixed_epoch
        torch.manual_seed(self.seed * 1_000_003 + epoch)
        for target in self.targets:
            target.set_epoch(epoch)


class EmaHandler:
    """Keep an exponential moving average of a network's weights in a second network.

    The decay ramps up as (1 + n) / (10 + n) over the first updates n, so that short runs are not held back by
    the random start.

    Args:
        network: the network that is trained.
        decay: share of the old average kept at each step, in [0, 1).
    """

    def __init__(self, network: nn.Module, decay: float = 0.999) -> None:
        self.network, self.decay, self.updates = network, decay, 0
        self.average = copy.deepcopy(network).requires_grad_(False).eval()

    def attach(self, engine: Engine) -> None:
        """Register with the engine."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    @torch.no_grad()
    def __call__(self, engine: Engine) -> None:
        """Update the average."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for kept, new in zip(
            self.average.state_dict().values(), self.network.state_dict().values(), strict=True
        ):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - decay)
            else:
                kept.copy_(new)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for exact resume."""
        return {"average": self.average.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.average.load_state_dict(state["average"])
        self.updates = state["updates"]


class GradientClipHandler:
    """Scale the gradients of a network to a largest norm before each optimizer step.

    Args:
        network: whose gradients are clipped.
        max_norm: largest Euclidean norm over all parameters.
    """

    def __init__(self, network: nn.Module, max_norm: float = 1.0) -> None:
        self.network, self.max_norm = network, max_norm

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Clip the gradients."""
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.max_norm)


class ResumeHandler:
    """Write the whole training state after each epoch, and go on from it when it is there.

    Together with `EpochSeedHandler` a resumed run gives the same bytes as an undisturbed one at the same
    number of threads.

    Args:
        path: the file of the training state.
        parts: objects with state_dict and load_state_dict, by name (network, optimizer, ema, ...).
        preset: name of the architecture; a state of another one is refused.
        every: epochs between two writes.
    """

    def __init__(self, path: Path, parts: Mapping[str, Any], preset: str, every: int = 1) -> None:
        self.path, self.parts, self.preset, self.every = Path(path), dict(parts), preset, every

    def attach(self, engine: Engine) -> None:
        """Register with the engine."""
        engine.add_event_handler(Events.STARTED, self.restore)
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.every) | Events.COMPLETED, self.save)

    def restore(self, engine: Engine) -> None:
        """Load the state, if there is one, and set the engine to its epoch.

        Raises:
            CheckpointError: if the file is damaged or of another architecture.
        """
        if not self.path.is_file():
            return
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many types for damaged files
            raise CheckpointError(
                self.path, "training state cannot be read", "delete it to start anew"
            ) from error
        if state["preset"] != self.preset:
            raise CheckpointError(
                self.path,
                f"holds a run of preset {state['preset']!r}, wanted {self.preset!r}",
                "give another ckpt_dir, or the preset of that run",
            )
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        torch.set_rng_state(state["rng"])
        engine.state.epoch = state["epoch"]
        engine.state.iteration = state["epoch"] * engine.state.epoch_length
        logger.info("resumed from %s after epoch %d", self.path, state["epoch"])

    def save(self, engine: Engine) -> None:
        """Write the state."""
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        state = {"epoch": engine.state.epoch, "preset": self.preset, "rng": torch.get_rng_state()}
        save_atomically({**parts, **state}, self.path)


class WeightsHandler:
    """Write the averaged weights for use: `last` after each epoch, `best` when the validation improves.

    Args:
        folder: where model_last.pt and model_best.pt go.
        network: whose weights are written.
        preset: name of the architecture.
        kind: see `Checkpoint`.
        patients: names of the training patients.
        info: plain values to store.
        metric: key of the validation metric, lower is better if `lower_is_better`.
        lower_is_better: whether a fall of the metric is an improvement.
    """

    def __init__(
        self,
        folder: Path,
        network: nn.Module,
        *,
        preset: str,
        kind: str,
        patients: Iterable[str],
        info: Mapping[str, Any],
        metric: str,
        lower_is_better: bool,
    ) -> None:
        self.folder, self.network, self.metric, self.sign = (
            Path(folder),
            network,
            metric,
            -1 if lower_is_better else 1,
        )
        self.meta: dict[str, Any] = {"preset": preset, "kind": kind, "patients": tuple(patients)}
        self.info, self.best = dict(info), -float("inf")

    def attach(self, engine: Engine) -> None:
        """Register with the validation engine, whose epoch is the trainer's."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the weights."""
        value = float(engine.state.metrics[self.metric])
        info = {**self.info, "epoch": engine.state.epoch, self.metric: value}
        save_checkpoint(self.folder / "model_last.pt", self.network.state_dict(), **self.meta, info=info)
        if self.sign * value > self.best:
            self.best = self.sign * value
            save_checkpoint(self.folder / "model_best.pt", self.network.state_dict(), **self.meta, info=info)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for exact resume."""
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.best = state["best"]
