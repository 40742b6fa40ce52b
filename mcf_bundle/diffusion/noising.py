"""Forward noising of an image in one jump (Eq. 1)."""

from __future__ import annotations

from torch import Tensor


def add_noise(x_0: Tensor, epsilon: Tensor, alpha_bar: Tensor) -> Tensor:
    """Return x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) epsilon (Eq. 1 in closed form).

    Args:
        x_0: (B, C, ...), float32, network range (background -1, bright tissue 1).
        epsilon: standard normal noise, shaped as `x_0`.
        alpha_bar: signal left at step t, float32, broadcastable to `x_0`, in (0, 1].
    """
    return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * epsilon


def estimate_clean(x_t: Tensor, epsilon: Tensor, alpha_bar: Tensor) -> Tensor:
    """Return the x_0 that `epsilon` implies: Eq. 1 solved for the image; arguments as in `add_noise`."""
    return (x_t - (1 - alpha_bar).sqrt() * epsilon) / alpha_bar.sqrt()
