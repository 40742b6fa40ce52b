"""The bare sampler beside MONAI's: same network, weights, pairs of times and starting noise."""

from __future__ import annotations

import copy

import torch
from monai.inferers import DiffusionInferer
from monai.networks.schedulers import DDIMScheduler
from torch import Tensor

from benchmarks.networks import random_block, random_denoiser, synchronize
from benchmarks.row import Row, time_in_turn
from mcf_bundle.diffusion.inferer import FusionInferer
from mcf_bundle.diffusion.noising import add_noise
from mcf_bundle.diffusion.sampler import FusionBatch, SampleNoise
from mcf_bundle.diffusion.schedule import linear_schedule

BARS = {"cpu": 2.5, "cuda": 4.0}
"""Least ratio of the rates, by kind of device."""

STRIDE = 50
"""Steps between two times: MONAI's pairs of times agree with ours for strides that divide T."""


def monai_sampler(
    network: torch.nn.Module, batch: FusionBatch, start_step: int, calls: int
) -> tuple[DiffusionInferer, DDIMScheduler, Tensor]:
    """Return MONAI's inferer with a scheduler that walks from L over our pairs, and x_L."""
    stride = start_step // calls
    scheduler = DDIMScheduler(1000, "linear_beta", clip_sample=False, steps_offset=stride - 1)
    scheduler.set_timesteps(1000 // stride)
    scheduler.timesteps = scheduler.timesteps[scheduler.timesteps < start_step]
    alpha_bar = linear_schedule().at(start_step, batch.host)
    noisy = add_noise(batch.host, SampleNoise(batch.seeds, batch.host)(), alpha_bar)
    return DiffusionInferer(scheduler), scheduler, noisy


def measure(preset: str, device: torch.device, *, block: int, calls: int, repeats: int) -> list[Row]:
    """Return the rows of one preset: rate, and difference of the images.

    Args:
        preset: of the denoiser.
        device: where to run.
        block: images in each call.
        calls: network calls an image.
        repeats: timed runs.
    """
    network, batch = random_denoiser(preset, device), random_block(block, device)
    # Our sampler lays the weights out anew; MONAI's gets a copy as it comes.
    plain_network = copy.deepcopy(network)
    start_step = STRIDE * calls
    ours = FusionInferer(
        linear_schedule(),
        start_step=start_step,
        steps=calls,
        keep_outside=False,
        precision="bfloat16",
    )
    theirs, scheduler, noisy = monai_sampler(network, batch, start_step, calls)

    def run_ours() -> Tensor:
        return synchronize(ours(batch, network))

    @torch.no_grad()
    def run_theirs() -> Tensor:
        return synchronize(
            theirs.sample(
                noisy, plain_network, scheduler, conditioning=batch.context, mode="concat", verbose=False
            )
        )

    # Network range spans 2, intensities span 1.
    difference = (run_ours() - run_theirs()).abs().mean().item() / 2
    mine, other = time_in_turn([run_ours, run_theirs], repeats)
    where = f"{preset}, {device.type}, block of {block}"
    return [
        Row(
            name=f"bare sampler, same network ({where})",
            ours=mine.rate(block * calls),
            peer=other.rate(block * calls),
            peer_name="monai DiffusionInferer, float32",
            unit="network calls an image and second",
            bar=BARS[device.type],
            spread=mine.rate_spread(block * calls),
            peer_spread=other.rate_spread(block * calls),
            n=repeats,
        ),
        Row(
            name=f"difference of those images ({where})",
            ours=difference,
            peer=None,
            peer_name="monai DiffusionInferer, float32",
            unit="mean absolute difference on [0, 1]",
            better="smaller",
            bar=0.002,
            limit=True,
            n=block,
        ),
    ]
