"""The whole generation beside its own sampler, and its memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.networks import synchronize
from benchmarks.row import Row, time_in_turn
from benchmarks.rows import Rows, read_rows
from mcf_bundle.generation import workflow as generation_workflow


def measure_rate(dataset_dir: Path, output_dir: Path, *, images: int, repeats: int) -> Row:
    """Return the row of the loop: reading, sampling, gate and files against the bare sampler.

    Both rates count the images that were tried. Start, plan and report are left out: they are paid once.

    Args:
        dataset_dir: folder in the LGG layout.
        output_dir: where the images go.
        images: in a run; a multiple of the block.
        repeats: runs of each, in turn.
    """
    rows = read_rows(dataset_dir, images, output_dir=str(output_dir), overwrite=True)
    workflow = rows.config.get_parsed_content("generation")
    loops: list[tuple[float, int]] = []

    def timed(*arguments: Any, **keywords: Any) -> Any:
        started = time.perf_counter()
        outcome = run_plan(*arguments, **keywords)
        tried = outcome.written + sum(map(len, outcome.rejected.values()))
        loops.append((time.perf_counter() - started, tried))
        return outcome

    run_plan = generation_workflow.run_plan
    with patch.object(generation_workflow, "run_plan", timed):
        bare, _ = time_in_turn([_bare_sampler(rows), workflow.run], repeats)
    block = workflow.compute.compute_batch
    rates = [tried / seconds for seconds, tried in loops[1:]]
    device = workflow.device.type
    return Row(
        name=f"end to end beside the bare sampler ({device})",
        ours=statistics.median(rates),
        peer=bare.rate(block),
        peer_name="the same sampler on one block in memory, guidance on",
        unit="images tried per second",
        bar=0.8 if device == "cpu" else 0.9,
        spread=(min(rates), max(rates)),
        peer_spread=bare.rate_spread(block),
        n=repeats,
        note=f"{images} images a run",
    )


def _bare_sampler(rows: Rows) -> Any:
    inferer = rows.config.get_parsed_content("inferer")
    network = rows.config.get_parsed_content("networks").denoiser.network
    _, block = next(rows.blocks())
    return lambda: synchronize(inferer(block, network))


def measure_memory(dataset_dir: Path, output_dir: Path, *, few: int, many: int) -> Row:
    """Return the row of the peak memory of two runs, each in a process of its own.

    Args:
        dataset_dir: folder in the LGG layout.
        output_dir: where the images go.
        few: images of the run that is the measure.
        many: images of the run that must not need more.
    """
    peaks = [_peak_mb(dataset_dir, output_dir / str(count), count) for count in (many, few)]
    return Row(
        name=f"peak memory of {many} images beside that of {few}",
        ours=peaks[0] / peaks[1],
        peer=None,
        peer_name="",
        unit="ratio of the peaks",
        better="smaller",
        bar=1.05,
        limit=True,
        note=f"{peaks[0]:.0f} and {peaks[1]:.0f} MB",
    )


_RUN = """
import re, sys
from pathlib import Path
from benchmarks.rows import read_config
dataset_dir, output_dir, images = sys.argv[1:]
config = read_config(dataset_dir, int(images), output_dir=output_dir, overwrite=True)
try:
    config.get_parsed_content("generation").run()
finally:
    # Not getrusage: a process starts with the peak of the one that forked it.
    print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def _peak_mb(dataset_dir: Path, output_dir: Path, images: int) -> float:
    words = [sys.executable, "-c", _RUN, str(dataset_dir), str(output_dir), str(images)]
    printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return int(printed.splitlines()[-1]) / 1024
