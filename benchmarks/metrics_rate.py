"""Metrics beside MONAI's and torchmetrics' own."""

from __future__ import annotations

import numpy as np
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from torchmetrics.image.fid import FrechetInceptionDistance

from benchmarks.row import Row, time_in_turn
from mcf_bundle.metrics.frechet_distance import fid
from mcf_bundle.metrics.surface_distance import asd, hd95, surface_distances

SIDE = 256


def blobs(count: int, seed: int) -> np.ndarray:
    """Return masks with one ellipse each, the size of tumors, (N, H, W), bool."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    centers, radii = rng.uniform(80, 176, (count, 2)), rng.uniform(8, 40, (count, 2))
    distance = ((rows - centers[:, :1, None]) / radii[:, :1, None]) ** 2
    distance = distance + ((columns - centers[:, 1:, None]) / radii[:, 1:, None]) ** 2
    return distance < 1


class Identity(torch.nn.Module):
    """Hands features through, so that torchmetrics measures its statistics alone."""

    num_features = 2048

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features."""
        return x


def measure_surface(count: int, repeats: int) -> Row:
    """Return the row of HD95 and ASD together over `count` pairs of masks of 256 x 256."""
    predictions, references = blobs(count, 0), blobs(count, 1)

    def run_ours() -> list[tuple[float, float]]:
        found = map(surface_distances, predictions, references)
        return [(hd95(distances), asd(distances)) for distances in found]

    def run_theirs() -> list[torch.Tensor]:
        pair = [torch.from_numpy(masks)[:, None] for masks in (predictions, references)]
        return [
            compute_hausdorff_distance(*pair, include_background=True, percentile=95),
            compute_average_surface_distance(*pair, include_background=True, symmetric=True),
        ]

    mine, other = time_in_turn([run_ours, run_theirs], repeats)
    return Row(
        name=f"HD95 and ASD of {count} masks of {SIDE} x {SIDE}",
        ours=mine.rate(count),
        peer=other.rate(count),
        peer_name="monai compute_hausdorff_distance and compute_average_surface_distance",
        unit="pairs of masks per second",
        bar=1.0,
        spread=mine.rate_spread(count),
        peer_spread=other.rate_spread(count),
        n=repeats,
    )


def measure_fid(count: int, dimension: int, repeats: int) -> Row:
    """Return the row of FID of `count` images at `dimension` features, statistics and distance."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((dimension, dimension)) / dimension**0.5
    features, reference = (rng.standard_normal((count, dimension)) @ mixing + 0.1 * i for i in range(2))

    def run_theirs() -> float:
        metric = FrechetInceptionDistance(Identity(), normalize=False).set_dtype(torch.float64)
        metric.update(torch.from_numpy(reference), real=True)
        metric.update(torch.from_numpy(features), real=False)
        return float(metric.compute())

    mine, other = time_in_turn([lambda: fid(features, reference), run_theirs], repeats)
    return Row(
        name=f"FID of {count} images at {dimension} features",
        ours=mine.rate(count),
        peer=other.rate(count),
        peer_name="torchmetrics FrechetInceptionDistance, float64, same features",
        unit="images per second",
        bar=1.0,
        spread=mine.rate_spread(count),
        peer_spread=other.rate_spread(count),
        n=repeats,
    )
