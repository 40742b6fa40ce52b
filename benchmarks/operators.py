"""Where a network call's time goes, by operator.

    python -m benchmarks.operators --preset fast

Prints a Markdown table of the operators of one block of 8 at 256 x 256 in bfloat16.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.networks import random_block, random_denoiser
from mcf_bundle.networks.precision import autocast_call

SMALLEST_SHARE = 0.01
"""Operators below this share stand together in the last line."""


def operator_shares(preset: str, device: torch.device, *, calls: int) -> list[tuple[str, float]]:
    """Return the share of the own time of each operator, largest first.

    Args:
        preset: of the denoiser.
        device: where to run.
        calls: profiled calls, after one that is not.
    """
    network, batch = random_denoiser(preset, device), random_block(8, device)
    call = autocast_call(network, "bfloat16", channels_last=True)
    x = torch.cat([batch.host, batch.context], dim=1)
    timesteps = torch.full((len(x),), 100, device=device)
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with torch.no_grad():
        call(x, timesteps)
        with profile(activities=activities) as profiler:
            for _ in range(calls):
                call(x, timesteps)
    times = {
        event.key: event.self_device_time_total if on_gpu else event.self_cpu_time_total
        for event in profiler.key_averages()
    }
    total = sum(times.values())
    return sorted(((name, time / total) for name, time in times.items()), key=lambda item: -item[1])


def main(argv: Sequence[str] | None = None) -> None:
    """Profile and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operators", description=__doc__)
    parser.add_argument("--preset", default="fast", help="default %(default)s")
    parser.add_argument("--calls", type=int, default=5, help="default %(default)s")
    arguments = parser.parse_args(argv)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shares = operator_shares(arguments.preset, device, calls=arguments.calls)
    shown = [(name, share) for name, share in shares if share >= SMALLEST_SHARE]
    print("| Operator | Share of the time |\n| --- | --- |")
    for name, share in [*shown, ("all others", 1 - sum(share for _, share in shown))]:
        print(f"| `{name}` | {100 * share:.1f} % |")


if __name__ == "__main__":
    main()
