"""The corrector of UniPC: the walk to a time, made again once the image is estimated there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mcf_bundle.diffusion.dpm_solver import data_step, log_signal_to_noise


@dataclass(frozen=True, eq=False)
class SolverPoint:
    """A time on a sampler's way.

    Attributes:
        x: the state there, (B, C, ...), float32, network range.
        x_0: the image that the network estimated there, shaped as `x`.
        alpha_bar: signal left there, broadcastable.
    """

    x: Tensor
    x_0: Tensor
    alpha_bar: Tensor


def correct(
    here: SolverPoint, x_0_next: Tensor, alpha_bar_next: Tensor, before: SolverPoint | None
) -> Tensor:
    """Return x at t_next, corrected by the estimate made there (UniC-1 or UniC-2).

    Zhao et al. 2023 (arXiv:2302.04867) with their B(h) = exp(h) - 1, 'bh2'. A point before `here` raises the
    order by one.

    Args:
        here: the time that the step left.
        x_0_next: the image estimated at the state that the predictor gave for t_next.
        alpha_bar_next: signal left at t_next, in (0, 1).
        before: the time before `here`; None at the first step.
    """
    lambda_here = log_signal_to_noise(here.alpha_bar)
    step = log_signal_to_noise(alpha_bar_next) - lambda_here
    slope_next = x_0_next - here.x_0
    # Zhao et al.'s phi functions of -h, each divided by B.
    scale = torch.expm1(-step)
    first = scale / -step - 1
    if before is None:
        correction = slope_next / 2
    else:
        distance = (log_signal_to_noise(before.alpha_bar) - lambda_here) / step
        slope_before = (before.x_0 - here.x_0) / distance
        second = first / -step - 0.5
        sum_of_weights, moment = first / scale, 2 * second / scale
        weight_before = (moment - sum_of_weights) / (distance - 1)
        correction = weight_before * slope_before + (sum_of_weights - weight_before) * slope_next
    walked = data_step(here.x, here.x_0, here.alpha_bar, alpha_bar_next)
    return walked - alpha_bar_next.sqrt() * scale * correction
