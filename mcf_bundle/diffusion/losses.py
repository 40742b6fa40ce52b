"""Losses between a prediction and its target: by name, and weighted sums of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mcf_bundle.arguments import check_number
from mcf_bundle.errors import ArgumentError

NOISE_LOSSES: dict[str, type[nn.Module]] = {"l2": nn.MSELoss, "l1": nn.L1Loss, "huber": nn.SmoothL1Loss}
"""Losses by the name that a config gives; huber is quadratic below 1."""


def make_noise_loss(name: str) -> nn.Module:
    """Make the loss `name`, averaged over all elements.

    Raises:
        ArgumentError: if the name does not exist.
    """
    if name not in NOISE_LOSSES:
        raise ArgumentError("loss", f"{name!r} does not exist", f"choose one of {', '.join(NOISE_LOSSES)}")
    return NOISE_LOSSES[name]()


class WeightedLoss(nn.Module):
    """Sum of named losses, each times its weight.

    An overlay adds a term to a bundle's `loss_function` in two lines:

        "loss_function#terms#mutual_information": {"_target_": "monai.losses.GlobalMutualInformationLoss"},
        "loss_function#weights#mutual_information": 0.1

    Every term is called as term(prediction, target) with what the network gave and what the batch preparation
    made the target, and gives one number.

    Args:
        terms: losses by name.
        weights: weight by name; 1 for a term without one.

    Attributes:
        values: each term of the last call without its weight, (), detached.

    Raises:
        ArgumentError: if there is no term, or a weight is not finite or belongs to no term.
    """

    def __init__(self, terms: Mapping[str, nn.Module], weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        weights = dict(weights or {})
        if not terms:
            raise ArgumentError("loss_function#terms", "holds no loss", "name at least one")
        for name, weight in weights.items():
            where = f"loss_function#weights#{name}"
            if name not in terms:
                raise ArgumentError(where, "belongs to no term", f"the terms are {', '.join(terms)}")
            check_number(where, weight)
        self.names, self.losses = tuple(terms), nn.ModuleList(terms.values())
        self.weights = {name: float(weights.get(name, 1.0)) for name in terms}
        self.values: dict[str, Tensor] = {}

    def forward(self, prediction: Any, target: Any) -> Tensor:
        """Return the weighted sum, ()."""
        values = {name: loss(prediction, target) for name, loss in zip(self.names, self.losses, strict=True)}
        self.values = {name: value.detach() for name, value in values.items()}
        return torch.stack([self.weights[name] * value for name, value in values.items()]).sum()
