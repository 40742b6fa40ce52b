"""The fusion sampler: from hosts with their tumors at step L to images, in any number of network calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mcf_bundle.diffusion.fusion import get_fusion
from mcf_bundle.diffusion.guidance import class_gradient, guide_noise
from mcf_bundle.diffusion.noising import add_noise
from mcf_bundle.diffusion.schedule import NoiseSchedule
from mcf_bundle.diffusion.solvers import make_solver
from mcf_bundle.errors import ArgumentError

Network = Callable[[Tensor, Tensor], Tensor]
"""A network as the mathematics sees it: called with images and steps, gives float32."""


@dataclass(frozen=True)
class SamplerSettings:
    """What a sampler does with a batch; every field stands in the plan.

    Attributes:
        start_step: L, where fusion happens, in [1, T].
        steps: calls of the denoiser between L and 0.
        fusion: a key of `FUSIONS`.
        solver: a key of `SOLVERS`.
        spacing: a key of `SPACINGS`.
        guidance_scale: w of the classifier guidance; 0 is none.
        guidance_interval: (lowest, highest) step at which guidance acts; outside it the classifier is not
            called.
        eta: DDIM's stochasticity; 0 is the paper's.
        keep_outside: hold everything outside the grown mask at the host, at every step.
        label: the class that guidance steers towards.
    """

    start_step: int
    steps: int
    fusion: str = "fusion2"
    solver: str = "ddim"
    spacing: str = "uniform"
    guidance_scale: float = 0.0
    guidance_interval: tuple[int, int] = (1, 1000)
    eta: float = 0.0
    keep_outside: bool = True
    label: int = 1


@dataclass(frozen=True, eq=False)
class FusionBatch:
    """Hosts and tumors to be fused.

    Attributes:
        host: (B, C, H, W), float32, network range: the middle slices.
        contribution: (B, C, H, W), float32, difference in the network range, see `fusion`.
        context: (B, C', H, W), float32, network range: previous and next slices with their part of the tumor,
            never noised.
        editable: (B, 1, H, W), bool: the mask grown by a margin; outside it `keep_outside` holds the host.
        seeds: one a sample; a sample's noise depends on its seed alone, not on what stands beside it.
        mask: (B, 1, H, W), float32, 0 or 1: the tumor in the middle slices, for denoisers that see it; see
            `FusionInferer`.
    """

    host: Tensor
    contribution: Tensor
    context: Tensor | None
    editable: Tensor
    seeds: Sequence[int]
    mask: Tensor | None = None


class SampleNoise:
    """Standard normal noise with one generator a sample, drawn on the CPU so that every device sees the same.

    Args:
        seeds: one a sample.
        like: (B, C, ...): shape and device of what is drawn.
    """

    def __init__(self, seeds: Sequence[int], like: Tensor) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.shape, self.device = like.shape[1:], like.device

    def __call__(self) -> Tensor:
        """Draw (B, C, ...), float32."""
        drawn = [torch.randn(self.shape, generator=generator) for generator in self.generators]
        return torch.stack(drawn).to(self.device)


@torch.no_grad()
def sample_fusion(
    batch: FusionBatch,
    denoiser: Network,
    classifier: Network | None,
    schedule: NoiseSchedule,
    settings: SamplerSettings,
) -> Tensor:
    """Fuse at step L and denoise to an image.

    Args:
        batch: hosts, tumors, neighbors, seeds.
        denoiser: called as denoiser(x, timesteps) with x = noisy middle, context (B, C + C', H, W) and
            timesteps = t - 1 (B,); predicts the noise of the middle (B, C, H, W).
        classifier: called as classifier(x_t, timesteps) with the noisy middle; needed for `guidance_scale` >
            0.
        schedule: the noise schedule that both were trained with.
        settings: see `SamplerSettings`.

    Returns:
        (B, C, H, W), float32, network range. An empty contribution with `keep_outside` and nothing editable
        gives back the host exactly.
    """
    if settings.guidance_scale and classifier is None:
        raise ArgumentError("guidance_scale", "guidance needs a classifier", "give one, or 0")
    draw_noise = SampleNoise(batch.seeds, batch.host)
    solver = make_solver(settings.solver, eta=settings.eta, draw_noise=draw_noise)
    lowest, highest = settings.guidance_interval
    pairs = schedule.time_pairs(settings.start_step, settings.steps, settings.spacing)
    times = torch.tensor([settings.start_step, *(t_next for _, t_next in pairs)])
    # Everything that depends on time goes to the device once: the loop itself never waits for it.
    levels = schedule.at(times, batch.host).split(1)
    timesteps = (times - 1).clamp(min=0).to(batch.host.device)[:, None].expand(-1, len(batch.host))
    x = get_fusion(settings.fusion)(batch.host, batch.contribution, draw_noise, levels[0])
    # The same noise that fusion drew first holds the outside, so host and tumor stay parts of one noisy
    # image.
    outside_noise = SampleNoise(batch.seeds, batch.host)()
    for i, (t, _) in enumerate(pairs):
        alpha_bar, alpha_bar_next = levels[i], levels[i + 1]
        conditioned = x if batch.context is None else torch.cat([x, batch.context], dim=1)
        epsilon = denoiser(conditioned, timesteps[i])
        if settings.guidance_scale and classifier is not None and lowest <= t <= highest:
            gradient = class_gradient(classifier, x, timesteps[i], settings.label)
            epsilon = guide_noise(epsilon, gradient, alpha_bar, settings.guidance_scale)
        x = solver.step(x, epsilon, alpha_bar, alpha_bar_next)
        if settings.keep_outside:
            x = torch.where(batch.editable, x, add_noise(batch.host, outside_noise, alpha_bar_next))
    return x
