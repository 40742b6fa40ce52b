"""Where the time of a generation goes, by stage.

    python -m benchmarks.stages --dataset_dir DIR --images 48

Runs the default generation and prints a Markdown table of milliseconds for each image that was tried.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.rows import read_config
from mcf_bundle.generation import loop
from mcf_bundle.generation import workflow as generation_workflow

STAGES = {
    "compose": "compose host, donor and mask (read ahead)",
    "sample": "sampler: denoiser and guidance",
    "gate": "gate's classifier, image and host",
    "figures": "gate's figures",
    "write": "files and manifest (written behind)",
    "loop": "whole loop",
}
"""What is timed, in the order of the table."""


class Stopwatch:
    """Sums up the wall time and the calling thread's CPU time of functions, by stage."""

    def __init__(self) -> None:
        self.wall: defaultdict[str, float] = defaultdict(float)
        self.cpu: defaultdict[str, float] = defaultdict(float)

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, timed."""

        def call(*arguments: Any, **keywords: Any) -> Any:
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                return function(*arguments, **keywords)
            finally:
                self.wall[stage] += time.perf_counter() - wall
                self.cpu[stage] += time.thread_time() - cpu

        return call


def measure_stages(dataset_dir: str | Path, images: int) -> tuple[Stopwatch, int]:
    """Run the default generation and return the times of its stages, seconds, and the images tried.

    Args:
        dataset_dir: folder in the LGG layout.
        images: how many to write.
    """
    watch = Stopwatch()
    run_plan = generation_workflow.run_plan

    def run(plan: Any, machinery: Any, keep: Any, *rest: Any, **keywords: Any) -> Any:
        timed = replace(machinery, tumor_probability=watch.timed("gate", machinery.tumor_probability))
        return watch.timed("loop", run_plan)(plan, timed, watch.timed("write", keep), *rest, **keywords)

    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(generation_workflow, "run_plan", run),
        patch.object(loop, "prepare_materials", watch.timed("compose", loop.prepare_materials)),
        patch.object(loop, "sample_block", watch.timed("sample", loop.sample_block)),
        patch.object(loop, "slice_figures", watch.timed("figures", loop.slice_figures)),
    ):
        config = read_config(dataset_dir, images, output_dir=f"{folder}/out")
        outcome = config.get_parsed_content("generation").run()
    return watch, outcome.written + sum(map(len, outcome.rejected.values()))


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=__doc__)
    parser.add_argument("--dataset_dir", required=True)
    parser.add_argument("--images", type=int, default=48, help="default %(default)s")
    arguments = parser.parse_args(argv)
    watch, tried = measure_stages(arguments.dataset_dir, arguments.images)
    print(f"{tried} images tried\n\n| Stage | Wall, ms an image | CPU of its thread, ms an image |")
    print("| --- | --- | --- |")
    for stage, words in STAGES.items():
        wall, cpu = (1000 * times[stage] / tried for times in (watch.wall, watch.cpu))
        print(f"| {words} | {wall:.1f} | {cpu:.1f} |")


if __name__ == "__main__":
    main()
