"""Tumor and tumor-free slices in equal numbers at every axial level.

The level alone tells tumor slices from others with AUC 0.85 on the LGG set, because tumors occur at
mid-brain. A classifier trained without matching learns 'mid-brain', and would guide towards it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

BIN_WIDTH = 0.05
"""Width of a level bin: about one slice of a thick-sliced volume."""

Item = TypeVar("Item")


def match_levels(
    items: Sequence[Item], labels: Sequence[int], levels: Sequence[float], *, repeat: bool, seed: int = 0
) -> list[Item]:
    """Choose items so that both classes are equally frequent in each level bin.

    Args:
        items: what is chosen from.
        labels: class of each item, 0 or 1.
        levels: axial level of each item.
        repeat: fill the rarer class up by repeating its items (for training); otherwise the more frequent one
            is thinned out (for judging).
        seed: seed of the thinning.

    Returns:
        Chosen items, class 0 and class 1 in turn of their bins; bins without both classes give none.
    """
    bins: dict[int, tuple[list[Item], list[Item]]] = defaultdict(lambda: ([], []))
    for item, label, level in zip(items, labels, levels, strict=True):
        bins[int(level // BIN_WIDTH)][label].append(item)
    generator = np.random.default_rng(seed)
    chosen: list[Item] = []
    for _, (negative, positive) in sorted(bins.items()):
        if not negative or not positive:
            continue
        count = (max if repeat else min)(len(negative), len(positive))
        for members in (negative, positive):
            order = generator.permutation(len(members)).tolist()
            chosen += [members[order[i % len(order)]] for i in range(count)]
    return chosen


def level_only_scores(
    training_levels: Sequence[float], training_labels: Sequence[int], levels: Sequence[float]
) -> NDArray[np.float64]:
    """Return the training frequency of tumor at each level: all that a classifier by level alone can know.

    Args:
        training_levels: levels that the frequencies are counted on.
        training_labels: their classes, 0 or 1.
        levels: levels to be scored.

    Returns:
        One score a level, in [0, 1]; the overall frequency where the bin was never seen.
    """
    counts: dict[int, list[float]] = defaultdict(list)
    for level, label in zip(training_levels, training_labels, strict=True):
        counts[int(level // BIN_WIDTH)].append(float(label))
    overall = float(np.mean(training_labels)) if len(training_labels) else 0.5
    return np.array(
        [np.mean(counts.get(int(level // BIN_WIDTH)) or [overall]) for level in levels], np.float64
    )
