"""Checkpoints for use: the last and the best averaged weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from mcf_bundle.arguments import as_path, check_count
from mcf_bundle.networks.checkpoint import Checkpoint, save_checkpoint
from mcf_bundle.run_record import describe_code, device_name


class WeightsHandler:
    """Write the averaged weights for use: `last` after each validation, `best` when it improves.

    Each file also records the versions, the device and the number of threads that made it.

    Args:
        folder: where model_last.pt and model_best.pt go.
        network: whose weights are written.
        preset: name of the architecture.
        kind: see `Checkpoint`.
        patients: names of the training patients.
        validation_patients: names of the patients whose metric chooses the epoch.
        info: plain values to store.
        metric: key of the validation metric, lower is better if `lower_is_better`.
        lower_is_better: whether a fall of the metric is an improvement.
        first_epoch: the first that can be best, from 1: a part of the training before it, such as one on
            other slices, chooses nothing.
        start: checkpoint that the training started from, if any: its patients are listed too, and its hash
            stands in the info.

    Raises:
        ArgumentError: `first_epoch` is no whole number of 1 or more.
    """

    def __init__(
        self,
        folder: Path,
        network: nn.Module,
        *,
        preset: str,
        kind: str,
        patients: Iterable[str],
        validation_patients: Iterable[str],
        info: Mapping[str, Any],
        metric: str,
        lower_is_better: bool,
        first_epoch: int = 1,
        start: Checkpoint | None = None,
    ) -> None:
        check_count("weights#first_epoch", first_epoch)
        self.folder, self.network, self.metric, self.sign = (
            as_path(folder, "ckpt_dir"),
            network,
            metric,
            -1 if lower_is_better else 1,
        )
        device = next(network.parameters()).device
        self.meta: dict[str, Any] = {
            "preset": preset,
            "kind": kind,
            "patients": tuple(patients),
            "validation_patients": tuple(validation_patients),
            "start": start,
            "record": {
                **describe_code(),
                "device": device_name(device),
                "num_threads": torch.get_num_threads(),
            },
        }
        self.info, self.best, self.first_epoch = dict(info), -float("inf"), first_epoch
        if start is not None:
            self.info["init_ckpt"] = start.sha256

    def attach(self, engine: Engine) -> None:
        """Register with the validation engine, whose epoch is the trainer's."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the weights."""
        value = float(engine.state.metrics[self.metric])
        info = {**self.info, "epoch": engine.state.epoch, self.metric: value}
        save_checkpoint(self.folder / "model_last.pt", self.network.state_dict(), **self.meta, info=info)
        if engine.state.epoch >= self.first_epoch and self.sign * value > self.best:
            self.best = self.sign * value
            save_checkpoint(self.folder / "model_best.pt", self.network.state_dict(), **self.meta, info=info)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for exact resume."""
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.best = state["best"]
