"""The solvers against a denoiser that is known exactly, diffusers' schedulers, and each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from mcf_bundle.diffusion.schedule import NoiseSchedule, cosine_schedule, linear_schedule
from mcf_bundle.diffusion.solvers import SOLVERS, make_solver
from mcf_bundle.errors import ArgumentError

SCHEDULE = NoiseSchedule(cosine_schedule().alpha_bar)
DEVIATION = 0.2
"""Standard deviation of the images, independent pixels with mean 0, whose denoiser is known."""


def estimate(x: Tensor, alpha_bar: Tensor) -> Tensor:
    """Return E[epsilon | x_t] for those images."""
    return (1 - alpha_bar).sqrt() * x / (alpha_bar * DEVIATION**2 + 1 - alpha_bar)


def estimate_curved(x: Tensor, alpha_bar: Tensor) -> Tensor:
    """Return noise as a network might: neither linear in x nor smooth in time."""
    return torch.tanh(x * (1 + alpha_bar)) + 0.1 * torch.cos(9 * alpha_bar)


def spread(alpha_bar: Tensor) -> Tensor:
    """Return the standard deviation of those images after noising."""
    return (alpha_bar * DEVIATION**2 + 1 - alpha_bar).sqrt()


def walk(name: str, times: Sequence[int], x: Tensor, *, denoiser=estimate, eta: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    solver = make_solver(
        name, eta=eta, draw_noise=lambda: torch.randn(x.shape, generator=generator, dtype=x.dtype)
    )
    for t, t_next in pairwise(times):
        here, there = SCHEDULE.alpha_bar[t], SCHEDULE.alpha_bar[t_next]
        x = solver.step(x, denoiser(x, here), here, there)
    return x


def error(name: str, calls: int) -> float:
    """Return the distance from the exact solution: every image keeps its quantile on the way."""
    times = [600 - round(400 * i / calls) for i in range(calls + 1)]
    start = torch.ones((), dtype=torch.float64)
    exact = start * spread(SCHEDULE.alpha_bar[200]) / spread(SCHEDULE.alpha_bar[600])
    return (walk(name, times, start) - exact).abs().item()


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("dpm_solver", 2), ("unipc", 2)])
def test_the_error_falls_with_the_solver_s_order(name: str, order: int) -> None:
    assert error(name, 20) / error(name, 40) > 2**order * 0.85


def test_with_ten_calls_the_second_order_is_several_times_nearer() -> None:
    assert error("dpm_solver", 10) < error("ddim", 10) / 4
    assert error("unipc", 10) < error("dpm_solver", 10)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("start", [1, 40, 400, 1000])
def test_one_call_is_the_estimated_image(name: str, start: int) -> None:
    x = torch.linspace(-1, 1, 5, dtype=torch.float64)
    here = SCHEDULE.alpha_bar[start]
    clean = (x - (1 - here).sqrt() * estimate(x, here)) / here.sqrt()
    torch.testing.assert_close(walk(name, [start, 0], x), clean)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_zero_image_s_noise_leads_back_to_zero(name: str) -> None:
    """If the whole state is noise, every solver takes it all away, whatever the times."""
    x = torch.full((3,), SCHEDULE.alpha_bar[700].item(), dtype=torch.float64)
    walked = walk(name, [700, 610, 333, 50, 1, 0], x, denoiser=lambda x, ab: x / (1 - ab).sqrt())
    torch.testing.assert_close(walked, torch.zeros_like(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("times", [[400, 300, 220, 90, 31, 0], [999, 998, 500, 0], [150, 100, 0], [60, 0]])
@pytest.mark.parametrize("name", ["dpm_solver", "unipc"])
def test_the_walk_equals_that_of_diffusers(name: str, times: list[int]) -> None:
    schedulers = pytest.importorskip("diffusers.schedulers")
    alpha_bar = SCHEDULE.alpha_bar
    settings = {
        "trained_betas": (1 - alpha_bar[1:] / alpha_bar[:-1]).numpy(),
        "solver_order": 2,
        "lower_order_final": True,
    }
    if name == "dpm_solver":
        theirs = schedulers.DPMSolverMultistepScheduler(algorithm_type="dpmsolver++", **settings)
    else:
        theirs = schedulers.UniPCMultistepScheduler(solver_type="bh2", predict_x0=True, **settings)
    theirs.set_timesteps(len(times) - 1)
    # They choose times of their own; ours are set behind their back. Their timestep t - 1 is our t.
    theirs.sigmas = ((1 - alpha_bar) / alpha_bar).sqrt()[times]
    theirs.timesteps = torch.tensor(times[:-1]) - 1
    start = torch.linspace(-2, 2, 7, dtype=torch.float64).reshape(1, 7)
    x = start.clone()
    for t in times[:-1]:
        x = theirs.step(estimate_curved(x, alpha_bar[t]), t - 1, x).prev_sample
    ours = walk(name, times, start, denoiser=estimate_curved)
    torch.testing.assert_close(ours, x, rtol=1e-5, atol=1e-5)


def test_ddim_draws_noise_where_eta_asks_for_it() -> None:
    x = torch.ones(4, dtype=torch.float64)
    plain, noisy = (walk("ddim", [300, 200, 100, 0], x, eta=eta) for eta in (0.0, 1.0))
    assert (plain - noisy).abs().min() > 0.001


def test_a_solver_keeps_nothing_for_the_next_batch() -> None:
    x = torch.ones(4, dtype=torch.float64)
    assert torch.equal(walk("unipc", [300, 200, 0], x), walk("unipc", [300, 200, 0], x))


@pytest.mark.parametrize(
    ("name", "eta", "message"),
    [
        ("euler", 0.0, "solver: 'euler' does not exist; choose one of ddim, dpm_solver, unipc"),
        ("unipc", 0.5, "eta: 0.5 with solver 'unipc', which draws no noise"),
    ],
)
def test_what_does_not_exist_is_refused(name: str, eta: float, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make_solver(name, eta=eta, draw_noise=lambda: torch.zeros(1))


# --- The times that they walk over -----------------------------------------------------------------


@pytest.mark.parametrize("schedule", [cosine_schedule(), linear_schedule()], ids=["cosine", "linear"])
@pytest.mark.parametrize("spacing", ["uniform", "quadratic", "logsnr"])
@pytest.mark.parametrize(("start", "steps"), [(1000, 1), (1000, 50), (150, 6), (7, 7), (20, 19), (1, 1)])
def test_times_fall_from_l_to_zero_without_repetition(
    schedule: NoiseSchedule, spacing: str, start: int, steps: int
) -> None:
    pairs = schedule.time_pairs(start, steps, spacing)
    times = [start, *(t_next for _, t_next in pairs)]
    assert [t for t, _ in pairs] == times[:-1]
    assert times[-1] == 0
    assert len(pairs) == steps
    assert all(t > t_next for t, t_next in pairs)


def test_log_spacing_has_equal_ratios_of_signal_to_noise() -> None:
    pairs = SCHEDULE.time_pairs(900, 8, "logsnr")
    values = [torch.logit(SCHEDULE.alpha_bar[t]).item() for t, _ in pairs]
    steps = [after - before for before, after in pairwise(values)]
    mean = (values[-1] - values[0]) / 7
    # Times are whole numbers, which are coarse near 1.
    assert steps == pytest.approx([mean] * 7, rel=0.1)


def test_quadratic_spacing_is_a_linspace_of_the_root() -> None:
    assert [t for t, _ in SCHEDULE.time_pairs(1000, 4, "quadratic")] == [1000, 562, 250, 62]


def test_an_unknown_spacing_is_refused() -> None:
    with pytest.raises(ArgumentError, match="spacing: 'karras' does not exist; choose one of uniform"):
        SCHEDULE.time_pairs(100, 5, "karras")
