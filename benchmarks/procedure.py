"""Seconds an image: our defaults beside the paper's procedure with MONAI's parts, every step from L."""

from __future__ import annotations

import copy
import statistics
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.network_rate import monai_sampler
from benchmarks.networks import synchronize
from benchmarks.row import Row, time_in_turn
from benchmarks.rows import Rows

PEER_BLOCK = 2
"""Images in a block of the slow procedure: more of them only take longer."""


def measure(rows: Rows, *, repeats: int) -> Row:
    """Return the row: the shipped network, ours as the bundle runs it, guidance included.

    The peer walks MONAI's DDIM over every step in float32 and has no guidance, as in the public notebook.

    Args:
        rows: at least one block of rows.
        repeats: timed runs of each.
    """
    inferer = rows.config.get_parsed_content("inferer")
    network = rows.config.get_parsed_content("networks").denoiser.network
    plain_network, start_step = copy.deepcopy(network), inferer.settings.start_step
    _, block = next(rows.blocks())
    condition = inferer.condition(block)
    few = replace(block, host=block.host[:PEER_BLOCK], seeds=block.seeds[:PEER_BLOCK])
    seen = None if condition is None else condition[:PEER_BLOCK]
    monai, scheduler, noisy = monai_sampler(plain_network, few, start_step, start_step)

    def run_ours() -> Tensor:
        return synchronize(inferer(block, network))

    @torch.no_grad()
    def run_theirs() -> Tensor:
        return synchronize(
            monai.sample(noisy, plain_network, scheduler, conditioning=seen, mode="concat", verbose=False)
        )

    mine, other = time_in_turn([run_ours, run_theirs], repeats)
    ours = [seconds / len(block.host) for seconds in mine.seconds]
    theirs = [seconds / PEER_BLOCK for seconds in other.seconds]
    settings = inferer.settings
    return Row(
        name=f"an image by default beside every step from L = {start_step}",
        ours=statistics.median(ours),
        peer=statistics.median(theirs),
        peer_name="monai DiffusionInferer with DDIM, float32, every step, unguided",
        unit="seconds an image",
        better="smaller",
        bar=60.0,
        spread=(min(ours), max(ours)),
        peer_spread=(min(theirs), max(theirs)),
        n=repeats,
        note=f"{settings.steps} calls of {settings.solver}, guidance at {settings.guidance_interval}",
    )
