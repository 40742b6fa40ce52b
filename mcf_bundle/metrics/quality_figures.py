"""The metrics of image quality by name, each as a function of how often every case counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.feature_arrays import Features, as_feature_pair, as_features
from mcf_bundle.metrics.frechet_distance import fid, fid_infinity
from mcf_bundle.metrics.image_arrays import Images
from mcf_bundle.metrics.inception_score import score_of_one_part
from mcf_bundle.metrics.kernel_distance import PatientKid
from mcf_bundle.metrics.manifold import manifold_scores
from mcf_bundle.metrics.ms_ssim import SCALE_WEIGHTS, pair_similarity
from mcf_bundle.metrics.profiles import AXES, intensity_profiles, profile_distance

Counts = NDArray[np.int64]

Figure = Callable[[Counts, Counts], float]
"""How often each case of the set, (N,), and of the reference, (M,), counts -> the metric."""


@dataclass(frozen=True)
class QualityMetric:
    """What a metric's number means.

    Attributes:
        meaning: one line.
        best: "low" or "high"; empty where neither is better, then there is no verdict.
        range: smallest and largest possible value.
        favors_more_cases: whether a larger set scores better by its size alone.
        needs: "features", "logits" or "images".
    """

    meaning: str
    best: str
    range: tuple[float, float]
    favors_more_cases: bool = False
    needs: str = "features"


STEPS = 4
"""Subsets behind `fid_infinity` in a table, where each resample extrapolates anew."""

_INF = float("inf")

QUALITY_METRICS = {
    "fid": QualityMetric("Frechet distance of the features", "low", (0, _INF), True),
    "fid_infinity": QualityMetric("the same, extrapolated to infinitely many images", "low", (-_INF, _INF)),
    "kid": QualityMetric("unbiased kernel distance of the features", "low", (-_INF, _INF)),
    "precision": QualityMetric("share of the set that lies among the reference", "high", (0, 1)),
    "recall": QualityMetric("share of the reference that lies among the set", "high", (0, 1), True),
    "density": QualityMetric("reference balls around a case, by those expected", "", (0, _INF)),
    "coverage": QualityMetric("share of the reference that has a case beside it", "high", (0, 1), True),
    "inception_score": QualityMetric(
        "certainty and variety of the classifier", "", (1, _INF), False, "logits"
    ),
    "ms_ssim": QualityMetric("similarity of two images of the set", "", (0, 1), False, "images"),
    "profile_horizontal": QualityMetric(
        "distance of the mean horizontal profiles", "low", (0, 1), False, "images"
    ),
    "profile_vertical": QualityMetric(
        "distance of the mean vertical profiles", "low", (0, 1), False, "images"
    ),
}
"""All of them, by column."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A set of images, as what the metrics need of them.

    Attributes:
        features: (N, D), of one extractor for all sets.
        patients: patient of each image, (N,); of a synthetic image the host's, so that it is drawn together
            with its composite and its unmodified host.
        logits: (N, classes), of the extractor; adds the Inception Score.
        images: (N, C, H, W), [0, 1]; adds MS-SSIM and profiles.
    """

    features: Features
    patients: Sequence[str]
    logits: Features | None = None
    images: Images | None = None

    def check(self, name: str) -> None:
        """Refuse parts that do not belong together.

        Raises:
            ArgumentError: names the set and the part.
        """
        cases = len(as_features(name, self.features))
        for part in ("patients", "logits", "images"):
            value = getattr(self, part)
            if value is not None and len(value) != cases:
                problem = f"has {cases} rows of features and {len(value)} of {part}"
                raise ArgumentError(name, problem, "give one an image")


def check_quality_metric(name: str) -> None:
    """Refuse what is no metric of image quality.

    Raises:
        ArgumentError: lists those that exist.
    """
    if name not in QUALITY_METRICS:
        problem = f"there is no metric {name!r}"
        raise ArgumentError("metric", problem, f"choose from {', '.join(QUALITY_METRICS)}")


def available_metrics(sets: Sequence[ImageSet]) -> list[str]:
    """Return the metrics that all sets have the parts for."""
    return [
        name
        for name, metric in QUALITY_METRICS.items()
        if all(getattr(one, metric.needs) is not None for one in sets)
    ]


def make_figures(
    subject: ImageSet,
    reference: ImageSet,
    metrics: Sequence[str],
    *,
    scales: int = len(SCALE_WEIGHTS),
    seed: int = 0,
) -> dict[str, Figure]:
    """Prepare metrics of one set against the reference, so that resamples of both are cheap.

    With each case counted once, a figure is the plain metric.

    Args:
        subject: the set.
        reference: what it is compared with.
        metrics: keys of `QUALITY_METRICS`.
        scales: see `ms_ssim`.
        seed: seed of subsets and pairs.

    Raises:
        ArgumentError: a metric does not exist or lacks its part, or see the metrics' own functions.
    """
    for name in metrics:
        check_quality_metric(name)
        needs = QUALITY_METRICS[name].needs
        if getattr(subject, needs) is None or getattr(reference, needs) is None:
            raise ArgumentError("metrics", f"{name} needs {needs} of all sets", "give them, or leave it out")
    makers = _feature_figures(subject, reference, seed) | _image_figures(subject, reference, scales, seed)
    return {name: makers[name]() for name in metrics}


def _with_enough(figure: Figure) -> Figure:
    """A resample of few patients may hold too few cases for a covariance of each half."""
    return lambda n, m: figure(n, m) if min(n.sum(), m.sum()) >= 4 else float("nan")


def _feature_figures(subject: ImageSet, reference: ImageSet, seed: int) -> dict[str, Callable[[], Figure]]:
    first, second = as_feature_pair(subject.features, reference.features)

    def frechet() -> Figure:
        return _with_enough(lambda n, m: fid(first, second, counts=n, reference_counts=m))

    def extrapolated() -> Figure:
        return _with_enough(
            lambda n, m: fid_infinity(first, second, counts=n, reference_counts=m, steps=STEPS, seed=seed)
        )

    def kernel() -> Figure:
        return PatientKid(first, second, subject.patients, reference.patients)

    def manifold(metric: str) -> Callable[[], Figure]:
        def make() -> Figure:
            scores = manifold_scores(first, second)
            return lambda n, m: scores.mean(metric, n, m)

        return make

    def inception() -> Figure:
        logits = as_features("logits", subject.logits)
        return lambda n, m: score_of_one_part(logits, n)

    names = ("precision", "recall", "density", "coverage")
    return {
        "fid": frechet,
        "fid_infinity": extrapolated,
        "kid": kernel,
        "inception_score": inception,
        **{name: manifold(name) for name in names},
    }


def _images(one: ImageSet) -> Images:
    return cast(Images, one.images)  # `make_figures` has checked that they are there


def _image_figures(
    subject: ImageSet, reference: ImageSet, scales: int, seed: int
) -> dict[str, Callable[[], Figure]]:
    def similarity() -> Figure:
        found = pair_similarity(_images(subject), subject.patients, scales=scales, seed=seed)
        return lambda n, m: found.mean(n)

    def profile(direction: str) -> Callable[[], Figure]:
        def make() -> Figure:
            profiles, real = (intensity_profiles(_images(one), direction) for one in (subject, reference))
            return lambda n, m: profile_distance(profiles, real, counts=n, reference_counts=m)

        return make

    return {"ms_ssim": similarity, **{f"profile_{direction}": profile(direction) for direction in AXES}}
