"""MS-SSIM against torchmetrics, and the diversity made of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.ms_ssim import SCALE_WEIGHTS, PairSimilarity, ms_ssim, pair_similarity


def smooth_images(n: int, side: int, seed: int) -> Any:
    """Random images of some structure at every scale, (n, 3, side, side), [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    layers = [
        torch.nn.functional.interpolate(
            torch.rand(n, 3, size, size, generator=generator), side, mode="bilinear"
        )
        for size in (4, 16, 64)
    ]
    return (sum(layers) / 3).numpy()


@pytest.mark.parametrize(("side", "scales"), [(192, 5), (64, 3)])
def test_equals_torchmetrics(side: int, scales: int) -> None:
    first = smooth_images(2, side, 0)
    second = np.clip(first + 0.1 * smooth_images(2, side, 1), 0, 1)
    weights = np.array(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales])
    expected = multiscale_structural_similarity_index_measure(
        torch.from_numpy(first),
        torch.from_numpy(second),
        data_range=1.0,
        betas=tuple(weights),
        reduction="none",
    )
    np.testing.assert_allclose(ms_ssim(first, second, scales=scales), expected.numpy(), rtol=1e-3)


def test_equal_images_score_1_and_the_score_is_symmetric() -> None:
    first, second = smooth_images(2, 64, 0), smooth_images(2, 64, 1)
    np.testing.assert_allclose(ms_ssim(first, first, scales=3), 1, rtol=1e-6)
    np.testing.assert_allclose(ms_ssim(first, second, scales=3), ms_ssim(second, first, scales=3), rtol=1e-5)
    assert ms_ssim(first, second, scales=3).max() < 0.95


def test_a_set_of_copies_is_not_diverse() -> None:
    one = smooth_images(1, 64, 0)
    assert pair_similarity(np.repeat(one, 5, axis=0), pairs=4, scales=3).mean() == pytest.approx(1, rel=1e-6)
    assert pair_similarity(smooth_images(5, 64, 0), pairs=4, scales=3).mean() < 0.95


def test_pairs_are_of_different_patients() -> None:
    images = np.repeat(smooth_images(3, 64, 0), 4, axis=0)
    patients = np.repeat(["a", "b", "c"], 4)
    found = pair_similarity(images, patients, pairs=30, scales=3)
    assert (patients[found.first] != patients[found.second]).all()
    assert found.scores.max() < 0.99


def test_the_pairs_depend_on_the_seed_and_not_on_the_block() -> None:
    images = smooth_images(6, 64, 0)
    first, again, other = (
        pair_similarity(images, pairs=8, scales=3, seed=seed, block=block)
        for seed, block in ((0, 3), (0, 16), (1, 3))
    )
    np.testing.assert_allclose(first.scores, again.scores, rtol=1e-6)
    assert first.first.tolist() == again.first.tolist() != other.first.tolist()


def test_counts_weigh_a_pair_by_both_images() -> None:
    found = PairSimilarity(np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([0.2, 0.4, 0.9]))
    assert found.mean() == pytest.approx(0.5)
    assert found.mean(np.array([1, 3, 2])) == pytest.approx((3 * 0.2 + 2 * 0.4 + 6 * 0.9) / 11)
    assert np.isnan(found.mean(np.array([5, 0, 0])))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, r"scales: images of \(64, 64\) are too small, 5 scales need 176"),
        ({"scales": 6}, "scales: expected 1 to 5"),
        ({"scales": 3, "patients": ["a"] * 3}, "patients: all images are of one patient"),
        ({"scales": 3, "patients": ["a"]}, "patients: expected 3, got 1"),
        ({"scales": 3, "pairs": 0}, "pairs: expected"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        pair_similarity(smooth_images(3, 64, 0), **options)


def test_images_of_other_shapes_are_refused() -> None:
    with pytest.raises(ArgumentError, match="second: expected"):
        ms_ssim(smooth_images(2, 64, 0), smooth_images(1, 64, 0), scales=3)
