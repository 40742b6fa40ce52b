"""Interval, p, Holm's correction and the smallest difference, against closed forms and simulation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from mcf_bundle.errors import ArgumentError
from mcf_bundle.study.statistics import (
    ALPHA,
    PairedScores,
    Verdict,
    bootstrap_interval,
    compare,
    holm,
    judge,
    seed_sd,
    sign_flip_p,
    smallest_difference,
)


def simulate(
    generator: np.random.Generator,
    *,
    patients: int = 30,
    folds: int = 3,
    seeds: int = 3,
    effect: float = 0.0,
    luck: float = 0.0,
) -> PairedScores:
    """Patients differ by SD 1, each training of a fold by SD `luck`, each test of a patient by SD 0.3."""
    fold = np.arange(patients) % folds
    differences = (
        effect
        + generator.normal(0, 1, (patients, 1))
        + generator.normal(0, max(luck, 1e-12), (folds, seeds))[fold]
        + generator.normal(0, 0.3, (patients, seeds))
    )
    return PairedScores(tuple(f"p{i}" for i in range(patients)), tuple(map(str, fold)), differences)


@pytest.mark.parametrize("luck", [0.0, 0.3])
def test_the_interval_holds_the_true_effect_as_often_as_it_says(luck: float) -> None:
    generator = np.random.default_rng(3)
    covered = []
    for number in range(250):
        scores = simulate(generator, effect=0.7, luck=luck)
        low, high = bootstrap_interval(scores, resamples=150, seed=number)
        covered.append(low <= 0.7 <= high)
    assert 0.90 <= np.mean(covered) <= 0.985


def test_the_interval_without_the_luck_of_the_seeds_would_be_too_narrow() -> None:
    generator = np.random.default_rng(4)
    scores = simulate(generator, patients=60, luck=2.0)
    pooled = PairedScores(scores.patients, scores.folds, scores.patient_means()[:, None])
    with_luck, without = (bootstrap_interval(item, resamples=400) for item in (scores, pooled))
    assert with_luck[1] - with_luck[0] > 1.5 * (without[1] - without[0])


@pytest.mark.parametrize("luck", [0.0, 0.2])
def test_arms_that_do_not_differ_are_told_apart_in_about_one_of_twenty(luck: float) -> None:
    generator = np.random.default_rng(5)
    wrong = []
    for number in range(200):
        scores = simulate(generator, luck=luck)
        p = sign_flip_p(scores.patient_means(), flips=599, seed=number)
        low, high = bootstrap_interval(scores, resamples=100, seed=number)
        wrong.append((p <= ALPHA, judge(low, high, p, best="high") is not Verdict.INCONCLUSIVE))
    of_p, of_verdict = np.mean(wrong, axis=0)
    assert of_verdict <= of_p
    assert of_verdict <= 0.085  # 0.05 + 2.3 standard errors
    assert luck or 0.015 <= of_p <= 0.085


def test_the_smallest_difference_is_found_with_the_power_that_it_names() -> None:
    generator = np.random.default_rng(6)
    sizes, patient_sd, luck = [10, 10, 10], float(np.hypot(1, 0.3 / np.sqrt(3))), 0.2
    effect = smallest_difference(patient_sd, luck, sizes, [3, 3, 3])
    error = effect / (stats.t.ppf(0.975, 29) + stats.t.ppf(0.8, 29))
    found = [
        abs(simulate(generator, effect=effect, luck=luck).patient_means().mean()) / error
        > stats.t.ppf(0.975, 29)
        for _ in range(2000)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("patients", [6, 12, 22, 60, 400])
def test_without_luck_it_is_that_of_the_paired_t_test(patients: int) -> None:
    difference = smallest_difference(1.5, 0.0, [patients], [3])
    noncentrality, freedom = difference / 1.5 * np.sqrt(patients), patients - 1
    bound = stats.t.ppf(0.975, freedom)
    power = stats.nct.sf(bound, freedom, noncentrality) + stats.nct.cdf(-bound, freedom, noncentrality)
    assert power == pytest.approx(0.8, abs=0.02)


def test_it_counts_the_luck_of_each_fold_by_its_patients() -> None:
    # By hand: n = 4, shares 3/4 and 1/4, seeds 2 and 1: 1/4 + (9/16) 0.04/2 + (1/16) 0.04 = 0.26375.
    quantiles = stats.t.ppf(0.975, 3) + stats.t.ppf(0.8, 3)
    assert smallest_difference(1.0, 0.2, [3, 1], [2, 1]) == pytest.approx(quantiles * np.sqrt(0.26375))
    assert np.isnan(smallest_difference(float("nan"), 0.2, [1], [2]))


def test_the_sign_flip_test_counts_all_signs_of_a_few_patients() -> None:
    means = np.array([0.9, 1.4, 0.2, -0.3, 0.8, 1.1])
    flipped = [np.mean(means * signs) for signs in product((1, -1), repeat=6)]
    expected = np.mean(np.abs(flipped) >= means.mean() - 1e-12)
    assert sign_flip_p(means) == pytest.approx(expected)
    assert sign_flip_p(np.zeros(5)) == 1.0


def test_the_sign_flip_test_of_many_patients_is_near_the_t_test() -> None:
    means = np.random.default_rng(7).normal(0.3, 1, 50)
    assert sign_flip_p(means) == pytest.approx(stats.ttest_1samp(means, 0).pvalue, abs=0.01)


def test_holm_of_a_hand_example() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04 -> none below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_keeps_the_chance_of_any_false_finding() -> None:
    p_values = np.random.default_rng(8).uniform(size=(2000, 10))
    any_found = [min(holm(list(map(float, row)))) <= ALPHA for row in p_values]
    assert np.mean(any_found) == pytest.approx(ALPHA, abs=0.012)


@pytest.mark.parametrize(
    ("low", "high", "p", "best", "verdict"),
    [
        (0.1, 0.3, 0.01, "high", "better"),
        (0.1, 0.3, 0.01, "low", "worse"),
        (-0.3, -0.1, 0.01, "low", "better"),
        (-0.3, -0.1, 0.01, "high", "worse"),
        (-0.1, 0.3, 0.01, "high", "inconclusive"),
        (0.1, 0.3, 0.06, "high", "inconclusive"),
        (float("nan"), float("nan"), 0.01, "high", "inconclusive"),
    ],
)
def test_a_verdict_needs_both_interval_and_p(
    low: float, high: float, p: float, best: str, verdict: str
) -> None:
    assert judge(low, high, p, best=best) == verdict


def test_a_result_has_the_means_and_counts_of_a_hand_example() -> None:
    nan = float("nan")
    scores = PairedScores(("a", "b", "c"), ("0", "0", "1"), np.array([[1.0, 3.0], [2.0, 6.0], [nan, 5.0]]))
    found = compare(scores, resamples=50)
    assert found.difference == pytest.approx((2 + 4 + 5) / 3)
    assert found.patient_sd == pytest.approx(np.std([2, 4, 5], ddof=1))
    assert found.seed_sd == pytest.approx(np.std([1.5, 4.5], ddof=1))
    assert (found.patients, found.folds, found.seeds, found.runs) == (3, 2, 2, 3)
    assert found.low <= found.difference <= found.high


def test_one_seed_and_one_patient_leave_spread_and_interval_open() -> None:
    found = compare(PairedScores(("a",), ("0",), np.array([[1.0]])), resamples=5)
    assert np.isnan([found.low, found.high, found.patient_sd, found.seed_sd]).all()
    assert found.p == 1.0
    assert np.isnan(seed_sd(PairedScores(("a", "b"), ("0", "1"), np.ones((2, 1)))))


def test_the_same_seed_gives_the_same_result_and_the_order_of_patients_does_not_matter() -> None:
    scores = simulate(np.random.default_rng(9), luck=0.5)
    order = np.lexsort((np.arange(30)[::-1], np.array(scores.folds)))
    other = PairedScores(
        tuple(scores.patients[i] for i in order),
        tuple(scores.folds[i] for i in order),
        scores.differences[order],
    )
    first, again = compare(scores, resamples=60), compare(scores, resamples=60)
    assert first == again
    shuffled = compare(other, resamples=60)
    assert (shuffled.low, shuffled.high) == pytest.approx((first.low, first.high))


@pytest.mark.parametrize(
    ("patients", "differences", "words"),
    [
        (("a", "a"), np.ones((2, 1)), "tested in two folds"),
        (("a", "b"), np.array([[1.0, np.nan], [1.0, 1.0]]), "some of its patients only"),
        (("a", "b"), np.full((2, 1), np.nan), "or none"),
        (("a",), np.ones((2, 1)), "give one row a patient"),
    ],
)
def test_what_cannot_be_paired_is_refused(
    patients: tuple[str, ...], differences: np.ndarray, words: str
) -> None:
    with pytest.raises(ArgumentError, match=words):
        PairedScores(patients, ("0",) * len(patients), differences)


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(ArgumentError, match="p_values"):
        holm([1.2])
    with pytest.raises(ArgumentError, match="power"):
        smallest_difference(1, 1, [3], [1], power=1.0)
    with pytest.raises(ArgumentError, match="seeds_of_folds"):
        smallest_difference(1, 1, [3], [1, 2])
