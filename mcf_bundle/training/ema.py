"""Exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from mcf_bundle.errors import ArgumentError


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
