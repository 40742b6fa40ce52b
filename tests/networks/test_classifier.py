from __future__ import annotations

import pytest
import torch
from torch import nn

from mcf_bundle.networks.classifier import NoisyClassifier
from mcf_bundle.networks.presets import make_classifier


def make(
    spatial_dims: int = 2, stem: int = 1, classes: int = 2, *, attention: bool = False
) -> NoisyClassifier:
    """A small network with random values in every parameter; in a fresh one residual blocks give 0."""
    torch.manual_seed(0)
    network = NoisyClassifier(
        spatial_dims,
        3,
        classes,
        stem,
        channels=(8, 16),
        num_res_blocks=(1, 1),
        attention_levels=(False, attention),
        num_head_channels=8,
        norm_num_groups=4,
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


@pytest.mark.parametrize("size", [32, 64, 96, 128])
def test_every_image_size_has_logits(size: int) -> None:
    """MONAI's own encoder accepts 64 x 64 only."""
    with torch.no_grad():
        assert make()(torch.randn(2, 3, size, size), torch.tensor([0, 999])).shape == (2, 2)
        assert make_classifier("smoke")(torch.randn(1, 3, size, size), torch.tensor([5])).shape == (1, 2)


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("stem", [1, 2])
def test_smallest_size_in_both_dimensions(spatial_dims: int, stem: int) -> None:
    network = make(spatial_dims, stem, classes=5)
    with torch.no_grad():
        logits = network(torch.randn(2, 3, *[network.size_divisor] * spatial_dims), torch.tensor([1]))
    assert logits.shape == (2, 5)


def test_no_timesteps_mean_zero() -> None:
    network, x = make(), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        zeros = network(x, torch.zeros(2).long())
        assert torch.equal(network(x), zeros)
        assert not torch.equal(network(x, torch.tensor([800, 800])), zeros)


def test_each_sample_has_its_own_timestep() -> None:
    network, x = make(), torch.randn(1, 3, 32, 32).repeat(2, 1, 1, 1)
    with torch.no_grad():
        first, second = network(x, torch.tensor([10, 900]))
        swapped = network(x, torch.tensor([900, 10]))
    assert not torch.equal(first, second)
    torch.testing.assert_close(swapped, torch.stack([second, first]))


def test_every_parameter_learns() -> None:
    """No weight is left over from MONAI's head, which is replaced."""
    network = make().train()
    nn.functional.cross_entropy(
        network(torch.randn(4, 3, 32, 32), torch.arange(4)), torch.tensor([0, 1, 0, 1])
    ).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("attention", [False, True])
def test_a_sample_s_logits_do_not_depend_on_its_companions(attention: bool) -> None:
    network, x = make(attention=attention), torch.randn(3, 3, 32, 32)
    timesteps = torch.tensor([1, 2, 3])
    changed = torch.cat([x[:1], torch.randn(2, 3, 32, 32)])
    with torch.no_grad():
        assert torch.equal(network(x, timesteps)[0], network(changed, timesteps)[0])
