from __future__ import annotations

from collections import Counter

import pytest

from mcf_bundle.errors import ArgumentError
from mcf_bundle.training.epoch_sampler import EpochSampler

LABELS = [0] * 70 + [1] * 30


def order(sampler: EpochSampler, epoch: int) -> list[int]:
    sampler.set_epoch(epoch)
    return list(sampler)


@pytest.mark.parametrize("shares", [None, (0.5, 0.5)])
def test_the_order_is_a_function_of_seed_and_epoch(shares: tuple[float, float] | None) -> None:
    sampler = EpochSampler(LABELS, class_shares=shares, seed=3)
    visited = [order(sampler, epoch) for epoch in (1, 2, 3)]
    resumed = EpochSampler(LABELS, class_shares=shares, seed=3)
    assert order(resumed, 3) == visited[2]
    assert list(resumed) == visited[2]
    assert visited[0] != visited[1] != visited[2]
    assert order(EpochSampler(LABELS, class_shares=shares, seed=4), 3) != visited[2]


def test_without_shares_every_sample_comes_once() -> None:
    assert sorted(order(EpochSampler(LABELS), 0)) == list(range(100))


@pytest.mark.parametrize("count", [1, 7, 100, 250])
def test_an_epoch_has_the_samples_that_were_asked_for(count: int) -> None:
    for shares in (None, (0.5, 0.5), (0.9, 0.1)):
        sampler = EpochSampler(LABELS, num_samples=count, class_shares=shares)
        assert len(sampler) == len(list(sampler)) == count


def test_longer_epochs_visit_all_samples_equally_often() -> None:
    counts = Counter(order(EpochSampler(LABELS, num_samples=250), 5))
    assert len(counts) == 100
    assert set(counts.values()) == {2, 3}


@pytest.mark.parametrize(
    ("shares", "tumors"), [((0.5, 0.5), 100), ((0.75, 0.25), 50), ((0.0, 1.0), 200), ((1.0, 0.0), 0)]
)
def test_classes_have_their_shares(shares: tuple[float, float], tumors: int) -> None:
    positions = order(EpochSampler(LABELS, num_samples=200, class_shares=shares), 1)
    assert sum(LABELS[position] for position in positions) == tumors


def test_a_class_is_exhausted_before_a_sample_of_it_returns() -> None:
    counts = Counter(order(EpochSampler(LABELS, num_samples=120, class_shares=(0.5, 0.5)), 1))
    assert {counts[position] for position in range(70, 100)} == {2}
    assert max(counts[position] for position in range(70)) == 1


def test_classes_are_mixed_within_an_epoch() -> None:
    positions = order(EpochSampler(LABELS, num_samples=200, class_shares=(0.5, 0.5)), 1)
    assert 30 <= sum(LABELS[position] for position in positions[:100]) <= 70


def test_no_samples_are_refused() -> None:
    with pytest.raises(ArgumentError, match="has no training samples;"):
        EpochSampler([])


def test_a_class_without_samples_leaves_its_share_to_the_others() -> None:
    positions = order(EpochSampler([0, 0, 2, 2], num_samples=80, class_shares=(0.25, 0.5, 0.25)), 1)
    assert Counter(positions) == {0: 20, 1: 20, 2: 20, 3: 20}


@pytest.mark.parametrize("shares", [(-1.0, 2.0), (1.5, -0.5)])
def test_a_negative_share_is_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(ArgumentError, match="tumor_share: shares of the classes are"):
        EpochSampler(LABELS, class_shares=shares)


def test_no_samples_of_the_wanted_classes_are_refused() -> None:
    with pytest.raises(ArgumentError, match="no training samples of the wanted classes"):
        EpochSampler([0, 0, 0], class_shares=(0.0, 1.0))
