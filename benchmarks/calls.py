"""How far the sampler's images are from those of every step, by solver, spacing and number of calls.

    python -m benchmarks.calls --dataset_dir DIR --images 48 --output benchmarks/calls.json

The same rows and seeds go through every setting; the distance is the mean absolute difference on [0, 1]
inside the written mask, to DDIM over every step from L.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.rows import Rows, read_rows
from mcf_bundle.data.triplet_dataset import from_network_range

SETTINGS: list[dict[str, Any]] = [
    {"solver": solver, "spacing": spacing, "steps": steps}
    for solver in ("ddim", "dpm_solver", "unipc")
    for spacing in ("uniform", "quadratic", "logsnr")
    for steps in (3, 4, 5, 6, 8, 10, 12)
]


def sample(rows: Rows, **changes: Any) -> tuple[np.ndarray, float]:
    """Return the images of every row, (N, 3, H, W), normalized, float32, and the seconds an image took."""
    inferer = rows.config.get_parsed_content("inferer")
    denoiser = rows.config.get_parsed_content("networks").denoiser.network
    inferer.settings = replace(inferer.settings, **changes)
    images, started = [], time.perf_counter()
    for _, batch in rows.blocks():
        images.append(inferer(batch, denoiser).cpu().numpy())
    duration_s = (time.perf_counter() - started) / len(rows.materials)
    return from_network_range(np.concatenate(images)), duration_s


def distances(rows: Rows, images: np.ndarray, reference: np.ndarray) -> list[float]:
    """Return each image's mean absolute difference to its reference inside the mask, on [0, 1]."""
    difference = np.abs(np.clip(images, 0, 1) - np.clip(reference, 0, 1))
    return [float(difference[i][:, item.composite.mask[1]].mean()) for i, item in enumerate(rows.materials)]


def markdown_of(rows: Sequence[dict[str, Any]], guidance_scale: float) -> str:
    """Return the table of docs/performance.md: mean distances by solver, spacing and number of calls."""
    means = {
        (row["solver"], row["spacing"], row["steps"]): row["mean"]
        for row in rows
        if row["guidance_scale"] == guidance_scale and "largest" in row
    }
    counts = sorted({steps for _, _, steps in means})
    lines = [
        f"| Solver | Spacing | {' | '.join(f'{count} calls' for count in counts)} |",
        f"|{' --- |' * (len(counts) + 2)}",
    ]
    for solver, spacing in dict.fromkeys((solver, spacing) for solver, spacing, _ in means):
        figures = (f"{means[solver, spacing, count]:.4f}" for count in counts)
        lines.append(f"| `{solver}` | `{spacing}` | {' | '.join(figures)} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset_dir", type=Path, required=True)
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--guidance_scale", type=float, nargs="+", default=[0.0, 2.0])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/calls.json"))
    arguments = parser.parse_args(argv)
    rows = read_rows(arguments.dataset_dir, arguments.images)
    start_step = rows.config.get_parsed_content("start_step")
    table = []
    for scale in arguments.guidance_scale:
        every_step = {"solver": "ddim", "spacing": "uniform", "steps": start_step, "guidance_scale": scale}
        reference, seconds = sample(rows, **every_step)
        table.append({**every_step, "n": len(reference), "mean": 0.0, "sd": 0.0, "seconds_an_image": seconds})
        for setting in tqdm(SETTINGS, desc=f"w = {scale}"):
            images, seconds = sample(rows, **setting, guidance_scale=scale)
            values = distances(rows, images, reference)
            table.append(
                {
                    **setting,
                    "guidance_scale": scale,
                    "n": len(values),
                    "mean": float(np.mean(values)),
                    "sd": float(np.std(values, ddof=1)),
                    "largest": float(np.max(values)),
                    "seconds_an_image": seconds,
                }
            )
    content = {"start_step": start_step, "torch": torch.__version__, "rows": table}
    arguments.output.write_text(json.dumps(content, indent=1) + "\n")
    for scale in arguments.guidance_scale:
        print(f"w = {scale}\n{markdown_of(table, scale)}")


if __name__ == "__main__":
    main()
