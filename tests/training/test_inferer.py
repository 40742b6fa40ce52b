from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mcf_bundle.errors import ArgumentError
from mcf_bundle.training.inferer import NoisyInferer

GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(2, 3, 8, 8, generator=GENERATOR)
CONDITION = torch.randn(2, 6, 8, 8, generator=GENERATOR)
TIMESTEPS = torch.tensor([4, 9])


class Recorder(nn.Module):
    """A convolution that keeps what it was called with."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, 3, 1)

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        self.x, self.timesteps = x, timesteps
        self.output = self.layer(x)
        return self.output


def test_the_noisy_image_comes_first_and_its_conditioning_after_it() -> None:
    network = Recorder(9)
    NoisyInferer()(INPUTS, network, timesteps=TIMESTEPS, condition=CONDITION)
    assert torch.equal(network.x, torch.cat([INPUTS, CONDITION], dim=1))
    assert torch.equal(network.timesteps, TIMESTEPS)


def test_without_conditioning_the_noisy_image_comes_alone() -> None:
    network = Recorder(3)
    NoisyInferer()(INPUTS, network, timesteps=TIMESTEPS)
    assert torch.equal(network.x, INPUTS)


@pytest.mark.parametrize(
    ("precision", "dtype", "tolerance"),
    [("float32", torch.float32, 0), ("bfloat16", torch.bfloat16, 0.05)],
)
def test_the_network_runs_at_its_precision_and_the_output_is_float32(
    precision: str, dtype: torch.dtype, tolerance: float
) -> None:
    network = Recorder(9)
    output = NoisyInferer(precision)(INPUTS, network, timesteps=TIMESTEPS, condition=CONDITION)
    assert output.dtype == network.x.dtype == torch.float32
    assert network.output.dtype == dtype
    torch.testing.assert_close(output, network.layer(network.x), rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("precision", "message"),
    [
        ("half", "precision: 'half' does not exist; choose one of float32, bfloat16"),
        ("float16", "precision: float16 underflows in training; choose bfloat16 or float32"),
    ],
)
def test_a_precision_that_cannot_train_is_refused_with_those_that_can(precision: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=f"^{message}"):
        NoisyInferer(precision)


def test_channels_last_changes_the_layout_and_not_the_values() -> None:
    network = Recorder(9)
    output = NoisyInferer(channels_last=True)(INPUTS, network, timesteps=TIMESTEPS, condition=CONDITION)
    assert network.x.is_contiguous(memory_format=torch.channels_last)
    plain = NoisyInferer()(INPUTS, network, timesteps=TIMESTEPS, condition=CONDITION)
    torch.testing.assert_close(output, plain)


def test_gradients_flow_through_the_call() -> None:
    network = Recorder(9)
    NoisyInferer("bfloat16")(
        INPUTS, network, timesteps=TIMESTEPS, condition=CONDITION
    ).square().mean().backward()
    assert network.layer.weight.grad.abs().sum() > 0
