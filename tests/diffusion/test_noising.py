from __future__ import annotations

import pytest
import torch

from mcf_bundle.diffusion.noising import add_noise, estimate_clean
from mcf_bundle.diffusion.schedule import cosine_schedule


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_noise_level_is_the_schedule_s(image: torch.Tensor) -> None:
    alpha_bar = cosine_schedule().at(300, image)
    epsilon = torch.randn(2, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    noised = add_noise(torch.zeros_like(epsilon), epsilon, alpha_bar)
    assert noised.std().item() == pytest.approx((1 - alpha_bar).sqrt().item(), rel=0.01)


def test_no_step_leaves_the_image_exactly(image: torch.Tensor) -> None:
    assert torch.equal(add_noise(image, torch.randn_like(image), cosine_schedule().at(0, image)), image)


def test_signal_and_noise_keep_unit_variance_together() -> None:
    generator = torch.Generator().manual_seed(2)
    image, epsilon = torch.randn(2, 4, 1, 256, 256, generator=generator)
    noised = add_noise(image, epsilon, cosine_schedule().at(torch.tensor([1, 200, 600, 1000]), image))
    assert noised.var(dim=(1, 2, 3)).tolist() == pytest.approx([1.0] * 4, rel=0.02)


def test_estimate_of_the_clean_image_undoes_the_noise(image: torch.Tensor) -> None:
    epsilon = torch.randn(image.shape, generator=torch.Generator().manual_seed(3))
    alpha_bar = cosine_schedule().at(torch.tensor([1, 700]), image)
    restored = estimate_clean(add_noise(image, epsilon, alpha_bar), epsilon, alpha_bar)
    torch.testing.assert_close(restored, image, rtol=0, atol=2e-6)
