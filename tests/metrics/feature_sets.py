"""Feature sets of known distributions, for the tests of image quality."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray


def gaussian_set(n: int, dimension: int, seed: int, *, mean: float = 0.0) -> NDArray[np.float64]:
    """Draw from independent normal laws of standard deviation 1."""
    return np.random.default_rng(seed).standard_normal((n, dimension)) + mean


def correlated_set(n: int, dimension: int, seed: int, *, mean: float = 0.0) -> NDArray[np.float32]:
    """Draw from a normal law whose covariance is far from diagonal, the same for every seed."""
    mixing = np.random.default_rng(99).standard_normal((dimension, dimension)) / np.sqrt(dimension)
    return (gaussian_set(n, dimension, seed) @ mixing + mean).astype(np.float32)


class PassFeatures(torch.nn.Module):
    """What torchmetrics takes as its extractor, so that it is fed with features."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give back the features."""
        return x
