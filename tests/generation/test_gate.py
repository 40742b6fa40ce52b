from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mcf_bundle.generation.contrast import tumor_figures
from mcf_bundle.generation.gate import (
    SATURATED,
    GateLimits,
    GateResult,
    change_outside,
    fit_limits,
    probability_rise,
    slice_figures,
)
from mcf_bundle.generation.gate_rules import GateRules
from mcf_bundle.generation.nearest import SliceGallery
from tests.generation.disc_rows import MIDDLE, disc_cases

Figures = list[dict[str, float]]


def uniform(name: str = "flair_contrast", low: float = 0.0, high: float = 1.0) -> Figures:
    """101 tumors whose figure takes the values of a ruler with 100 marks: percentile p is p hundredths."""
    return [{name: low + (high - low) * i / 100} for i in range(101)]


def random_figures(seed: int, count: int, shift: float = 0.0) -> Figures:
    draw = np.random.default_rng(seed)
    names = ("flair_contrast", "flair_rim", "pre_rim", "tumor_probability", "nearest_correlation")
    return [dict(zip(names, draw.normal(shift, 1.0, len(names)).tolist(), strict=True)) for _ in range(count)]


# The 1st and 99th percentile of the ruler, and the room that a sample of 101 gets at either end.
LOW, HIGH = 0.01, 0.99
ROOM = (HIGH - LOW) * 10 / 101
FIXED = {"change_outside": (-np.inf, 0.03), "probability_rise": (0.05, np.inf)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("flair_contrast", (LOW - ROOM, HIGH + ROOM)),
        ("pre_rim", (LOW - ROOM, HIGH + ROOM)),
        ("tumor_probability", (LOW - ROOM, np.inf)),
        ("mask_in_brain", (LOW - ROOM, np.inf)),
        ("nearest_correlation", (-np.inf, HIGH + ROOM)),
    ],
)
def test_limits_are_the_outer_percentiles_where_that_side_can_be_wrong(
    name: str, expected: tuple[float, float]
) -> None:
    limits = fit_limits(uniform(name), uniform(name, 0.4, 0.6))
    assert limits.ranges[name] == pytest.approx(expected)
    assert limits.relaxed == ()


@pytest.mark.parametrize("copies", [1, 10, 1000])
def test_the_room_beyond_the_percentiles_vanishes_in_large_samples(copies: int) -> None:
    low, high = fit_limits(uniform() * copies).ranges["flair_contrast"]
    assert LOW - low == pytest.approx(ROOM / copies, abs=0.01 / copies)
    assert high - HIGH == pytest.approx(ROOM / copies, abs=0.01 / copies)


def test_rejection_rates_and_counts_are_those_of_the_real_tumors() -> None:
    training = [*uniform(), {"flair_contrast": 9.0}]
    limits = fit_limits(training, [{"flair_contrast": 0.5}] * 30 + [{"flair_contrast": 2.0}])
    assert limits.rejects_training == pytest.approx(1 / 102)
    assert limits.rejects_validation == pytest.approx(1 / 31)
    assert limits.counts == (102, 31)


def test_the_change_outside_the_tumor_has_a_fixed_limit() -> None:
    assert fit_limits([]).ranges == FIXED
    assert FIXED.items() <= fit_limits(uniform()).ranges.items()
    rules = GateRules(max_change_outside=0.5, min_probability_rise=0.2)
    assert fit_limits([], rules=rules).ranges == {
        "change_outside": (-np.inf, 0.5),
        "probability_rise": (0.2, np.inf),
    }


@pytest.mark.parametrize("small_sample", [0.0, 20.0])
def test_percentiles_and_room_are_the_rules(small_sample: float) -> None:
    rules = GateRules(percentiles=(10.0, 80.0), small_sample=small_sample, max_real_rejection=1.0)
    room = 0.7 * small_sample / 101
    limits = fit_limits(uniform(), rules=rules)
    assert limits.ranges["flair_contrast"] == pytest.approx((0.1 - room, 0.8 + room))
    assert limits.relaxed == ()


def test_ranges_are_widened_first_to_half_the_distance_from_the_ends() -> None:
    rules = GateRules(percentiles=(10.0, 90.0), small_sample=0.0, max_real_rejection=0.11)
    limits = fit_limits(uniform(), rules=rules)
    assert limits.ranges["flair_contrast"] == pytest.approx((0.05, 0.95))
    assert limits.relaxed == ("flair_contrast",)


@pytest.mark.parametrize(
    ("given", "expected"),
    [((0.4, 0.6), (0.4, 0.6)), ([None, 0.6], (-np.inf, 0.6)), ([None] * 2, (-np.inf, np.inf))],
)
@pytest.mark.parametrize("name", ["flair_rim", "pre_rim", "change_outside", "probability_rise"])
def test_limits_that_are_given_stand_and_the_others_are_fitted(
    name: str, given: tuple, expected: tuple[float, float]
) -> None:
    limits = fit_limits(uniform("flair_rim"), uniform("flair_rim"), GateRules(limits={name: given}))
    plain = fit_limits(uniform("flair_rim"), uniform("flair_rim"))
    assert limits.ranges[name] == expected
    assert {**limits.ranges, name: None} == {**plain.ranges, name: None}
    assert limits.relaxed == ()


def test_rejections_by_limits_that_were_given_count_and_are_warned_of() -> None:
    limits = fit_limits(uniform("flair_rim"), rules=GateRules(limits={"flair_rim": (0.105, None)}))
    assert limits.rejects_training == pytest.approx(11 / 101)
    assert limits.warnings(0.05) == (
        "The gate rejects 10.9 % of 101 real training tumors, more than 5 %: "
        "a figure of theirs is undefined, or limits were set.",
    )
    assert limits.warnings(0.11) == ()
    (of_others,) = replace(limits, rejects_training=0.0, rejects_validation=0.9).warnings(0.05)
    assert of_others.startswith("The gate rejects 90.0 % of")
    assert of_others.endswith("or what the gate's classifier learned does not hold for other patients.")


@pytest.mark.parametrize(
    ("host", "rise"), [(0.0, 0.6), (0.25, 0.35), (0.49, 0.11), (SATURATED, None), (0.9, None)]
)
def test_the_rise_is_measured_from_hosts_that_do_not_look_like_tumor(host: float, rise: float | None) -> None:
    expected = {} if rise is None else {"probability_rise": pytest.approx(rise)}
    assert probability_rise(0.6, host) == expected


def test_an_image_in_which_nothing_happened_has_no_rise_and_is_rejected() -> None:
    for host in (0.0, 0.1, 0.3, 0.49):
        assert fit_limits([]).broken(probability_rise(host, host)) == ("probability_rise",)


def test_without_validation_tumors_the_percentiles_stand() -> None:
    limits = fit_limits(uniform())
    assert limits.ranges["flair_contrast"] == pytest.approx((LOW - ROOM, HIGH + ROOM))
    assert np.isnan(limits.rejects_validation)
    assert limits.counts == (101, 0)


def test_a_figure_that_rejects_validation_tumors_is_extended_and_no_other() -> None:
    training = [a | b for a, b in zip(uniform("flair_rim"), uniform("pre_rim"), strict=True)]
    validation = [{"flair_rim": 0.5 + i / 50, "pre_rim": 0.5} for i in range(50)]
    limits = fit_limits(training, validation)
    assert limits.relaxed == ("flair_rim",)
    assert limits.ranges["pre_rim"] == pytest.approx((LOW - ROOM, HIGH + ROOM))
    low, high = limits.ranges["flair_rim"]
    assert low == pytest.approx(LOW - ROOM)
    assert high > 0.5 + 0.95 * 49 / 50
    assert limits.rejects_validation <= 0.05


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [1, 3, 20, 80])
@pytest.mark.parametrize("shift", [0.0, 2.0, 50.0])
def test_at_most_five_percent_of_the_real_tumors_are_rejected(seed: int, count: int, shift: float) -> None:
    training, validation = random_figures(seed, 120), random_figures(seed + 100, count, shift)
    limits = fit_limits(training, validation)
    for tumors, stated in ((training, limits.rejects_training), (validation, limits.rejects_validation)):
        rate = np.mean([bool(limits.broken(figures)) for figures in tumors])
        assert stated == pytest.approx(rate)
        assert rate <= 0.05
    for name, (low, high) in fit_limits(training).ranges.items():
        assert limits.ranges[name][0] <= low
        assert limits.ranges[name][1] >= high


def test_nan_is_rejected_and_a_figure_without_limits_is_not() -> None:
    limits = fit_limits(uniform("flair_rim"))
    assert limits.broken({"flair_rim": float("nan")}) == ("flair_rim",)
    assert limits.broken({"flair_rim": 0.5, "post_rim": float("nan")}) == ()
    assert limits.broken({}) == ()


def test_tumors_without_a_figure_do_not_count_for_its_limits() -> None:
    training = [*uniform("post_rim"), *({"flair_rim": 0.5, "post_rim": float("nan")} for _ in range(40))]
    limits = fit_limits(training, [{"flair_rim": 0.5}] * 3)
    assert limits.ranges["post_rim"][0] <= LOW - ROOM
    assert limits.ranges["post_rim"][1] >= HIGH + ROOM
    assert all(np.isfinite(limits.ranges["post_rim"]))
    assert limits.ranges["flair_rim"] == (0.5, 0.5)


def test_validation_tumors_change_nothing_where_the_rules_leave_them_out() -> None:
    training, validation = random_figures(0, 120), random_figures(1, 60, 2.0)
    rules = GateRules(validation_widens=False)
    alone, beside = fit_limits(training, (), rules), fit_limits(training, validation, rules)
    assert beside.ranges == alone.ranges
    assert beside.relaxed == alone.relaxed
    assert beside.rejects_validation > 0.5
    assert fit_limits(training, validation).ranges != alone.ranges


def test_undefined_figures_of_validation_tumors_end_the_fit() -> None:
    limits = fit_limits(uniform("flair_rim"), [{"flair_rim": float("nan")}] * 4)
    assert limits.rejects_validation == 1.0
    (warning,) = limits.warnings(0.05)
    assert "100.0 % of 4 real validation tumors" in warning


@pytest.mark.parametrize(("value", "passes"), [(0.2, True), (0.4, True), (0.19, False), (0.41, False)])
def test_limits_are_inclusive(value: float, passes: bool) -> None:
    broken = GateLimits({"flair_rim": (0.2, 0.4)}).broken({"flair_rim": value})
    assert GateResult({"flair_rim": value}, broken).passed is passes


def test_all_broken_figures_are_named() -> None:
    limits = GateLimits({"a": (0.0, 1.0), "b": (0.0, 1.0), "c": (0.0, 1.0)})
    assert limits.broken({"a": 2.0, "b": 0.5, "c": -1.0}) == ("a", "c")


def test_the_rejection_rate_is_a_share_of_the_cases() -> None:
    limits = GateLimits({"a": (0.0, 1.0)})
    assert limits.rejection_rate([{"a": 0.5}, {"a": 2.0}, {"a": 3.0}, {"b": 9.0}]) == 0.5
    assert np.isnan(limits.rejection_rate([]))


def test_a_slice_is_measured_by_contrast_place_and_nearest_neighbor() -> None:
    cases = disc_cases(donors=2)
    donor = cases["d0"]
    image, mask = donor.normalized([MIDDLE])[0], donor.volume.mask[MIDDLE]
    half = donor.brain[MIDDLE].copy()
    half[mask.nonzero()[0][mask.sum() // 2 :], mask.nonzero()[1][mask.sum() // 2 :]] = False
    gallery = SliceGallery(list(cases.values()))
    found = slice_figures(image, mask, half, missing=(False, False, True), gallery=gallery, left_out=("d0",))
    contrast = tumor_figures(image, mask, half, missing=(False, False, True))
    assert found == contrast | {
        "mask_in_brain": pytest.approx((mask.sum() // 2) / mask.sum()),
        "nearest_correlation": pytest.approx(1.0, abs=1e-5),  # d1 looks the same
    }
    assert "post_rim" not in found


def test_an_empty_mask_breaks_the_limits() -> None:
    case = disc_cases()["h0"]
    mask = np.zeros_like(case.brain[MIDDLE])
    found = slice_figures(
        case.normalized([MIDDLE])[0],
        mask,
        case.brain[MIDDLE],
        missing=case.missing,
        gallery=SliceGallery([]),
        left_out=(),
    )
    assert np.isnan(found["mask_in_brain"])
    assert GateLimits({"mask_in_brain": (0.9, np.inf)}).broken(found) == ("mask_in_brain",)


def test_change_outside_is_the_mean_over_all_channels_of_what_is_not_editable() -> None:
    host = np.full((3, 4, 4), 0.5, np.float32)
    editable = np.zeros((4, 4), bool)
    editable[0] = True
    image = host.copy()
    image[:, 0] = 0.9
    assert change_outside(image, host, editable) == 0.0
    image[0, 1, 0] = 0.8
    assert change_outside(image, host, editable) == pytest.approx(0.3 / 36)
    # Beyond [0, 1] nothing can be seen.
    assert change_outside(host + 7, host + 3, editable) == 0.0
