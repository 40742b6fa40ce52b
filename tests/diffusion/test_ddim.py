"""Steps against closed forms and against MONAI's schedulers where those are right."""

from __future__ import annotations

import pytest
import torch
from monai.networks.schedulers import DDIMScheduler, DDPMScheduler

from mcf_bundle.diffusion.ddim import ddim_step
from mcf_bundle.diffusion.noising import add_noise
from mcf_bundle.diffusion.schedule import cosine_schedule, linear_schedule

PAIRS = [(1000, 980), (500, 480), (40, 20), (20, 0)]


@pytest.fixture
def state() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 8, 8, generator=generator), torch.randn(2, 3, 8, 8, generator=generator)


@pytest.mark.parametrize(("t", "t_next"), [(999, 1), (500, 123), (7, 6), (300, 0)])
def test_the_true_noise_leads_to_the_same_image_at_the_next_time(t: int, t_next: int) -> None:
    generator = torch.Generator().manual_seed(1)
    image, epsilon = torch.randn(2, 2, 3, 8, 8, generator=generator)
    schedule = cosine_schedule()
    here, there = schedule.at(t, image), schedule.at(t_next, image)
    stepped = ddim_step(add_noise(image, epsilon, here), epsilon, here, there)
    torch.testing.assert_close(
        stepped, add_noise(image, epsilon, there), rtol=0, atol=2e-4 if t > 990 else 2e-6
    )


@pytest.mark.parametrize(("t", "t_next"), PAIRS)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_step_equals_monai_ddim_where_its_stride_holds(
    state: tuple[torch.Tensor, torch.Tensor], t: int, t_next: int, eta: float
) -> None:
    x, epsilon = state
    schedule, theirs = linear_schedule(), DDIMScheduler(1000, "linear_beta", clip_sample=False)
    theirs.set_timesteps(50)  # its step assumes t - 20
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(2)) if t_next else None
    ours = ddim_step(x, epsilon, schedule.at(t, x), schedule.at(t_next, x), eta=eta, noise=noise)
    expected, _ = theirs.step(epsilon, t - 1, x, eta=eta, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("t", [2, 10, 400, 1000])
def test_eta_one_over_one_step_is_ancestral_sampling(
    state: tuple[torch.Tensor, torch.Tensor], t: int
) -> None:
    x, epsilon = state
    schedule, theirs = linear_schedule(), DDPMScheduler(1000, "linear_beta", clip_sample=False)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
    ours = ddim_step(x, epsilon, schedule.at(t, x), schedule.at(t - 1, x), eta=1.0, noise=noise)
    expected, _ = theirs.step(epsilon, t - 1, x, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-3)


def test_the_last_step_is_the_estimated_image_with_any_eta(state: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, epsilon = state
    schedule = cosine_schedule()
    here, image = schedule.at(40, x), schedule.at(0, x)
    plain = ddim_step(x, epsilon, here, image)
    assert torch.equal(ddim_step(x, epsilon, here, image, eta=1.0, noise=torch.randn_like(x)), plain)


def test_eta_zero_ignores_the_noise(state: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, epsilon = state
    here, there = torch.tensor(0.4), torch.tensor(0.6)
    assert torch.equal(
        ddim_step(x, epsilon, here, there, noise=torch.randn_like(x)), ddim_step(x, epsilon, here, there)
    )
