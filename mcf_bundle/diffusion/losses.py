"""Losses between the predicted and the true noise, by name."""

from __future__ import annotations

from torch import nn

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
