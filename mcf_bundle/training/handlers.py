"""Small Ignite handlers that MONAI and Ignite lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator, IterationEvents
from torch import nn
from tqdm import tqdm


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


class CooldownHandler:
    """Lower the learning rate linearly over the last epochs, to nearly 0 at the last step.

    The rate is a function of the step alone, so a resumed run has the rates of one that was never stopped.
    With the constant rate before, this is the schedule of Hägele et al., "Scaling Laws and Compute-Optimal
    Training Beyond Fixed Training Durations" (NeurIPS 2024), section 3: a longer run needs no new beginning,
    but goes on from a state before the cooldown.

    Args:
        optimizer: whose rates are lowered, from what they are now.
        epochs: length of the cooldown, 1 or more.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, epochs: int) -> None:
        self.optimizer, self.epochs = optimizer, epochs
        self.rates = [group["lr"] for group in optimizer.param_groups]

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Set the rates of the step that begins."""
        epoch_length, max_epochs = engine.state.epoch_length or 1, engine.state.max_epochs or 1
        steps_left = max_epochs * epoch_length - engine.state.iteration + 1
        share = min(1.0, steps_left / (self.epochs * epoch_length))
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = share * rate


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
