"""Classifier guidance: steering the noise estimate towards a class."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def class_gradient(
    classifier: Callable[[Tensor, Tensor], Tensor], x_t: Tensor, timesteps: Tensor, label: int
) -> Tensor:
    """Return the gradient of log p(label | x_t) with respect to x_t.

    Args:
        classifier: called as classifier(x, timesteps), gives logits (B, K).
        x_t: (B, C, ...), float32, network range.
        timesteps: (B,), int64, t - 1.
        label: the class to steer towards, see `Label`.

    Returns:
        Shaped as `x_t`, float32; each sample's gradient depends on that sample alone.
    """
    with torch.enable_grad():
        x = x_t.detach().requires_grad_(True)
        log_probability = classifier(x, timesteps).float().log_softmax(dim=1)[:, label].sum()
        (gradient,) = torch.autograd.grad(log_probability, x)
    return gradient.float()


def guide_noise(epsilon: Tensor, gradient: Tensor, alpha_bar: Tensor, scale: float) -> Tensor:
    """Return epsilon - w sqrt(1 - alpha_bar) grad (Algorithm 1, line 5).

    The formula is that of Dhariwal and Nichol (2021, Algorithm 2).

    Args:
        epsilon: the denoiser's estimate at x_t.
        gradient: see `class_gradient`.
        alpha_bar: signal left at t, broadcastable.
        scale: w; 0 leaves the estimate as it is.
    """
    return epsilon - scale * (1 - alpha_bar).sqrt() * gradient
