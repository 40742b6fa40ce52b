"""The two ways to bring host and tumor together at step L (the paper's fusion 1 and fusion 2).

Both take the host and the tumor's *contribution*: what is added to the host in the middle slice, zero where
there is no tumor. In normalized intensity (0 = black) the contribution of `add` is the donor's tumor itself;
that of `replace` is the tumor minus the host beneath it. In the networks' range [-1, 1] a contribution is
twice as large and has no offset, which is why adding two images there would count the offset twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from mcf_bundle.diffusion.noising import add_noise
from mcf_bundle.errors import ArgumentError


class Fusion(Protocol):
    """A way to start the sampler: x_L from host, contribution and noise."""

    def __call__(
        self, host: Tensor, contribution: Tensor, draw_noise: Callable[[], Tensor], alpha_bar: Tensor
    ) -> Tensor:
        """Return x_L."""


def fuse_noised(
    host: Tensor, contribution: Tensor, epsilon_host: Tensor, epsilon_tumor: Tensor, alpha_bar: Tensor
) -> Tensor:
    """Noise host and tumor separately, each with half the noise, and add them: x_L of fusion 1 (Eq. 5).

    Algorithm 1, line 3, in the README of the authors' repository feiyueaaa/MCFDiffusion:

    x_L = sqrt(ab) a + 1/2 sqrt(1 - ab) e_a + sqrt(ab) b + 1/2 sqrt(1 - ab) e_b

    With e_a = e_b the noise has the size sqrt(1 - ab) that the denoiser was trained for; two independent
    noises give 0.707 of it.

    Args:
        host: a, (B, C, H, W), float32, network range.
        contribution: b, shaped as `host`, difference in the network range; zeros leave the host.
        epsilon_host: e_a, standard normal.
        epsilon_tumor: e_b, standard normal.
        alpha_bar: signal left at step L, broadcastable.
    """
    half = (1 - alpha_bar).sqrt() / 2
    signal = alpha_bar.sqrt()
    return signal * host + half * epsilon_host + signal * contribution + half * epsilon_tumor


def noise_composite(host: Tensor, contribution: Tensor, epsilon: Tensor, alpha_bar: Tensor) -> Tensor:
    """Put the tumor into the image first, then noise once (Eq. 1): x_L of the paper's fusion 2.

    Arguments as in `fuse_noised`, with one noise.
    """
    return add_noise(host + contribution, epsilon, alpha_bar)


def _shared(
    host: Tensor, contribution: Tensor, draw_noise: Callable[[], Tensor], alpha_bar: Tensor
) -> Tensor:
    epsilon = draw_noise()
    return fuse_noised(host, contribution, epsilon, epsilon, alpha_bar)


def _independent(
    host: Tensor, contribution: Tensor, draw_noise: Callable[[], Tensor], alpha_bar: Tensor
) -> Tensor:
    epsilon_host = draw_noise()
    return fuse_noised(host, contribution, epsilon_host, draw_noise(), alpha_bar)


def _composite(
    host: Tensor, contribution: Tensor, draw_noise: Callable[[], Tensor], alpha_bar: Tensor
) -> Tensor:
    return noise_composite(host, contribution, draw_noise(), alpha_bar)


FUSIONS: dict[str, Fusion] = {"fusion1": _shared, "fusion1_independent": _independent, "fusion2": _composite}
"""Fusions by name: Eq. 5 with one shared noise, the notebook's variant of it with two, and fusion 2."""


def get_fusion(name: str) -> Fusion:
    """Return the fusion `name`.

    Raises:
        ArgumentError: if it does not exist.
    """
    if name not in FUSIONS:
        raise ArgumentError("fusion", f"{name!r} does not exist", f"choose one of {', '.join(FUSIONS)}")
    return FUSIONS[name]
