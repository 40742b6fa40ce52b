from __future__ import annotations

import math

import pytest
import torch

from mcf_bundle.diffusion.fusion import FUSIONS, fuse_noised, get_fusion, noise_composite
from mcf_bundle.diffusion.schedule import cosine_schedule
from mcf_bundle.errors import ArgumentError

START_STEP = 400


def noise_level(fusion: str) -> float:
    """Standard deviation of x_L over a million pixels of an empty host, divided by sqrt(1 - alpha_bar_L)."""
    host = torch.zeros(1, 1, 1024, 1024)
    generator = torch.Generator().manual_seed(0)
    alpha_bar = cosine_schedule().at(START_STEP, host)
    fused = get_fusion(fusion)(host, host, lambda: torch.randn(host.shape, generator=generator), alpha_bar)
    return (fused.std() / (1 - alpha_bar).sqrt()).item()


@pytest.mark.parametrize(
    ("fusion", "level"), [("fusion1", 1.0), ("fusion2", 1.0), ("fusion1_independent", math.sqrt(0.5))]
)
def test_noise_after_fusion_has_the_level_of_step_l(fusion: str, level: float) -> None:
    """Two independent halves have 1 / sqrt(2) = 0.707 of the level that the denoiser was trained for."""
    assert noise_level(fusion) == pytest.approx(level, rel=0.005)


def test_fusion_1_with_one_noise_equals_fusion_2_of_the_unclipped_sum() -> None:
    generator = torch.Generator().manual_seed(1)
    host = torch.rand(4, 3, 32, 32, generator=generator) * 2 - 1
    tumor = torch.rand(4, 3, 32, 32, generator=generator) * 2  # the sum leaves [-1, 1] and nobody clips it
    epsilon = torch.randn(4, 3, 32, 32, generator=generator)
    alpha_bar = cosine_schedule().at(torch.tensor([1, 300, 500, 1000]), host)
    first = fuse_noised(host, tumor, epsilon, epsilon, alpha_bar)
    second = noise_composite(host, tumor, epsilon, alpha_bar)
    assert (host + tumor).max() > 1.5
    assert (first - second).abs().max() <= 5e-7  # magnitudes up to 4: two units in the last place


@pytest.mark.parametrize("fusion", sorted(FUSIONS))
def test_the_signal_is_host_plus_contribution_at_its_scale(fusion: str) -> None:
    host, contribution = torch.full((1, 1, 2, 2), -0.5), torch.full((1, 1, 2, 2), 0.25)
    alpha_bar = cosine_schedule().at(START_STEP, host)
    fused = get_fusion(fusion)(host, contribution, lambda: torch.zeros_like(host), alpha_bar)
    torch.testing.assert_close(fused, alpha_bar.sqrt() * torch.full_like(host, -0.25))


@pytest.mark.parametrize(("fusion", "draws"), [("fusion1", 1), ("fusion2", 1), ("fusion1_independent", 2)])
def test_fusions_draw_as_many_noises_as_they_say(fusion: str, draws: int) -> None:
    drawn = []

    def draw() -> torch.Tensor:
        drawn.append(torch.zeros(1, 1, 2, 2))
        return drawn[-1]

    get_fusion(fusion)(drawn_like := torch.zeros(1, 1, 2, 2), drawn_like, draw, torch.tensor(0.5))
    assert len(drawn) == draws


def test_an_unknown_fusion_lists_what_exists() -> None:
    with pytest.raises(ArgumentError, match=r"^fusion: 'fusion3' does not exist.*fusion1_independent"):
        get_fusion("fusion3")
