from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from mcf_bundle.diffusion.guidance import class_gradient, guide_noise
from mcf_bundle.networks.presets import make_classifier

TIMESTEPS = torch.tensor([10, 200, 499])


def brightness_classifier(x: Tensor, timesteps: Tensor) -> Tensor:
    """Logits (0, sum of the pixels): p(1) is a sigmoid whose gradient is 1 - p(1) in every pixel."""
    score = x.flatten(1).sum(1)
    return torch.stack([torch.zeros_like(score), score], dim=1)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return make_classifier("smoke").eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("label", [0, 1])
def test_gradient_is_the_closed_form_of_a_logistic_classifier(label: int) -> None:
    x = torch.full((2, 1, 2, 2), 0.1)
    x[1] = -0.3
    probability = torch.sigmoid(x.flatten(1).sum(1))
    expected = (label - probability).reshape(-1, 1, 1, 1).expand_as(x)
    torch.testing.assert_close(
        class_gradient(brightness_classifier, x, torch.zeros(2).long(), label), expected
    )


def test_gradient_is_the_slope_of_the_log_probability(network: nn.Module, images: Tensor) -> None:
    direction = torch.randn(images.shape, generator=torch.Generator().manual_seed(2)) * 0.01

    def log_probability(x: Tensor) -> Tensor:
        with torch.no_grad():
            return network(x.double(), TIMESTEPS).log_softmax(1)[:, 1]

    network.double()
    rise = (log_probability(images + direction) - log_probability(images - direction)) / 2
    gradient = class_gradient(lambda x, t: network(x.double(), t), images, TIMESTEPS, 1)
    network.float()
    slope = (gradient * direction).flatten(1).sum(1)
    torch.testing.assert_close(slope, rise.float(), rtol=0.02, atol=1e-6)


def test_gradient_of_a_sample_does_not_depend_on_its_companions(network: nn.Module, images: Tensor) -> None:
    together = class_gradient(network, images, TIMESTEPS, 1)
    companions = torch.cat([images[:1], torch.zeros_like(images[1:])])
    assert torch.equal(class_gradient(network, companions, TIMESTEPS, 1)[0], together[0])
    order = torch.tensor([2, 0, 1])
    assert torch.equal(class_gradient(network, images[order], TIMESTEPS[order], 1), together[order])
    alone = torch.cat([class_gradient(network, images[i : i + 1], TIMESTEPS[i : i + 1], 1) for i in range(3)])
    torch.testing.assert_close(alone, together, rtol=1e-3, atol=1e-6)  # kernels round differently at batch 1


def test_gradient_works_inside_no_grad_and_leaves_no_trace(network: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        gradient = class_gradient(network, images, TIMESTEPS, 1)
    assert gradient.abs().sum() > 0
    assert not gradient.requires_grad
    assert not images.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())


def test_guidance_scale_zero_leaves_the_estimate() -> None:
    epsilon, gradient = torch.randn(2, 1, 3, 4, 4)
    assert torch.equal(guide_noise(epsilon, gradient, torch.tensor(0.3), 0.0), epsilon)


def test_guidance_subtracts_the_gradient_at_the_noise_s_scale() -> None:
    epsilon, gradient = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    guided = guide_noise(epsilon, gradient, torch.tensor(0.36), 2.0)
    torch.testing.assert_close(guided, torch.full_like(epsilon, -2 * 0.8))


def test_guiding_a_gaussian_by_a_linear_log_probability_shifts_its_mean() -> None:
    """A score moves by w times the gradient: the guided estimate is the exact one of the shifted Gaussian."""
    alpha_bar, shift = torch.tensor(0.5), 0.7
    x = torch.linspace(-2, 2, 5).reshape(1, 1, 5, 1)
    exact = (1 - alpha_bar).sqrt() * x  # x_t of a standard normal image is standard normal
    guided = guide_noise(exact, torch.ones_like(x), alpha_bar, shift)
    torch.testing.assert_close(guided, (1 - alpha_bar).sqrt() * (x - shift))
    assert math.isclose(float(guided.mean()), -float((1 - alpha_bar).sqrt()) * shift, rel_tol=1e-5)
