from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from monai.metrics import compute_roc_auc

from mcf_bundle.data.level_matching import BIN_WIDTH, level_only_scores, match_levels

Sample = tuple[list[int], list[int], list[float]]


def sample(seed: int, count: int = 400) -> Sample:
    """Items at random levels; tumors are frequent at mid-brain and absent at the vertex."""
    draw = np.random.default_rng(seed)
    levels = draw.uniform(0.0, 1.0, count)
    chance = np.where(levels < 0.9, np.exp(-0.5 * ((levels - 0.5) / 0.12) ** 2), 0.0)
    labels = draw.uniform(size=count) < chance
    return list(range(count)), labels.astype(int).tolist(), levels.tolist()


def auc(scores: np.ndarray, labels: list[int]) -> float:
    return float(compute_roc_auc(torch.as_tensor(scores), torch.as_tensor(labels)))


def by_bin(chosen: list[int], labels: list[int], levels: list[float]) -> dict[int, Counter[int]]:
    counts: dict[int, Counter[int]] = {}
    for item in chosen:
        counts.setdefault(int(levels[item] // BIN_WIDTH), Counter())[labels[item]] += 1
    return counts


@pytest.mark.parametrize("repeat", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_both_classes_are_equally_frequent_in_every_bin(seed: int, repeat: bool) -> None:
    items, labels, levels = sample(seed)
    all_bins, matched = (
        by_bin(chosen, labels, levels)
        for chosen in (items, match_levels(items, labels, levels, repeat=repeat))
    )
    assert matched.keys() == {number for number, counts in all_bins.items() if len(counts) == 2}
    pick = max if repeat else min
    for number, counts in matched.items():
        assert counts[0] == counts[1] == pick(all_bins[number].values())


@pytest.mark.parametrize("seed", range(3))
def test_thinning_takes_no_item_twice_and_repeating_leaves_none_out(seed: int) -> None:
    items, labels, levels = sample(seed)
    thinned = match_levels(items, labels, levels, repeat=False)
    repeated = match_levels(items, labels, levels, repeat=True)
    assert len(set(thinned)) == len(thinned)
    assert set(thinned) < set(repeated)
    times: dict[tuple[int, int], set[int]] = {}
    for item, count in Counter(repeated).items():
        times.setdefault((labels[item], int(levels[item] // BIN_WIDTH)), set()).add(count)
    assert all(max(counts) - min(counts) <= 1 for counts in times.values())


def test_repeating_fills_up_by_hand() -> None:
    assert sorted(match_levels("abcd", [0, 0, 0, 1], [0.31, 0.32, 0.33, 0.34], repeat=True)) == list("abcddd")


def test_the_seed_decides_who_is_thinned_out() -> None:
    arguments = sample(0)
    first, again, other = (match_levels(*arguments, repeat=False, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert set(first) != set(other)


@pytest.mark.parametrize("labels", [[], [0, 0], [1, 1], [0, 1]])
def test_bins_without_both_classes_give_nothing(labels: list[int]) -> None:
    levels = [0.12, 0.62][: len(labels)]
    assert match_levels(labels, labels, levels, repeat=True) == []


@pytest.mark.parametrize("repeat", [False, True])
def test_matched_slices_cannot_be_told_apart_by_level(repeat: bool) -> None:
    items, labels, levels = sample(1)
    scores = level_only_scores(levels, labels, levels)
    assert auc(scores, labels) > 0.8
    chosen = match_levels(items, labels, levels, repeat=repeat)
    matched = level_only_scores(levels, labels, [levels[item] for item in chosen])
    assert auc(matched, [labels[item] for item in chosen]) == pytest.approx(0.5, abs=1e-9)


def test_the_level_only_score_is_the_training_frequency_of_the_bin() -> None:
    scores = level_only_scores([0.11, 0.12, 0.13, 0.61], [1, 0, 0, 1], [0.14, 0.64, 0.94])
    np.testing.assert_allclose(scores, [1 / 3, 1.0, 2 / 4])


def test_without_training_slices_every_score_is_one_half() -> None:
    np.testing.assert_array_equal(level_only_scores([], [], [0.1, 0.9]), [0.5, 0.5])
    assert level_only_scores([0.1], [1], []).shape == (0,)
