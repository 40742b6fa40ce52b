"""Inception Score: how sure a classifier is of each image, and how different its answers are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from mcf_bundle.arguments import check_count, check_seed
from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.feature_arrays import Counts, Features, as_counts, as_features


@dataclass(frozen=True)
class InceptionScore:
    """Inception Score over parts of a set.

    Attributes:
        mean: over the parts; from 1 (one answer for all images) to the number of classes.
        sd: standard deviation over the parts (n - 1); nan for one part.
        splits: how many parts.
    """

    mean: float
    sd: float
    splits: int


def inception_score(logits: Features, *, splits: int = 10, seed: int = 0) -> InceptionScore:
    """Return exp(mean of KL(p(y|x) || p(y))), over parts of the set (Salimans et al. 2016).

    It knows no real images. With Inception's 1008 everyday classes it says little about MRI, with a
    classifier of two classes it is at most 2; it is here since papers print it.

    Args:
        logits: (N, classes), of an extractor's head.
        splits: parts of the shuffled set, of equal size up to the last.
        seed: seed of the shuffling; without effect for one part.

    Raises:
        ArgumentError: see `as_features`, or there are more parts than images.
    """
    array = as_features("logits", logits, least=1)
    check_count("splits", splits)
    check_seed("seed", seed)
    if splits > len(array):
        problem = f"expected at most {len(array)}, the number of images, got {splits}"
        raise ArgumentError("splits", problem, "use fewer parts or more images")
    if splits > 1:
        array = np.random.default_rng(seed).permutation(array)
    found = [score_of_one_part(part) for part in np.array_split(array, splits)]
    sd = float(np.std(found, ddof=1)) if splits > 1 else float("nan")
    return InceptionScore(float(np.mean(found)), sd, splits)


def score_of_one_part(logits: NDArray[np.float64], counts: Counts | None = None) -> float:
    """Return the score of all images together, (N, classes), each counted `counts` times; nan for none."""
    weights = as_counts(counts, len(logits)).astype(np.float64)
    if not weights.sum():
        return float("nan")
    weights /= weights.sum()
    log_p = log_softmax(logits, axis=1)
    # In logarithms, so that a class that nobody answers does not become 0 * -inf.
    log_mean = logsumexp(log_p, axis=0, b=weights[:, None])
    return float(np.exp(weights @ (np.exp(log_p) * (log_p - log_mean)).sum(1)))
