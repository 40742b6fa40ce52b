"""Stop a training whose validation no longer improves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from monai.engines import Evaluator

from mcf_bundle.arguments import check_count


class EarlyStopHandler:
    """Stop the trainer after a number of validations without improvement.

    Ignite's EarlyStopping sits on the evaluator and needs the trainer, which holds the evaluator: a circle in
    a config. This one sits on the trainer, and a run that had stopped stays stopped when it is resumed.
    Attach it after the validation and before `ResumeHandler`, of whose parts it is one.

    Args:
        validator: the validation engine; its epoch is the trainer's.
        metric: key of its metric.
        patience: validations without improvement; None never stops.
        lower_is_better: whether a fall of the metric is an improvement.
    """

    def __init__(
        self,
        validator: Evaluator,
        metric: str,
        *,
        patience: int | None = None,
        lower_is_better: bool = False,
    ) -> None:
        if patience is not None:
            check_count("patience", patience)
        self.validator, self.metric, self.patience = validator, metric, patience
        self.sign = -1 if lower_is_better else 1
        self.best, self.waited = -float("inf"), 0
        self.trainer: Engine | None = None

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        self.trainer = engine
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Count the validation, if this epoch has had one."""
        if (
            self.validator.state.epoch != engine.state.epoch
            or self.metric not in self.validator.state.metrics
        ):
            return
        # The first process decides for all: rounding may differ between them.
        metric: Any = idist.broadcast(float(self.validator.state.metrics[self.metric]))
        value = self.sign * float(metric)
        improved = value > self.best
        self.best, self.waited = (value, 0) if improved else (self.best, self.waited + 1)
        self._stop_when_due()

    def _stop_when_due(self) -> None:
        if self.trainer is not None and self.patience is not None and self.waited >= self.patience:
            self.trainer.terminate()

    def state_dict(self) -> dict[str, Any]:
        """Return the state for exact resume."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave; a run that had stopped stops again at once."""
        self.best, self.waited = state["best"], state["waited"]
        self._stop_when_due()
