"""How fast a denoiser is in each precision on this machine.

    python -m benchmarks.precisions --preset fast

Prints a Markdown table: milliseconds an image of a call of the sampler (channels last) and of a training
step (forward and backward, plain layout), blocks of 4 at 256 x 256. The first line says what the
configs choose here.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence

import torch

from benchmarks.networks import random_block, random_denoiser, synchronize
from benchmarks.row import Timing, time_in_turn
from mcf_bundle.networks.precision import autocast_call, fast_precision

BLOCK = 4
PRECISIONS = ("float32", "bfloat16")


def _sampler_call(preset: str, precision: str, device: torch.device) -> Callable[[], object]:
    call = autocast_call(random_denoiser(preset, device), precision, channels_last=True)
    x, timesteps = _inputs(device)

    def run() -> torch.Tensor:
        with torch.no_grad():
            return synchronize(call(x, timesteps))

    return run


def _training_step(preset: str, precision: str, device: torch.device) -> Callable[[], object]:
    network = random_denoiser(preset, device).train()
    call = autocast_call(network, precision)
    x, timesteps = _inputs(device)

    def run() -> torch.Tensor:
        network.zero_grad()
        loss = call(x, timesteps).square().mean()
        loss.backward()
        return synchronize(loss)

    return run


def _inputs(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    batch = random_block(BLOCK, device)
    return torch.cat([batch.host, batch.context], dim=1), torch.full((BLOCK,), 100, device=device)


def _cell(timing: Timing) -> str:
    each = [1000 * seconds / BLOCK for seconds in timing.seconds]
    return f"{statistics.median(each):.0f} ({min(each):.0f} to {max(each):.0f})"


def main(argv: Sequence[str] | None = None) -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precisions", description=__doc__)
    parser.add_argument("--preset", default="fast", help="default %(default)s")
    parser.add_argument("--repeats", type=int, default=7, help="default %(default)s")
    arguments = parser.parse_args(argv)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    runs = [
        make(arguments.preset, precision, device)
        for precision in PRECISIONS
        for make in (_sampler_call, _training_step)
    ]
    timings = time_in_turn(runs, arguments.repeats)
    print(f"{device.type}, {fast_precision(device)} by default, {torch.get_num_threads()} threads", end="")
    print(f", {arguments.repeats} runs each\n\n| Precision | Sampler | Training step |\n| --- | --- | --- |")
    for i, precision in enumerate(PRECISIONS):
        print(f"| {precision} | {_cell(timings[2 * i])} | {_cell(timings[2 * i + 1])} |")


if __name__ == "__main__":
    main()
