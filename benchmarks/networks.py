"""Networks and inputs that every benchmark of speed shares: random weights, one block of 256 x 256."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mcf_bundle.diffusion.sampler import FusionBatch
from mcf_bundle.networks.presets import make_denoiser

SIZE = 256
"""Side of the images, pixels."""


def random_denoiser(preset: str, device: torch.device) -> nn.Module:
    """Return a preset's network with random weights everywhere: a fresh one predicts exactly 0."""
    network = make_denoiser(preset)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return network.eval().to(device)


def random_block(count: int, device: torch.device) -> FusionBatch:
    """Return hosts without tumor in the network range, editable everywhere: what a bare sampler sees."""
    generator = torch.Generator().manual_seed(1)
    host, context = (
        torch.rand(count, channels, SIZE, SIZE, generator=generator).mul(2).sub(1).to(device)
        for channels in (3, 6)
    )
    everywhere = torch.ones(count, 1, SIZE, SIZE, dtype=torch.bool, device=device)
    return FusionBatch(host, torch.zeros_like(host), context, everywhere, tuple(range(count)))


def synchronize(result: Tensor) -> Tensor:
    """Wait until a result is there, so that a clock measures the work and not its queueing."""
    if result.device.type == "cuda":
        torch.cuda.synchronize(result.device)
    return result
