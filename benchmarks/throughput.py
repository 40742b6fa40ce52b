"""Which share of the machine's matrix throughput a network call reaches."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.networks import random_block, random_denoiser, synchronize
from benchmarks.row import Row, time_in_turn
from mcf_bundle.networks.precision import autocast_call

SIDES = {"cpu": 4096, "cuda": 8192}
"""Side of the square matrices, by kind of device."""


def measure(preset: str, device: torch.device, *, block: int, repeats: int) -> Row:
    """Return the row of a preset in bfloat16: GFLOP/s of its call beside torch.matmul.

    Args:
        preset: of the denoiser.
        device: where to run.
        block: images in a call.
        repeats: timed runs.
    """
    network, batch = random_denoiser(preset, device), random_block(block, device)
    call = autocast_call(network, "bfloat16", channels_last=True)
    x = torch.cat([batch.host, batch.context], dim=1)
    timesteps = torch.full((block,), 100, device=device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call(x, timesteps)
    side = SIDES[device.type]
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))

    def run_network() -> torch.Tensor:
        with torch.no_grad():
            return synchronize(call(x, timesteps))

    network_time, matmul_time = time_in_turn([run_network, lambda: synchronize(left @ right)], repeats)
    operations = counter.get_total_flops() / 1e9
    return Row(
        name=f"network call, share of the matrix throughput ({preset}, {device.type}, block of {block})",
        ours=network_time.rate(operations),
        peer=matmul_time.rate(2 * side**3 / 1e9),
        peer_name=f"torch.matmul, {side} x {side}, bfloat16",
        unit="GFLOP per second",
        spread=network_time.rate_spread(operations),
        peer_spread=matmul_time.rate_spread(2 * side**3 / 1e9),
        n=repeats,
        note=f"{operations / block:.1f} GFLOP an image and call",
    )
