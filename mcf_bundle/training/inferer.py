"""How a training step calls a network: conditioning joined to the channels, autocast around the call."""

from __future__ import annotations

from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor, nn

from mcf_bundle.errors import ArgumentError
from mcf_bundle.networks.precision import autocast_call, get_precision


class NoisyInferer(Inferer):
    """Call a network on noised images, in the order (noisy image, conditioning) of MONAI's `concat` mode.

    Args:
        precision: "float32" or "bfloat16": autocast around the network call; schedules, losses and
            sampler state stay float32.
        channels_last: memory format of input and weights. On CPUs the backward pass of group normalization is
            slower with it (224 against 99 ms an image, a U-Net of 6 M parameters at 256 x 256 in bfloat16).
    """

    def __init__(self, precision: str = "float32", channels_last: bool = False) -> None:
        super().__init__()
        if precision == "float16":
            raise ArgumentError("precision", "float16 underflows in training", "choose bfloat16 or float32")
        get_precision(precision)
        self.precision, self.channels_last = precision, channels_last

    def __call__(  # type: ignore[override]
        self,
        inputs: Tensor,
        network: nn.Module,
        *,
        timesteps: Tensor,
        condition: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        """Return the network's output in float32.

        Args:
            inputs: (B, C, H, W[, D]), float32, network range, noised.
            network: called as network(x, timesteps).
            timesteps: (B,), int64, t - 1.
            condition: (B, C', H, W[, D]) or None.
        """
        x = inputs if condition is None else torch.cat([inputs, condition], dim=1)
        return autocast_call(network, self.precision, channels_last=self.channels_last)(x, timesteps)
