"""The noise schedule: how much signal is left at each step, and which pairs of steps a sampler walks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from mcf_bundle.errors import ArgumentError

MAX_BETA = 0.999
"""Largest variance added in one step (Nichol and Dhariwal 2021): it clips alpha_bar near the last step."""


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """Signal left after t steps of noising, for t = 0 (the image) to t = T (noise).

    Attributes:
        alpha_bar: (T + 1,), float64, from 1 at t = 0 falling to a positive value at t = T.
    """

    alpha_bar: Tensor

    @property
    def num_steps(self) -> int:
        """T, the largest step."""
        return self.alpha_bar.numel() - 1

    def at(self, t: Tensor | int, like: Tensor) -> Tensor:
        """Return alpha_bar at step t, float32 on the device of `like`, shaped to broadcast over its batch.

        Args:
            t: a step or (B,), int64, each in [0, T].
            like: (B, C, ...), whose device and number of dimensions are taken.
        """
        steps = torch.as_tensor(t, device=self.alpha_bar.device).reshape(-1)
        values = self.alpha_bar[steps].to(device=like.device, dtype=torch.float32)
        return values.reshape(-1, *[1] * (like.ndim - 1))

    def time_pairs(self, start_step: int, steps: int, spacing: str = "uniform") -> list[tuple[int, int]]:
        """Return the pairs (t, t_next) that lead from `start_step` to 0 in `steps` network calls.

        Each t_next is the next pair's t, so the scales of a sampler telescope for any number of steps
        (schedulers that recompute t - T // n do not).

        Args:
            start_step: L, in [1, T].
            steps: number of pairs, in [1, L].
            spacing: a key of `SPACINGS`; times are rounded, and moved apart where two would coincide.

        Raises:
            ArgumentError: if an argument is outside its range, or the spacing does not exist.
        """
        if not 1 <= start_step <= self.num_steps:
            raise ArgumentError(
                "start_step",
                f"{start_step} is outside [1, {self.num_steps}]",
                "choose a step of the schedule",
            )
        if not 1 <= steps <= start_step:
            raise ArgumentError(
                "steps",
                f"{steps} is outside [1, start_step = {start_step}]",
                "choose no more calls than steps",
            )
        if spacing not in SPACINGS:
            raise ArgumentError(
                "spacing", f"{spacing!r} does not exist", f"choose one of {', '.join(SPACINGS)}"
            )
        times = [*SPACINGS[spacing](self, start_step, steps), 0]
        for i in range(1, steps):
            times[i] = max(min(times[i], times[i - 1] - 1), steps - i)
        return list(pairwise(times))


def _uniform(schedule: NoiseSchedule, start_step: int, steps: int) -> list[int]:
    return [round(start_step * (steps - i) / steps) for i in range(steps)]


def _quadratic(schedule: NoiseSchedule, start_step: int, steps: int) -> list[int]:
    return [round(start_step * ((steps - i) / steps) ** 2) for i in range(steps)]


def _log_signal_to_noise(schedule: NoiseSchedule, start_step: int, steps: int) -> list[int]:
    values = torch.logit(schedule.alpha_bar[1 : start_step + 1])
    wanted = torch.linspace(values[-1].item(), values[0].item(), steps, dtype=torch.float64)
    return [start_step, *(1 + int((values - value).abs().argmin()) for value in wanted[1:].tolist())]


SPACINGS: dict[str, Callable[[NoiseSchedule, int, int], list[int]]] = {
    "uniform": _uniform,
    "quadratic": _quadratic,
    "logsnr": _log_signal_to_noise,
}
"""Ways to choose n times in [1, L], L first: equal steps of t, of sqrt(t), or of log signal to noise."""


def cosine_schedule(
    num_steps: int = 1000, offset: float = 0.008, max_beta: float = MAX_BETA
) -> NoiseSchedule:
    """Make the cosine schedule of Nichol and Dhariwal (2021, Eq. 17), which the paper uses with T = 1000.

    alpha_bar(t) = f(t) / f(0) with f(t) = cos^2((t / T + s) / (1 + s) * pi / 2)

    The plain formula gives 3.7e-33 at t = 1000, which divides by almost zero in every sampler; so
    beta_t = 1 - alpha_bar(t) / alpha_bar(t - 1) is cut at `max_beta`, and alpha_bar is the product of
    1 - beta_t. Only the last step changes (to 2.4e-9).

    Args:
        num_steps: T, at least 1.
        offset: s, keeps beta_1 from being too small.
        max_beta: largest beta_t, in (0, 1).
    """

    def signal(t: int) -> float:
        return math.cos((t / num_steps + offset) / (1 + offset) * math.pi / 2) ** 2

    return _from_signal(signal, num_steps, max_beta)


def linear_schedule(
    num_steps: int = 1000, first_beta: float = 1e-4, last_beta: float = 0.02
) -> NoiseSchedule:
    """Make the linear schedule of Ho et al. (2020): beta_t rises in equal steps."""
    beta = torch.linspace(first_beta, last_beta, num_steps, dtype=torch.float64)
    return NoiseSchedule(torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - beta, 0)]))


def _from_signal(signal: Callable[[int], float], num_steps: int, max_beta: float) -> NoiseSchedule:
    alpha_bar = [1.0]
    for t in range(1, num_steps + 1):
        beta = min(1 - signal(t) / signal(t - 1), max_beta)
        alpha_bar.append(alpha_bar[-1] * (1 - beta))
    return NoiseSchedule(torch.tensor(alpha_bar, dtype=torch.float64))
