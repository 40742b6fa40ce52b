"""Multi-scale structural similarity between samples: how little they differ, so how diverse they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics.regression import compute_ms_ssim
from numpy.typing import NDArray

from mcf_bundle.arguments import check_count, check_seed, check_whole
from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.feature_arrays import Counts, as_counts
from mcf_bundle.metrics.image_arrays import Images, as_images

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of Wang et al. 2003, from the finest scale on."""

WINDOW = 11
"""Side of the Gaussian window of sigma 1.5, in pixels of each scale."""


def ms_ssim(first: Images, second: Images, *, scales: int = len(SCALE_WEIGHTS)) -> NDArray[np.float64]:
    """Return the multi-scale structural similarity of each pair of images (Wang et al. 2003, Eq. 7).

    Computed by MONAI's `compute_ms_ssim`, with negative terms set to 0.

    Args:
        first: (N, C, H, W), [0, 1]; what lies outside is clipped, as it is when an image is stored.
        second: (N, C, H, W), [0, 1].
        scales: number of scales. Five need sides of 176 pixels, four 99, three 44; fewer scales are another
            metric, whose weights are the first ones scaled to the sum 1.

    Returns:
        (N,), in [0, 1]; 1 for equal images.

    Raises:
        ArgumentError: see `as_images`, the shapes differ, or the images are too small for the scales.
    """
    check_scales(scales)
    pair = as_images("first", first, low=0, high=1), as_images("second", second, low=0, high=1)
    if pair[0].shape != pair[1].shape:
        raise ArgumentError(
            "second", f"expected {pair[0].shape}, got {pair[1].shape}", "pair them one to one"
        )
    least = WINDOW * max(1, scales - 1) ** 2  # what MONAI asks for
    if min(pair[0].shape[2:]) < least:
        problem = f"images of {pair[0].shape[2:]} are too small, {scales} scales need {least} pixels"
        raise ArgumentError("scales", problem, "use fewer scales, for all sets that are compared")
    weights = np.array(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales])
    found = compute_ms_ssim(
        torch.from_numpy(pair[0]), torch.from_numpy(pair[1]), spatial_dims=2, weights=weights.tolist()
    )
    return found.flatten().double().numpy()


@dataclass(frozen=True, eq=False)
class PairSimilarity:
    """Similarity of random pairs of one set.

    Attributes:
        first: (P,), index of one image of each pair.
        second: (P,), index of the other.
        scores: (P,), MS-SSIM of the pair.
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    scores: NDArray[np.float64]

    def mean(self, counts: Counts | None = None) -> float:
        """Return the mean over the pairs, with each image counted so often; nan if no pair counts.

        Lower is more diverse. Noise is diverse too: read it beside the figure of real images.
        """
        repeats = as_counts(counts, int(max(self.first.max(), self.second.max())) + 1)
        weights = repeats[self.first] * repeats[self.second]
        return float(weights @ self.scores / weights.sum()) if weights.sum() else float("nan")


def pair_similarity(
    images: Images,
    patients: Sequence[str] | None = None,
    *,
    pairs: int = 200,
    scales: int = len(SCALE_WEIGHTS),
    seed: int = 0,
    block: int = 16,
) -> PairSimilarity:
    """Measure the similarity of random pairs of different images.

    Args:
        images: (N, C, H, W), [0, 1], clipped likewise.
        patients: patient of each image, (N,); pairs are then of different patients, whose slices are not
            alike from the start. None pairs any two images.
        pairs: how many are drawn, with replacement.
        scales: see `ms_ssim`.
        seed: seed of the draws.
        block: pairs in each call; bounds the memory.

    Raises:
        ArgumentError: see `ms_ssim`, or there are no two images, or no two patients.
    """
    check_count("pairs", pairs)
    check_count("block", block)
    check_seed("seed", seed)
    array = as_images("images", images, low=0, high=1, least=2)
    owner = np.arange(len(array)) if patients is None else np.unique(patients, return_inverse=True)[1]
    if len(owner) != len(array):
        raise ArgumentError("patients", f"expected {len(array)}, got {len(owner)}", "name one an image")
    one, other = np.nonzero(owner[:, None] < owner[None])
    if not len(one):
        raise ArgumentError("patients", "all images are of one patient", "use more patients")
    drawn = np.random.default_rng(seed).integers(0, len(one), pairs)
    first, second = one[drawn], other[drawn]
    scores = [
        ms_ssim(array[first[start : start + block]], array[second[start : start + block]], scales=scales)
        for start in range(0, pairs, block)
    ]
    return PairSimilarity(first, second, np.concatenate(scores))


def check_scales(scales: int) -> None:
    """Refuse a number of scales that there are no weights for."""
    check_whole("scales", scales, least=1)
    if scales > len(SCALE_WEIGHTS):
        problem = f"expected 1 to {len(SCALE_WEIGHTS)}, got {scales}"
        raise ArgumentError("scales", problem, "use 5, the definition's")
