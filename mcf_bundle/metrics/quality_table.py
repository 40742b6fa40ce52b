"""Image quality of several sets against one reference, with intervals and the gap to doing nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.arguments import check_count
from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.bootstrap import bootstrap_over_patients
from mcf_bundle.metrics.ms_ssim import SCALE_WEIGHTS
from mcf_bundle.metrics.quality_figures import (
    QUALITY_METRICS,
    Figure,
    ImageSet,
    available_metrics,
    make_figures,
)

FEW_PATIENTS = 10
"""Below this many patients the interval of a bootstrap is too narrow itself."""


@dataclass(frozen=True)
class QualityRow:
    """One metric of one set, with everything needed to judge it.

    Attributes:
        name: the set.
        metric: key of `QUALITY_METRICS`.
        extractor: what the features come from; figures of other extractors do not compare.
        value: the metric on all cases.
        low: lower end of the 95 % interval by bootstrap over patients; nan below two patients.
        high: upper end.
        undefined: resamples without a value, left out.
        n: images of the set.
        patients: their patients.
        reference_n: images of the reference.
        reference_patients: their patients.
        dimension: features of an image.
        difference: value minus that of doing nothing; nan without such a set, and for that set itself.
        difference_low: lower end of its interval, from the same resamples.
        difference_high: upper end.
        baseline_n: images of the set that does nothing; 0 without one.
        warnings: what keeps the figure from meaning what it seems to.
    """

    name: str
    metric: str
    extractor: str
    value: float
    low: float
    high: float
    undefined: int
    n: int
    patients: int
    reference_n: int
    reference_patients: int
    dimension: int
    difference: float
    difference_low: float
    difference_high: float
    baseline_n: int
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        """Return one line, warnings included."""
        line = (
            f"{self.name}, {self.metric}: {self.value:.4g} (95 % interval over patients {self.low:.4g} to "
            f"{self.high:.4g}; n = {self.n} of {self.patients} patients against {self.reference_n} of "
            f"{self.reference_patients}; {self.extractor})"
        )
        return "; ".join([line, *(f"warning: {warning}" for warning in self.warnings)])


def compare_image_quality(
    sets: Mapping[str, ImageSet],
    reference: ImageSet,
    *,
    extractor: str,
    do_nothing: str | None = None,
    metrics: Sequence[str] | None = None,
    resamples: int = 500,
    seed: int = 0,
    scales: int = len(SCALE_WEIGHTS),
) -> list[QualityRow]:
    """Measure each set against the reference, and against the set that does nothing.

    A resample draws the patients of all sets together, so that the images that come from one patient, of
    whatever set, are in it or not, and those of the reference on their own. FID is larger in a resample than
    in its set, which has more different images; so intervals keep the width that the resamples have, and are
    moved until the resamples' median is the value.

    Args:
        sets: by name: synthetic images, real training tumors (the floor: what real images of other patients
            score), unmodified hosts, composites.
        reference: real tumor images that no generator saw.
        extractor: name and hash of what made the features, `str(loaded.extractor)`.
        do_nothing: name of the set of unmodified hosts; None leaves the differences out.
        metrics: keys of `QUALITY_METRICS`; None takes all that the sets have the parts for.
        resamples: draws of the bootstrap.
        seed: seed of the draws, and of subsets and pairs.
        scales: see `ms_ssim`.

    Returns:
        One row a set and metric, in the order of the sets.

    Raises:
        ArgumentError: a set is not acceptable, there is none of the name `do_nothing`, or no metric.
    """
    check_count("resamples", resamples)
    if not sets:
        raise ArgumentError("sets", "there are none", "give one or more by name")
    if do_nothing is not None and do_nothing not in sets:
        raise ArgumentError("do_nothing", f"there is no set {do_nothing!r}", f"choose one of {list(sets)}")
    for name, one in {**sets, "reference": reference}.items():
        one.check(name)
    chosen = available_metrics([*sets.values(), reference]) if metrics is None else list(metrics)
    if not chosen:
        remedy = "name one or more, and give the sets the parts that they need"
        raise ArgumentError("metrics", "there are none to measure", remedy)
    figures = [
        figure
        for one in sets.values()
        for figure in make_figures(one, reference, chosen, scales=scales, seed=seed).values()
    ]
    found = _resample(sets, reference, figures, do_nothing=do_nothing, resamples=resamples, seed=seed)
    return [
        _row(name, metric, sets, reference, found[place * len(chosen) + column], extractor, do_nothing)
        for place, name in enumerate(sets)
        for column, metric in enumerate(chosen)
    ]


class _Estimate(NamedTuple):
    """A figure and its difference to that of doing nothing, each with its interval."""

    value: float
    low: float
    high: float
    undefined: int
    difference: float
    difference_low: float
    difference_high: float


def _resample(
    sets: Mapping[str, ImageSet],
    reference: ImageSet,
    figures: Sequence[Figure],
    *,
    do_nothing: str | None,
    resamples: int,
    seed: int,
) -> list[_Estimate]:
    """Estimate the figures, those of one set after those of the other."""
    sizes = [len(one.patients) for one in sets.values()]
    ends = np.cumsum(sizes)[:-1]
    each = len(figures) // len(sets)
    baseline = None if do_nothing is None else list(sets).index(do_nothing)

    def measure(counts: NDArray[np.int64], reference_counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Values, then differences, (2 * figures,)."""
        of_set = np.split(counts, ends)
        values = np.array([f(of_set[place // each], reference_counts) for place, f in enumerate(figures)])
        table = values.reshape(len(sets), each)
        gaps = table - (np.nan if baseline is None else table[baseline])
        return np.concatenate([values, gaps.ravel()])

    once = np.ones(len(reference.patients), np.int64)
    estimates = measure(np.ones(sum(sizes), np.int64), once)
    reference_draws = _reference_draws(reference.patients, resamples, seed)
    drawn: list[NDArray[np.float64]] = []

    def statistic(cases: NDArray[np.intp]) -> NDArray[np.float64]:
        drawn.append(measure(np.bincount(cases, minlength=sum(sizes)), next(reference_draws)))
        return drawn[-1]

    patients = [str(patient) for one in sets.values() for patient in one.patients]
    interval = bootstrap_over_patients(statistic, patients, resamples=resamples, seed=seed)
    shift = estimates - _medians(np.array(drawn))
    low, high = interval.low + shift, interval.high + shift
    half = len(figures)
    return [
        _Estimate(
            estimates[k],
            low[k],
            high[k],
            int(interval.undefined[k]),
            estimates[half + k],
            low[half + k],
            high[half + k],
        )
        for k in range(half)
    ]


def _reference_draws(patients: Sequence[str], resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield how often each case of the reference counts in each resample."""
    names, owner = np.unique(np.asarray(patients, str), return_inverse=True)
    # The second child of the seed: the sets' patients are drawn from the seed itself.
    generator = np.random.default_rng([seed, 1])
    for _ in range(resamples):
        yield np.bincount(generator.integers(0, len(names), len(names)), minlength=len(names))[owner]


def _medians(figures: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([np.median(known) if len(known := f[~np.isnan(f)]) else np.nan for f in figures.T])


def _row(
    name: str,
    metric: str,
    sets: Mapping[str, ImageSet],
    reference: ImageSet,
    found: _Estimate,
    extractor: str,
    do_nothing: str | None,
) -> QualityRow:
    one = sets[name]
    compared = do_nothing not in (None, name)
    gaps = found[4:] if compared else (float("nan"),) * 3
    low, high = np.clip([found.low, found.high], *QUALITY_METRICS[metric].range)
    return QualityRow(
        name=name,
        metric=metric,
        extractor=extractor,
        value=float(found.value),
        low=float(low),
        high=float(high),
        undefined=found.undefined,
        n=len(one.patients),
        patients=len(set(one.patients)),
        reference_n=len(reference.patients),
        reference_patients=len(set(reference.patients)),
        dimension=int(one.features.shape[1]),
        difference=float(gaps[0]),
        difference_low=float(gaps[1]),
        difference_high=float(gaps[2]),
        baseline_n=len(sets[str(do_nothing)].patients) if compared else 0,
        warnings=_warnings(metric, one, reference),
    )


def _warnings(metric: str, one: ImageSet, reference: ImageSet) -> tuple[str, ...]:
    found = []
    fewest, dimension = min(len(one.patients), len(reference.patients)), one.features.shape[1]
    if metric in ("fid", "fid_infinity") and fewest <= dimension:
        found.append(
            f"{fewest} images for {dimension} features: the covariance is singular, read kid instead"
        )
    people = min(len(set(one.patients)), len(set(reference.patients)))
    if people < FEW_PATIENTS:
        found.append(f"{people} patients: the interval is too narrow")
    common = set(map(str, one.patients)) & set(map(str, reference.patients))
    if common:
        found.append(f"{len(common)} patients stand in the reference too: the figure flatters")
    return tuple(found)
