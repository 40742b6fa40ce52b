"""The table of image quality, and the verdict that refuses what the interval does not show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.frechet_distance import fid, fid_infinity
from mcf_bundle.metrics.inception_score import inception_score
from mcf_bundle.metrics.kernel_distance import kid
from mcf_bundle.metrics.manifold import density_coverage, precision_recall
from mcf_bundle.metrics.ms_ssim import pair_similarity
from mcf_bundle.metrics.profiles import intensity_profiles, profile_distance
from mcf_bundle.metrics.quality_figures import QUALITY_METRICS, STEPS, ImageSet
from mcf_bundle.metrics.quality_table import QualityRow, compare_image_quality
from mcf_bundle.metrics.quality_verdict import judge
from tests.metrics.feature_sets import gaussian_set

DIMENSION = 6


def image_set(people: int, seed: int, *, mean: float = 0.0, prefix: str = "p", each: int = 3) -> ImageSet:
    """Three images a patient; features of one patient have an offset in common."""
    offsets = np.repeat(gaussian_set(people, DIMENSION, seed), each, axis=0)
    features = 0.5 * offsets + gaussian_set(people * each, DIMENSION, seed + 1000, mean=mean)
    return ImageSet(features, [f"{prefix}{number // each}" for number in range(people * each)])


def compare(resamples: int = 200, **changes: Any) -> list[QualityRow]:
    hosts = image_set(20, 0, mean=1.0, prefix="host")
    sets = {
        # The same hosts a little nearer to the reference, and a copy that did nothing.
        "synthetic": replace(hosts, features=np.asarray(hosts.features) - 0.8),
        "copies": replace(hosts, features=np.asarray(hosts.features).copy()),
        "worse": replace(hosts, features=np.asarray(hosts.features) + 0.5),
        "training": image_set(20, 2, prefix="train"),
        "hosts": hosts,
    }
    settings = {"do_nothing": "hosts", "extractor": "probe", "metrics": ("fid", "kid", "recall"), **changes}
    return compare_image_quality(sets, image_set(15, 4, prefix="test"), resamples=resamples, **settings)


@pytest.fixture(scope="module")
def rows() -> list[QualityRow]:
    return compare()


def row_of(rows: list[QualityRow], name: str, metric: str) -> QualityRow:
    return next(row for row in rows if (row.name, row.metric) == (name, metric))


def test_values_are_those_of_the_plain_metrics() -> None:
    generator = np.random.default_rng(0)
    parts = [image_set(8, seed, prefix=name) for seed, name in ((0, "a"), (5, "b"))]
    one, other = (
        replace(part, logits=gaussian_set(24, 4, n), images=generator.random((24, 3, 48, 48)))
        for n, part in enumerate(parts)
    )
    rows = compare_image_quality({"set": one}, other, extractor="probe", resamples=2, scales=2)
    found = {row.metric: row.value for row in rows}
    features, reference = one.features, other.features
    profiles = {
        f"profile_{name}": profile_distance(*(intensity_profiles(s.images, name) for s in (one, other)))
        for name in ("horizontal", "vertical")
    }
    expected = {
        "fid": fid(features, reference),
        "fid_infinity": fid_infinity(features, reference, steps=STEPS),
        "kid": kid(features, reference),
        **dict(zip(("precision", "recall"), precision_recall(features, reference, neighbors=3), strict=True)),
        **dict(zip(("density", "coverage"), density_coverage(features, reference, neighbors=5), strict=True)),
        "inception_score": inception_score(one.logits, splits=1).mean,
        "ms_ssim": pair_similarity(one.images, one.patients, scales=2).mean(),
        **profiles,
    }
    assert list(found) == list(QUALITY_METRICS)
    assert found == pytest.approx(expected, rel=1e-9)


def test_rows_have_counts_extractor_and_an_interval_around_the_value(rows: list[QualityRow]) -> None:
    for row in rows:
        sizes = row.n, row.patients, row.reference_n, row.reference_patients, row.dimension
        assert sizes == (60, 20, 45, 15, DIMENSION)
        assert row.low <= row.value <= row.high
        assert (row.undefined, row.extractor, row.warnings) == (0, "probe", ())
    line = str(row_of(rows, "hosts", "kid"))
    assert "n = 60 of 20 patients against 45 of 15; probe)" in line


def test_the_difference_to_doing_nothing_is_paired(rows: list[QualityRow]) -> None:
    copies, synthetic = row_of(rows, "copies", "fid"), row_of(rows, "synthetic", "fid")
    assert (copies.difference, copies.difference_low, copies.difference_high) == (0, 0, 0)
    expected = synthetic.value - row_of(rows, "hosts", "fid").value
    assert synthetic.difference == pytest.approx(expected)
    assert synthetic.difference_high - synthetic.difference_low < synthetic.high - synthetic.low + (
        copies.high - copies.low
    )
    assert np.isnan(row_of(rows, "hosts", "fid").difference)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    # KID of one distribution, one image a patient: 0.
    hits = 0
    for seed in range(60):
        sets = [image_set(15, 10 * seed + k, prefix=prefix, each=1) for k, prefix in enumerate(("a", "b"))]
        row = compare_image_quality(
            {"set": sets[0]}, sets[1], extractor="probe", metrics=["kid"], resamples=200, seed=seed
        )[0]
        hits += row.low <= 0 <= row.high
    assert hits >= 50  # 57 expected; fewer than 50 have a chance of 0.02 %


def test_the_patients_of_the_reference_are_drawn_too() -> None:
    # Black images against gray ones: the distance is the reference's mean gray, whoever is drawn of the set.
    gray = np.random.default_rng(0).random(30)
    names = [str(number) for number in range(30)]
    black = ImageSet(gaussian_set(30, 2, 0), names, images=np.zeros((30, 1, 2, 2)))
    real = replace(black, images=np.broadcast_to(gray[:, None, None, None], (30, 1, 2, 2)))
    rows = [
        compare_image_quality(
            {"set": black}, real, extractor="-", metrics=["profile_vertical"], resamples=2000, seed=seed
        )[0]
        for seed in (0, 1)
    ]
    expected = 2 * 1.96 * gray.std() / np.sqrt(30)
    assert rows[0].value == pytest.approx(gray.mean(), rel=1e-6)
    assert rows[0].high - rows[0].low == pytest.approx(expected, rel=0.1)
    assert rows[0].low != rows[1].low


def test_an_interval_of_fid_holds_its_value_with_fewer_images_than_features() -> None:
    # All resamples lie above the value there: they have fewer different images than the set.
    pair = [ImageSet(gaussian_set(20, 40, seed), [str(n) for n in range(20)]) for seed in (0, 1)]
    row = compare_image_quality({"set": pair[0]}, pair[1], extractor="-", metrics=["fid"], resamples=50)[0]
    assert row.low < row.value < row.high


def test_the_same_seed_gives_the_same_table(rows: list[QualityRow]) -> None:
    first = row_of(rows, "training", "kid")
    assert row_of(compare(), "training", "kid") == first
    assert row_of(compare(seed=1), "training", "kid").low != first.low


def test_more_resamples_of_one_patient_have_no_interval() -> None:
    row = compare_image_quality(
        {"set": image_set(1, 0, each=8)}, image_set(3, 1), extractor="probe", metrics=["kid"], resamples=3
    )[0]
    assert np.isnan([row.low, row.high]).all()
    assert row.value == row.value


def test_weak_figures_carry_warnings() -> None:
    few = image_set(2, 0, each=3)
    rows = compare_image_quality({"set": few}, few, extractor="probe", metrics=["fid", "kid"], resamples=5)
    assert [len(row.warnings) for row in rows] == [3, 2]
    assert "6 images for 6 features" in rows[0].warnings[0]
    assert (
        "warning: 2 patients: the interval is too narrow; warning: 2 patients stand in the reference"
        in str(rows[1])
    )


@pytest.mark.parametrize("metric", ["fid", "kid"])
@pytest.mark.parametrize(
    ("name", "better", "words"),
    [
        ("synthetic", True, "synthetic is better than doing nothing"),
        ("training", True, "training is better than doing nothing"),
        ("copies", False, "copies is not shown to be better than doing nothing"),
        ("worse", False, "worse is worse than doing nothing"),
    ],
)
def test_verdicts(rows: list[QualityRow], name: str, better: bool, words: str, metric: str) -> None:
    verdict = judge(rows, name, metric)
    assert verdict.better is better
    assert verdict.text.startswith(words)


@pytest.mark.parametrize(
    ("metric", "low", "high", "better"),
    [
        ("kid", -0.2, -0.1, True),
        ("kid", -0.2, 0.0, False),
        ("kid", 0.1, 0.2, False),
        ("recall", 0.1, 0.2, True),
        ("recall", -0.1, 0.2, False),
        ("recall", -0.2, -0.1, False),
        ("kid", float("nan"), float("nan"), False),
    ],
)
def test_better_is_only_what_the_whole_interval_shows(
    rows: list[QualityRow], metric: str, low: float, high: float, better: bool
) -> None:
    row = replace(row_of(rows, "synthetic", metric), difference_low=low, difference_high=high)
    assert judge([row], "synthetic", metric).better is better


@pytest.mark.parametrize(("metric", "better"), [("fid", False), ("kid", True), ("fid_infinity", True)])
def test_a_larger_set_does_not_win_by_a_metric_that_favors_size(
    rows: list[QualityRow], metric: str, better: bool
) -> None:
    row = replace(row_of(rows, "synthetic", "fid"), metric=metric, baseline_n=59)
    assert judge([row], "synthetic", metric).better is better


@pytest.mark.parametrize(
    ("name", "metric", "problem"),
    [
        ("synthetic", "psnr", "metric: there is no metric 'psnr'"),
        ("synthetic", "ms_ssim", "metric: neither side of ms_ssim is better"),
        ("synthetic", "coverage", "name: the table has no coverage of 'synthetic'"),
        ("hosts", "kid", "name: hosts was not compared with a set that does nothing"),
    ],
)
def test_verdicts_that_cannot_be_given_are_refused(
    rows: list[QualityRow], name: str, metric: str, problem: str
) -> None:
    with pytest.raises(ArgumentError, match=problem):
        judge(rows, name, metric)


@pytest.mark.parametrize(
    ("sets", "options", "problem"),
    [
        ({"a": image_set(3, 0)}, {"do_nothing": "b"}, "do_nothing: there is no set 'b'"),
        ({}, {}, "sets: there are none"),
        ({"a": image_set(3, 0)}, {"metrics": ["ssim"]}, "metric: there is no metric 'ssim'"),
        ({"a": image_set(3, 0)}, {"metrics": []}, "metrics: there are none to measure"),
        ({"a": image_set(3, 0)}, {"metrics": ["ms_ssim"]}, "metrics: ms_ssim needs images of all sets"),
        ({"a": ImageSet(gaussian_set(3, 6, 0), ["x"])}, {}, "a: has 3 rows of features and 1 of patients"),
        ({"a": ImageSet(np.full((3, 6), np.nan), ["x"] * 3)}, {}, "a: row 0 holds nan"),
        ({"a": image_set(3, 0)}, {"resamples": 0}, "resamples: expected"),
    ],
)
def test_bad_tables_are_refused(sets: Any, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        compare_image_quality(sets, image_set(3, 1), extractor="probe", **options)
