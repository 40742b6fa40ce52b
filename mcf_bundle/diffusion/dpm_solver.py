"""One step of DPM-Solver++(2M) between two explicit times."""

from __future__ import annotations

import torch
from torch import Tensor


def log_signal_to_noise(alpha_bar: Tensor) -> Tensor:
    """Return lambda = log(sqrt(alpha_bar) / sqrt(1 - alpha_bar)), half the log signal-to-noise ratio.

    Args:
        alpha_bar: signal left, in (0, 1]; 1 gives inf.
    """
    return (alpha_bar.log() - torch.log1p(-alpha_bar)) / 2


def extrapolate_clean(
    x_0: Tensor, x_0_before: Tensor, alpha_bar_before: Tensor, alpha_bar: Tensor, alpha_bar_next: Tensor
) -> Tensor:
    """Return the estimate of the image that a second-order step uses.

    D = (1 + 1 / (2 r)) x_0 - 1 / (2 r) x_0_before, where r = h_before / h is the ratio of the steps of lambda
    (Lu et al. 2022, arXiv:2211.01095, Algorithm 2).

    Args:
        x_0: estimate at t, (B, C, ...), float32.
        x_0_before: estimate at the time before t, shaped as `x_0`.
        alpha_bar_before: signal left at the time before t.
        alpha_bar: signal left at t.
        alpha_bar_next: signal left at t_next; at 1 (the image) the order falls to one and x_0 comes back.
    """
    here = log_signal_to_noise(alpha_bar)
    step = log_signal_to_noise(alpha_bar_next) - here
    step_before = here - log_signal_to_noise(alpha_bar_before)
    weight = torch.where(step.isinf(), torch.zeros_like(step), step / (2 * step_before))
    return x_0 + weight * (x_0 - x_0_before)


def data_step(x_t: Tensor, x_0: Tensor, alpha_bar: Tensor, alpha_bar_next: Tensor) -> Tensor:
    """Walk from x_t to x_{t_next} along an estimate of the image; with x_0 itself this is DDIM at eta = 0.

    x_next = sigma_next / sigma x_t - sqrt(ab_next) (exp(-h) - 1) D with h = lambda_next - lambda_t

    In other words: the noise that D implies in x_t, scaled to t_next, and the signal D, scaled to t_next.

    Args:
        x_t: (B, C, ...), float32, network range.
        x_0: the estimate D, shaped as `x_t`.
        alpha_bar: signal left at t, in (0, 1).
        alpha_bar_next: signal left at t_next, in (0, 1].
    """
    ratio = ((1 - alpha_bar_next) / (1 - alpha_bar)).sqrt()
    return ratio * x_t + (alpha_bar_next.sqrt() - ratio * alpha_bar.sqrt()) * x_0
