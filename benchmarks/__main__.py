"""Run every benchmark: ``python -m benchmarks``, or ``make bench``.

Prints a table and writes results.json. Without a dataset the rows run on phantoms.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks import (
    default_sampler,
    end_to_end,
    metrics_rate,
    network_rate,
    procedure,
    throughput,
    training_rate,
)
from benchmarks.row import Row, not_measured
from benchmarks.rows import read_rows
from mcf_bundle.data.phantom import write_phantom_cohort

RESULTS = Path(__file__).with_name("results.json")

SECTIONS = (
    *("network", "throughput", "procedure", "sampler"),
    *("end_to_end", "memory", "training", "metrics"),
)
"""What --only takes, in the order of the table."""

GPU = "gpu"
"""Section of the rows that need a GPU."""

GPU_ROWS = (
    ("bare sampler, same network (paper, cuda, block of 8)", "network calls an image and second", 4.0),
    ("bare sampler, same network (fast, cuda, block of 8)", "network calls an image and second", 4.0),
    ("end to end beside the bare sampler (cuda)", "images tried per second", 0.9),
)
"""Rows that need a GPU; null without one."""


def sections(
    dataset_dir: Path, scratch_dir: Path, device: torch.device, *, images: int
) -> dict[str, Callable[[], list[Row]]]:
    """Return what is measured, by the names of `SECTIONS`."""
    paper_calls = 1 if device.type == "cpu" else 4
    return {
        "network": lambda: [
            *network_rate.measure("fast", device, block=8, calls=4, repeats=7),
            *network_rate.measure("paper", device, block=8, calls=paper_calls, repeats=5),
        ],
        "throughput": lambda: [
            throughput.measure(preset, device, block=8, repeats=5) for preset in ("fast", "paper")
        ],
        "procedure": lambda: [procedure.measure(read_rows(dataset_dir, 8), repeats=3)],
        "sampler": lambda: default_sampler.measure(read_rows(dataset_dir, images)),
        "end_to_end": lambda: [
            end_to_end.measure_rate(dataset_dir, scratch_dir / "rate", images=2 * images, repeats=3)
        ],
        "memory": lambda: [end_to_end.measure_memory(dataset_dir, scratch_dir / "memory", few=50, many=400)],
        "training": lambda: training_rate.measure(
            dataset_dir, scratch_dir / "training", preset="fast", steps=4, repeats=2, device=device
        ),
        "metrics": lambda: [
            metrics_rate.measure_surface(1000, 3),
            metrics_rate.measure_fid(2000, 2048, 3),
        ],
    }


def machine(device: torch.device) -> dict[str, Any]:
    """Return what the figures were measured on."""
    packages = ("torch", "monai", "numpy", "scipy", "torchmetrics")
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


def today() -> str:
    """Return the day of a measurement, in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime())


def _processor() -> str:
    lines = Path("/proc/cpuinfo")
    names = lines.read_text().splitlines() if lines.is_file() else []
    named = (line.split(":", 1)[1].strip() for line in names if line.startswith("model name"))
    return next(named, platform.processor())


def lines_of(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the table, a line a row."""
    width = max(len(row["name"]) for row in rows)
    yield f"{'':{width}}  {'ours':>10} {'peer':>10} {'ratio':>7} {'bar':>7}  met  unit"
    for row in rows:
        figures = (f"{_short(row[key]):>{size}}" for key, size in (("ours", 10), ("peer", 10), ("ratio", 7)))
        met = {True: "yes", False: "NO", None: "-"}[row["met"]]
        yield f"{row['name']:{width}}  {' '.join(figures)} {_short(row['bar']):>7}  {met:<3}  {row['unit']}"


def markdown_of(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table as docs/performance.md holds it."""
    lines = [
        "| What | Ours | Peer | Ratio | Bar | Met | Unit | n |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        met = {True: "yes", False: "no", None: ""}[row["met"]]
        spread = "" if not row["spread"] else " ({} to {})".format(*map(_short, row["spread"]))
        bar = "" if row["bar"] is None else f"{'at most' if row['limit'] else 'ratio'} {_short(row['bar'])}"
        figures = (_short(row["ours"]) + spread, _short(row["peer"]), _short(row["ratio"]))
        lines.append(f"| {' | '.join((row['name'], *figures, bar, met, row['unit'], str(row['n'])))} |")
    return "\n".join(lines)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _kept_rows(arguments: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Return the rows of an earlier run that this one leaves alone; they have to be of this machine."""
    if not arguments.only or not arguments.output.is_file():
        return []
    stored = json.loads(arguments.output.read_text())
    here = machine(device)
    other = [name for name, value in stored["machine"].items() if here.get(name) != value]
    if other or (stored["data"] == "phantoms") != (arguments.dataset_dir is None):
        differing = ", ".join(other) or "data"
        raise SystemExit(f"bench: {arguments.output} was measured with another {differing}; give --output")
    return [row for row in stored["rows"] if row["section"] not in (*arguments.only, GPU)]


def _write(path: Path, content: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """Add rows and write what there is, so that a later section that fails loses none of them."""
    order = [*SECTIONS, GPU]
    content["rows"] = sorted([*content["rows"], *rows], key=lambda row: order.index(row["section"]))
    path.write_text(json.dumps(content, indent=1) + "\n")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--dataset_dir", type=Path, help="folder in the LGG layout; phantoms without one")
    parser.add_argument(
        "--images", type=int, default=48, help="rows of the sampler, half of the end-to-end run (%(default)s)"
    )
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, default=[], help="sections; the others keep their rows"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="default %(default)s")
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/performance.md too")
    arguments = parser.parse_args(argv)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    content = {
        "machine": machine(device),
        "data": "LGG layout at --dataset_dir" if arguments.dataset_dir else "phantoms",
        "rows": _kept_rows(arguments, device),
    }
    with tempfile.TemporaryDirectory() as scratch:
        dataset_dir = arguments.dataset_dir or Path(scratch, "phantom")
        if arguments.dataset_dir is None:
            write_phantom_cohort(dataset_dir, 12, 0)
        measured = sections(dataset_dir, Path(scratch), device, images=arguments.images)
        for name, measure in measured.items():
            if not arguments.only or name in arguments.only:
                print(f"bench: {name}", flush=True)
                rows = [{"section": name, "date": today(), **row.to_dict()} for row in measure()]
                _write(arguments.output, content, rows)
    if device.type == "cpu":
        missing = (not_measured(name, unit, bar, "no GPU here") for name, unit, bar in GPU_ROWS)
        _write(arguments.output, content, [{"section": GPU, "date": None, **row} for row in missing])
    print("\n".join(lines_of(content["rows"])))
    if arguments.markdown:
        print(markdown_of(content["rows"]))
    print(f"bench: written to {arguments.output}")


if __name__ == "__main__":
    main()
