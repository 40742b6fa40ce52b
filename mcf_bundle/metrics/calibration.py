"""Expected calibration error of predicted probabilities of tumor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.arguments import check_count


def calibration_error(labels: NDArray[np.int64], probabilities: NDArray[np.float64], bins: int = 15) -> float:
    """Return how far predicted probabilities lie from frequencies, on average over cases.

    The probability of tumor is cut into equal bins, (0, 1/bins], ..., with 0 in the first one. In each bin
    the mean probability is compared with the share of tumor cases; the absolute differences are weighted by
    the bins' cases (Naeini et al. 2015; with one norm and `bins` as in torchmetrics' BinaryCalibrationError).

    Args:
        labels: (N,), 0 or 1.
        probabilities: (N,), in [0, 1].
        bins: number of bins.

    Returns:
        A number in [0, 1], 0 for perfect calibration; nan without cases.

    Raises:
        ArgumentError: `bins` is no whole number of 1 or more.
    """
    check_count("bins", bins)
    if not len(labels):
        return float("nan")
    # Comparing with the edges themselves, and not dividing, keeps 3/15 in the bin that ends there.
    place = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], probabilities, side="left")
    gap = np.bincount(place, probabilities, bins) - np.bincount(place, labels, bins)
    return float(np.abs(gap).sum() / len(labels))
