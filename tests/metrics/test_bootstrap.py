"""Intervals over patients against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.bootstrap import bootstrap_over_patients


def mean_of(values: NDArray[np.float64]) -> Any:
    return lambda cases: np.array([values[cases].mean()])


def test_the_interval_of_a_mean_is_that_of_the_normal_law() -> None:
    # 400 patients of one case: the mean's standard error is sd / sqrt(400); 5 % is many times what 4,000
    # resamples leave to chance in a width of 2 x 1.96 standard errors.
    values = np.random.default_rng(0).standard_normal(400)
    found = bootstrap_over_patients(mean_of(values), [str(n) for n in range(400)], resamples=4000)
    expected = 2 * 1.96 * values.std() / 20
    assert found.high[0] - found.low[0] == pytest.approx(expected, rel=0.05)
    assert (found.high[0] + found.low[0]) / 2 == pytest.approx(values.mean(), abs=0.05 * expected)


def test_patients_are_drawn_and_not_their_slices() -> None:
    # Two patients whose slices are all alike: half of the draws mix them, a quarter takes either alone.
    values = np.repeat([0.0, 1.0], 50)
    seen = set()

    def statistic(cases: NDArray[np.intp]) -> NDArray[np.float64]:
        seen.add(values[cases].mean())
        return np.array([values[cases].mean()])

    found = bootstrap_over_patients(statistic, ["a"] * 50 + ["b"] * 50, resamples=200)
    assert seen == {0.0, 0.5, 1.0}
    assert (found.low[0], found.high[0]) == (0.0, 1.0)


def test_large_patients_weigh_as_many_cases_as_they_have() -> None:
    sizes = []
    bootstrap_over_patients(
        lambda cases: np.array([float(sizes.append(len(cases)) or 0)]), ["a", "b", "b", "b"], resamples=100
    )
    assert set(sizes) == {2, 4, 6}


def test_the_same_seed_gives_the_same_interval_whatever_the_order_of_cases() -> None:
    values = np.random.default_rng(1).random(50)
    patients = np.array([f"p{number % 20}" for number in range(50)])
    order = np.random.default_rng(2).permutation(50)
    first = bootstrap_over_patients(mean_of(values), list(patients), resamples=50)
    again = bootstrap_over_patients(mean_of(values[order]), list(patients[order]), resamples=50)
    other = bootstrap_over_patients(mean_of(values), list(patients), resamples=50, seed=1)
    np.testing.assert_allclose([first.low, first.high], [again.low, again.high])
    assert first.low[0] != other.low[0]


def test_one_patient_has_no_interval() -> None:
    found = bootstrap_over_patients(mean_of(np.arange(3.0)), ["a"] * 3)
    assert np.isnan([found.low, found.high]).all()


def test_resamples_without_a_figure_are_counted_and_left_out() -> None:
    values = np.array([0.0, 1.0])

    def statistic(cases: NDArray[np.intp]) -> NDArray[np.float64]:
        both = len(set(cases.tolist())) == 2
        return np.array([values[cases].mean() if both else np.nan, np.nan])

    found = bootstrap_over_patients(statistic, ["a", "b"], resamples=1000)
    assert 400 < found.undefined[0] < 600
    assert found.undefined[1] == 1000
    np.testing.assert_array_equal(found.low, [0.5, np.nan])
    np.testing.assert_array_equal(found.high, [0.5, np.nan])


def test_a_narrower_level_lies_inside_a_wider_one() -> None:
    values = np.random.default_rng(3).random(30)
    patients = [str(n) for n in range(30)]
    wide, narrow = (bootstrap_over_patients(mean_of(values), patients, level=p) for p in (0.95, 0.5))
    assert wide.low[0] < narrow.low[0] < narrow.high[0] < wide.high[0]


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"resamples": 0}, "resamples"),
        ({"level": 0}, "level"),
        ({"level": 95}, "level"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], where: str) -> None:
    with pytest.raises(ArgumentError, match=f"{where}: expected"):
        bootstrap_over_patients(mean_of(np.arange(2.0)), ["a", "b"], **options)


def test_no_cases_are_refused() -> None:
    with pytest.raises(ArgumentError, match="patients: there are no cases"):
        bootstrap_over_patients(mean_of(np.zeros(0)), [])
