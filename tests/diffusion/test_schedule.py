from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from monai.networks.schedulers import DDPMScheduler

from mcf_bundle.diffusion.ddim import ddim_step
from mcf_bundle.diffusion.schedule import MAX_BETA, NoiseSchedule, cosine_schedule, linear_schedule
from mcf_bundle.errors import ArgumentError

START_STEPS = (1, 2, 7, 50, 333, 500, 999, 1000)
CALLS = (1, 2, 3, 7, 25, 50, 64, 250, 333, 999, 1000)


@pytest.fixture(scope="module", params=[cosine_schedule, linear_schedule])
def schedule(request: pytest.FixtureRequest) -> NoiseSchedule:
    return request.param()


def test_schedule_starts_at_the_image_and_falls_to_a_positive_value(schedule: NoiseSchedule) -> None:
    assert schedule.num_steps == 1000
    assert schedule.alpha_bar[0] == 1
    assert (schedule.alpha_bar.diff() < 0).all()
    assert schedule.alpha_bar[-1] > 0


@pytest.mark.parametrize("t", [1, 250, 500, 750, 999])
def test_cosine_schedule_is_the_closed_form_below_the_last_step(t: int) -> None:
    def signal(step: int) -> float:
        return math.cos((step / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    assert cosine_schedule().alpha_bar[t].item() == pytest.approx(signal(t) / signal(0), rel=1e-9)


def test_the_largest_beta_clips_the_last_step_only() -> None:
    alpha_bar = cosine_schedule().alpha_bar
    beta = 1 - alpha_bar[1:] / alpha_bar[:-1]
    assert beta[-1].item() == pytest.approx(MAX_BETA)
    assert (beta[:-1] < MAX_BETA).all()
    assert alpha_bar[-1].item() == pytest.approx(2.4e-9, rel=0.05)  # 3.7e-33 without the clip


@pytest.mark.parametrize(
    ("ours", "monai_name"),
    [(cosine_schedule, "cosine"), (linear_schedule, "linear_beta")],
)
def test_schedule_equals_monai_shifted_by_one(ours: Callable[[], NoiseSchedule], monai_name: str) -> None:
    theirs = DDPMScheduler(num_train_timesteps=1000, schedule=monai_name).alphas_cumprod.double()
    alpha_bar = ours().alpha_bar[1:]
    torch.testing.assert_close(theirs[:950], alpha_bar[:950], rtol=2e-5, atol=0)
    # MONAI computes in float32, where the cosine near its zero loses digits.
    torch.testing.assert_close(theirs, alpha_bar, rtol=2e-3, atol=0)


def test_values_are_float32_and_broadcast_over_a_batch_of_any_dimension(schedule: NoiseSchedule) -> None:
    steps = torch.tensor([0, 1, 1000])
    for like in (torch.zeros(3, 2, 4, 4), torch.zeros(3, 2, 4, 4, 4)):
        values = schedule.at(steps, like)
        assert values.dtype == torch.float32
        assert values.shape == (3, *[1] * (like.ndim - 1))
        assert torch.equal(values.flatten(), schedule.alpha_bar[steps].float())
    assert schedule.at(1000, torch.zeros(3, 2, 4, 4)).shape == (1, 1, 1, 1)


@pytest.mark.parametrize("start_step", START_STEPS)
def test_time_pairs_lead_from_the_start_to_zero_without_a_gap(start_step: int) -> None:
    for steps in [n for n in CALLS if n <= start_step]:
        pairs = cosine_schedule().time_pairs(start_step, steps)
        assert len(pairs) == steps
        assert (pairs[0][0], pairs[-1][1]) == (start_step, 0)
        assert all(t > t_next for t, t_next in pairs)
        assert all(before[1] == after[0] for before, after in itertools.pairwise(pairs))


@pytest.mark.parametrize("start_step", [1, 7, 50, 333, 500, 999])
def test_scales_telescope_for_any_number_of_calls(schedule: NoiseSchedule, start_step: int) -> None:
    """A denoiser that sees no noise only undoes the signal's scale: 1 becomes 1 / sqrt(alpha_bar_L)."""
    expected = schedule.alpha_bar[start_step].rsqrt().item()
    for steps in [n for n in CALLS if n <= start_step]:
        x = torch.ones(1, 1, 1, 1)
        for t, t_next in schedule.time_pairs(start_step, steps):
            x = ddim_step(x, torch.zeros_like(x), schedule.at(t, x), schedule.at(t_next, x))
        assert x.item() == pytest.approx(expected, rel=2e-5), steps


def test_linear_schedule_gives_the_final_scale_that_monai_misses() -> None:
    schedule = linear_schedule()
    assert schedule.alpha_bar[1000].rsqrt().item() == pytest.approx(157.41, abs=0.01)


@pytest.mark.parametrize(
    ("start_step", "steps", "argument"),
    [
        (0, 1, "start_step"),
        (1001, 1, "start_step"),
        (-5, 1, "start_step"),
        (10, 0, "steps"),
        (10, 11, "steps"),
    ],
)
def test_time_pairs_refuse_what_the_schedule_does_not_have(
    start_step: int, steps: int, argument: str
) -> None:
    with pytest.raises(ArgumentError, match=f"^{argument}: ") as caught:
        cosine_schedule().time_pairs(start_step, steps)
    assert caught.value.remedy
