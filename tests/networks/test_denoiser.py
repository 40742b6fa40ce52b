from __future__ import annotations

import pytest
import torch
from monai.networks.nets import DiffusionModelUNet
from monai.networks.utils import pixelshuffle, pixelunshuffle

from mcf_bundle.networks.denoiser import Denoiser

SMALL_UNET = {
    "channels": (8, 16),
    "num_res_blocks": 1,
    "attention_levels": (False, False),
    "num_head_channels": 8,
    "norm_num_groups": 4,
}


def make(spatial_dims: int, stem: int, in_channels: int = 9, out_channels: int = 3) -> Denoiser:
    """A small network with random values in every parameter; a fresh one predicts exactly 0."""
    torch.manual_seed(0)
    network = Denoiser(spatial_dims, in_channels, out_channels, stem, **SMALL_UNET)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("stem", [1, 2, 4])
def test_output_has_the_image_s_channels_and_the_input_s_size(spatial_dims: int, stem: int) -> None:
    network = make(spatial_dims, stem)
    sides = (network.size_divisor * 2, *[network.size_divisor] * (spatial_dims - 1))
    with torch.no_grad():
        output = network(torch.randn(2, 9, *sides), torch.tensor([0, 999]))
    assert output.shape == (2, 3, *sides)
    assert output.abs().sum() > 0


@pytest.mark.parametrize(("in_channels", "out_channels"), [(3, 3), (1, 1), (4, 3)])
def test_conditioning_is_a_number_of_channels(in_channels: int, out_channels: int) -> None:
    with torch.no_grad():
        output = make(2, 2, in_channels, out_channels)(torch.randn(1, in_channels, 8, 8), torch.tensor([5]))
    assert output.shape == (1, out_channels, 8, 8)


def test_a_fresh_network_predicts_no_noise() -> None:
    network = Denoiser(2, 9, 3, 2, **SMALL_UNET)
    assert not network(torch.randn(1, 9, 8, 8), torch.tensor([5])).any()


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("stem", [2, 4])
def test_the_stem_is_exactly_invertible(spatial_dims: int, stem: int) -> None:
    """With the U-Net replaced by the identity, what goes in comes out bit for bit."""
    network = make(spatial_dims, stem, in_channels=3)
    image = torch.randn(2, 3, *[8] * spatial_dims)
    seen = []

    def identity(x: torch.Tensor, timesteps: torch.Tensor, context: None) -> torch.Tensor:
        seen.append(x.shape)
        return x

    network.unet.forward = identity
    assert torch.equal(network(image, torch.tensor([0])), image)
    assert seen == [(2, 3 * stem**spatial_dims, *[8 // stem] * spatial_dims)]
    assert torch.equal(pixelshuffle(pixelunshuffle(image, spatial_dims, stem), spatial_dims, stem), image)


def test_stem_one_is_monai_s_network_on_the_same_weights() -> None:
    network = make(2, 1)
    theirs = DiffusionModelUNet(spatial_dims=2, in_channels=9, out_channels=3, **SMALL_UNET).eval()
    theirs.load_state_dict({key.removeprefix("unet."): value for key, value in network.state_dict().items()})
    x, timesteps = torch.randn(2, 9, 16, 16), torch.tensor([3, 700])
    with torch.no_grad():
        assert torch.equal(network(x, timesteps), theirs(x, timesteps))


@pytest.mark.parametrize("stem", [1, 2])
def test_no_timesteps_mean_zero_and_one_timestep_serves_the_batch(stem: int) -> None:
    network, x = make(2, stem), torch.randn(2, 9, 16, 16)
    with torch.no_grad():
        zeros = network(x, torch.zeros(2).long())
        assert torch.equal(network(x), zeros)
        assert torch.equal(network(x, torch.zeros(1).long()), zeros)
        assert not torch.equal(network(x, torch.tensor([900])), zeros)
