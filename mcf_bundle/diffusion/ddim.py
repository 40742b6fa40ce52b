"""One step of DDIM between two explicit times."""

from __future__ import annotations

from torch import Tensor

from mcf_bundle.diffusion.noising import estimate_clean
from mcf_bundle.errors import ArgumentError


def ddim_step(
    x_t: Tensor,
    epsilon: Tensor,
    alpha_bar: Tensor,
    alpha_bar_next: Tensor,
    *,
    eta: float = 0.0,
    noise: Tensor | None = None,
) -> Tensor:
    """Walk from x_t to x_{t_next} (Algorithm 1, line 6; the paper uses eta = 0).

    The formula is that of Song et al. (2021, Eq. 12 and 16).

    The time that comes next is an argument; nothing is recomputed from t, so the scales of successive steps
    telescope.

    Args:
        x_t: (B, C, ...), float32, network range.
        epsilon: the estimated noise in x_t, shaped as it.
        alpha_bar: signal left at t, broadcastable, in (0, 1).
        alpha_bar_next: signal left at t_next < t, broadcastable, in (0, 1].
        eta: 0 is deterministic, 1 draws as much noise as DDPM.
        noise: standard normal noise for eta > 0.

    Raises:
        ArgumentError: for eta > 0 without noise, except on the way to the image itself.

    Returns:
        x at t_next, shaped as `x_t`.
    """
    x_0 = estimate_clean(x_t, epsilon, alpha_bar)
    if eta > 0 and noise is None and bool((alpha_bar_next < 1).any()):
        raise ArgumentError("noise", "eta > 0 needs noise, none was given", "draw noise, or choose eta = 0")
    if noise is None:
        return alpha_bar_next.sqrt() * x_0 + (1 - alpha_bar_next).sqrt() * epsilon
    variance = eta**2 * (1 - alpha_bar_next) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_next)
    direction = (1 - alpha_bar_next - variance).clamp(min=0).sqrt() * epsilon
    return alpha_bar_next.sqrt() * x_0 + direction + variance.sqrt() * noise
