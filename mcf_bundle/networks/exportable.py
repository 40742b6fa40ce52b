"""What MONAI's tools ask of a network of an image and a noise step: TorchScript, and whole checkpoints."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from monai.networks.utils import eval_mode
from torch import Tensor, nn


class CheckpointNetwork(nn.Module):
    """A network that takes the whole content of a checkpoint of this project for its weights."""

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load weights, also from the whole content of a checkpoint of this project.

        The model zoo's checks and `ckpt_export` without `key_in_ckpt` hand over what a file holds, here
        {"model": weights, "meta": facts}.
        """
        weights = state_dict["model"] if state_dict.keys() == {"model", "meta"} else state_dict
        return super().load_state_dict(weights, *args, **kwargs)


class ExportableNetwork(CheckpointNetwork):
    """A network called as network(x, timesteps), which MONAI's `ckpt_export` turns into TorchScript.

    ``torch.jit.script`` fails on the U-Nets of MONAI 1.6.1, and `ckpt_export` offers nothing else that keeps
    the steps an input: its option `use_trace` calls the network with the image alone. So scripting such a
    network gives a script around the network's trace, which takes every step, batch and size.

    Subclasses set the attributes before they are exported.

    Attributes:
        spatial_dims: 2 or 3.
        in_channels: channels of x.
        size_divisor: what the sides of x are multiples of.
    """

    spatial_dims: int
    in_channels: int
    size_divisor: int

    def example_inputs(self) -> tuple[Tensor, Tensor]:
        """Return x and timesteps that the network accepts, on its device: two images of different steps.

        Sides differ and are more than the smallest, so that no tracer takes one for a constant.
        """
        weight = next(self.parameters())
        sides = [self.size_divisor * (2 + axis) for axis in range(self.spatial_dims)]
        noise = torch.randn(2, self.in_channels, *sides, generator=torch.Generator().manual_seed(0))
        return noise.to(weight), torch.tensor([10, 500], device=weight.device)

    def __prepare_scriptable__(self) -> nn.Module:
        """Return what ``torch.jit.script`` compiles in the place of this network, which stays as it is."""
        return _OptionalTimesteps(trace_network(self))


def trace_network(network: ExportableNetwork) -> torch.jit.ScriptModule:
    """Trace a network in evaluation mode; the trace belongs to the kind of device that the network is on.

    Returns:
        A module called as module(x, timesteps), with timesteps (B,) or (1,).
    """
    with eval_mode(network), warnings.catch_warnings():
        # The warnings name checks of shapes that hold for every input that the network accepts.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        return torch.jit.trace(network, network.example_inputs())


class _OptionalTimesteps(nn.Module):
    """A traced network that takes None for timesteps 0, as the network itself does."""

    def __init__(self, network: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, timesteps: Tensor | None = None) -> Tensor:
        """Call the network; arguments and result are the network's."""
        if timesteps is None:
            timesteps = torch.zeros(1, dtype=torch.long, device=x.device)
        return self.network(x, timesteps)
