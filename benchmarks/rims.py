"""What the sampler does to real tumors: texture and rim before, and after noising to L and denoising.

    python -m benchmarks.rims --dataset_dir DIR [--ckpt model.pt ...]

Slices of validation patients, whom no network was trained on, stand as their own composites: what changes is
the denoiser's doing. Prints a table, and writes means and paired differences with intervals over patients.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mcf_bundle.data.case import Case
from mcf_bundle.data.splits import VALIDATION
from mcf_bundle.data.training_data import TrainingData
from mcf_bundle.data.triplet_dataset import from_network_range
from mcf_bundle.diffusion.inferer import FusionInferer
from mcf_bundle.diffusion.schedule import cosine_schedule
from mcf_bundle.generation.contrast import tumor_figures
from mcf_bundle.generation.materials import Materials, own_tumor, to_batch
from mcf_bundle.generation.plan import Candidate, PlanRow, SliceId
from mcf_bundle.generation.warp import Transform, pixel_factor
from mcf_bundle.metrics.bootstrap import bootstrap_over_patients
from mcf_bundle.metrics.texture import texture_figures
from mcf_bundle.networks.checkpoint import read_checkpoint
from mcf_bundle.networks.known_patients import refuse_known
from mcf_bundle.networks.stored_network import load_stored_network
from mcf_bundle.resources import bundle_root

FIGURES = ("flair_texture", "flair_edge_texture", "flair_edge_slope", "flair_rim", "flair_contrast")
SETTINGS = ((50, 4), (100, 4), (150, 4), (150, 16), (250, 16), (300, 6), (400, 24))
"""Start step and number of calls."""

MIN_AREA, BLOCK = 300, 4
UNMOVED = Transform(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), (None, 0, None))
WITHOUT_MASK = 9

Item = tuple[Case, int]


def pick(cases: Sequence[Case], each: int, seed: int) -> list[Item]:
    """Draw tumor slices of every patient."""
    generator = np.random.default_rng(seed)
    items = []
    for case in cases:
        areas = case.volume.mask.sum(axis=(1, 2))
        found = [i for i in range(1, len(areas) - 1) if areas[i] >= MIN_AREA]
        items += [(case, int(i)) for i in generator.permutation(found)[:each]]
    return items


def stand_in(item: Item, seed: int) -> Materials:
    """Let a real tumor slice stand where a composite would."""
    case, index = item
    itself = SliceId(case.patient, case.volume.slice_numbers[index], 0.0)
    candidate = Candidate(itself, itself, UNMOVED, seed)
    return own_tumor(PlanRow(seed, case.patient, (candidate,), {}), candidate, case, index)


def measure(image: NDArray[np.float32], item: Item) -> list[float]:
    """Return `FIGURES` of a slice."""
    case, index = item
    region = (case.volume.mask[index], case.brain[index])
    found = {
        **texture_figures(image, *region, factor=pixel_factor(region[0].shape), missing=case.missing),
        **tumor_figures(image, *region, missing=case.missing),
    }
    return [found[name] for name in FIGURES]


def rows_of(ckpt: Path, items: Sequence[Item], before: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Denoise the slices with every setting; each row has the means and the paired differences."""
    checkpoint = read_checkpoint(ckpt)
    refuse_known({case.patient for case, _ in items}, checkpoint, where=ckpt, split=VALIDATION)
    network = load_stored_network(ckpt).requires_grad_(False)
    sees_mask = network.in_channels > WITHOUT_MASK
    patients, rows = [case.patient for case, _ in items], []
    for start_step, steps in SETTINGS:
        inferer = FusionInferer(
            cosine_schedule(),
            start_step=start_step,
            steps=steps,
            solver="unipc",
            spacing="logsnr",
            precision="bfloat16",
            mask=sees_mask,
        )
        after = []
        for first in range(0, len(items), BLOCK):
            block = items[first : first + BLOCK]
            batch = to_batch([stand_in(item, first + k) for k, item in enumerate(block)], torch.device("cpu"))
            images = from_network_range(inferer(batch, network).numpy())
            after += [measure(image, item) for image, item in zip(images, block, strict=True)]
        change = np.array(after) - before
        ends = bootstrap_over_patients(lambda i, change=change: np.nanmean(change[i], axis=0), patients)
        row: dict[str, Any] = {
            "sha256": checkpoint.sha256,
            "mask": sees_mask,
            "start_step": start_step,
            "steps": steps,
        }
        for k, name in enumerate(FIGURES):
            row[name] = float(np.nanmean(np.array(after)[:, k]))
            row[f"{name}_change"] = [float(x) for x in (np.nanmean(change[:, k]), ends.low[k], ends.high[k])]
        rows.append(row)
        print(line_of(row))
    return rows


def line_of(row: Mapping[str, Any]) -> str:
    """Return a row as a line of a Markdown table."""
    cells = [f"{'with' if row['mask'] else 'without'}", f"{row['start_step']}", f"{row['steps']}"]
    for name in FIGURES:
        _, low, high = row[f"{name}_change"]
        cells.append(f"{row[name]:.3f} ({low:+.3f} to {high:+.3f})")
    return f"| {' | '.join(cells)} |"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset_dir", type=Path, required=True)
    shipped = bundle_root("mcf_diffusion") / "models" / "model.pt"
    parser.add_argument("--ckpt", type=Path, nargs="+", default=[shipped])
    parser.add_argument("--slices", type=int, default=5, help="of each patient")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/rims.json"))
    arguments = parser.parse_args(argv)
    items = pick(TrainingData(arguments.dataset_dir).cases(VALIDATION), arguments.slices, seed=0)
    before = np.array([measure(case.normalized([i])[0], (case, i)) for case, i in items])
    means = dict(zip(FIGURES, np.nanmean(before, axis=0).tolist(), strict=True))
    print(f"| real | | | {' | '.join(f'{value:.3f}' for value in means.values())} |")
    rows = [row for ckpt in arguments.ckpt for row in rows_of(ckpt, items, before)]
    counts = {"n": len(items), "patients": len({case.patient for case, _ in items})}
    content = {**counts, "real": means, "torch": torch.__version__, "rows": rows}
    arguments.output.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
