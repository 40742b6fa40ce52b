"""Ignite handlers that MONAI and Ignite lack: epoch seeds, EMA, clipping, progress, exact resume, weights."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator, IterationEvents
from torch import nn
from tqdm import tqdm

from mcf_bundle.arguments import as_path
from mcf_bundle.errors import ArgumentError, CheckpointError
from mcf_bundle.training.checkpoint import hash_patient, save_atomically, save_checkpoint

logger = logging.getLogger(__name__)

STATE_FILE = "training_state.pt"
"""Name of the file that a run goes on from."""


class ProgressHandler:
    """Show a progress bar over the whole run, with the time left and the loss."""

    def __init__(self) -> None:
        self.bar: tqdm | None = None

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._update)
        engine.add_event_handler(Events.COMPLETED | Events.EXCEPTION_RAISED, self._close)

    def _open(self, engine: Engine) -> None:
        total = (engine.state.max_epochs or 0) * (engine.state.epoch_length or 0)
        self.bar = tqdm(total=total, initial=engine.state.iteration, desc="training", unit="step")

    def _update(self, engine: Engine) -> None:
        if self.bar is not None:
            output = cast("Mapping[str, Any]", engine.state.output)
            loss = f"{output['loss'].item():.4f}"
            self.bar.set_postfix(epoch=engine.state.epoch, loss=loss, refresh=False)
            self.bar.update()

    def _close(self, engine: Engine, *error: BaseException) -> None:
        if self.bar is not None:
            self.bar.close()
        if error:
            raise error[0]


class FinalValidationHandler:
    """Validate after the last epoch if the interval does not, so that short runs leave weights too.

    Args:
        validator: the validation engine.
        interval: epochs between the validations of the run.
    """

    def __init__(self, validator: Evaluator, interval: int) -> None:
        self.validator, self.interval = validator, interval

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Validate after the last epoch, unless the interval has done so."""
        if engine.state.epoch == engine.state.max_epochs and engine.state.epoch % self.interval:
            self.validator.run(engine.state.epoch)


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
        if not 0 <= decay < 1:
            raise ArgumentError("ema_decay", f"expected a number in [0, 1), got {decay!r}", "correct it")
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
    number of threads. Attach it after the validation, so that the state holds the validation's outcome.

    Args:
        folder: where training_state.pt goes.
        parts: objects with state_dict and load_state_dict, by name (network, optimizer, ema, ...).
        identity: what makes a run the same run (preset, kind, training patients, ...), plain values; a state
            with other ones is refused, since going on would mix two runs. What it leaves out (learning rate,
            loss, batch size, crop) may change between two parts of a run.
        every: epochs between two writes.
    """

    def __init__(
        self, folder: str | Path, parts: Mapping[str, Any], identity: Mapping[str, Any], every: int = 1
    ) -> None:
        self.path = as_path(folder, "ckpt_dir") / STATE_FILE
        self.parts, self.every = dict(parts), every
        patients = {"patients": sorted(map(hash_patient, identity.get("patients", ())))}
        self.identity = {**identity, **patients}

    def attach(self, engine: Engine) -> None:
        """Register with the engine."""
        engine.add_event_handler(Events.STARTED, self.restore)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save_when_due)

    def restore(self, engine: Engine) -> None:
        """Load the state, if there is one, and set the engine to its epoch.

        Raises:
            CheckpointError: if the file is damaged, or belongs to another run.
        """
        if not self.path.is_file():
            return
        state = self._read()
        for name, value in self.identity.items():
            if state["identity"].get(name) != value:
                stored = "other ones" if name == "patients" else repr(state["identity"].get(name))
                problem = f"belongs to a run with {name}: {stored}"
                raise CheckpointError(
                    self.path, problem, "give another ckpt_dir, or the settings of that run"
                )
        try:
            for name, part in self.parts.items():
                # The learning rate is the config's, so that a run can go on with a smaller one.
                rates = [group["lr"] for group in getattr(part, "param_groups", ())]
                part.load_state_dict(state[name])
                for group, rate in zip(getattr(part, "param_groups", ()), rates, strict=True):
                    group["lr"] = rate
        except (RuntimeError, KeyError, ValueError) as error:
            problem = f"does not fit this run ({type(error).__name__})"
            raise CheckpointError(self.path, problem, "give another ckpt_dir, or delete the file") from error
        torch.set_rng_state(state["rng"])
        engine.state.epoch = state["epoch"]
        engine.state.iteration = state["epoch"] * engine.state.epoch_length
        logger.info("resumed from %s after epoch %d", self.path, state["epoch"])

    def _read(self) -> dict[str, Any]:
        remedy = "delete it to start anew"
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many types for damaged files
            raise CheckpointError(self.path, "training state cannot be read", remedy) from error
        needed = {"identity", "epoch", "rng", *self.parts}
        if not isinstance(state, dict) or not needed <= state.keys():
            raise CheckpointError(self.path, "is no training state of this project", remedy)
        return state

    def _save_when_due(self, engine: Engine) -> None:
        if engine.state.epoch % self.every == 0 or engine.state.epoch == engine.state.max_epochs:
            self.save(engine)

    def save(self, engine: Engine) -> None:
        """Write the state."""
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        state = {"epoch": engine.state.epoch, "identity": self.identity, "rng": torch.get_rng_state()}
        save_atomically({**parts, **state}, self.path)


class WeightsHandler:
    """Write the averaged weights for use: `last` after each validation, `best` when it improves.

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
            as_path(folder, "ckpt_dir"),
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
