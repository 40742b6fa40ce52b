"""Whether a small random forest tells two sets of images apart by a few figures of each, split by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold

from mcf_bundle.arguments import check_count, check_seed
from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.bootstrap import bootstrap_over_patients
from mcf_bundle.metrics.classification import roc_auc

FOLDS, REPEATS, TREES = 5, 3, 200
"""Folds by patient, how often they are dealt anew, and trees of each forest."""

MIN_LEAF = 2
"""Fewest images in a leaf: on a few dozen images single ones would be learned by heart."""


@dataclass(frozen=True, eq=False)
class FigureSet:
    """Images of one kind, by a few figures of each.

    Attributes:
        figures: (N, K), float64; nan where undefined.
        patients: patient of each image, (N,); of a synthetic image the host's.
    """

    figures: NDArray[np.float64]
    patients: Sequence[str]


@dataclass(frozen=True)
class ForestRow:
    """How well a forest tells a set from the reference; 0.5 is not at all, 1 always.

    Attributes:
        name: the set.
        auc: of the forests' votes on images of patients that they were not grown on; nan where that cannot
            be.
        low: lower end of the 95 % interval by bootstrap over patients; the forests are not grown anew.
        high: upper end.
        n: images of the set with all figures.
        patients: their patients.
        reference_n: images of the reference with all figures.
        reference_patients: their patients.
        left_out: images of both with an undefined figure.
        difference: AUC minus that of the baseline; nan without one, and for the baseline itself.
        difference_low: lower end of its interval, from the same resamples.
        difference_high: upper end.
    """

    name: str
    auc: float
    low: float
    high: float
    n: int
    patients: int
    reference_n: int
    reference_patients: int
    left_out: int
    difference: float = float("nan")
    difference_low: float = float("nan")
    difference_high: float = float("nan")

    def __str__(self) -> str:
        """Return one line."""
        return (
            f"{self.name}: told from real with AUC {self.auc:.3f} (95 % interval over patients "
            f"{self.low:.3f} to {self.high:.3f}; n = {self.n} of {self.patients} patients against "
            f"{self.reference_n} of {self.reference_patients})"
        )


def compare_by_forest(
    sets: Mapping[str, FigureSet],
    reference: FigureSet,
    *,
    baseline: str | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> list[ForestRow]:
    """Measure how well a forest tells each set from the reference.

    Read it beside a set of real images of other patients: patients differ, and so do real sets. Images with
    an undefined figure are left out, and figures that no image has.

    Args:
        sets: by name.
        reference: real images.
        baseline: a set from which the others' AUC is subtracted, such as the composites.
        resamples: draws of the bootstrap; the patients of all sets and the reference are drawn together.
        seed: seed of folds, forests and draws.

    Returns:
        One row a set, in their order.

    Raises:
        ArgumentError: figures and patients do not fit, or there is no such baseline.
    """
    check_count("resamples", resamples)
    check_seed("seed", seed)
    if baseline is not None and baseline not in sets:
        raise ArgumentError("baseline", f"there is no set {baseline!r}", f"choose one of {list(sets)}")
    for name, one in {**sets, "reference": reference}.items():
        _check(name, one, reference.figures.shape[1])
    told = {name: _tell(one, reference, seed) for name, one in sets.items()}
    # Without a single image that has all figures there is nobody to draw, and every AUC is nan.
    patients = [p for each in told.values() for p in each.patients] or [""]
    ends = np.cumsum([len(each.patients) for each in told.values()])

    def statistic(cases: NDArray[np.intp]) -> NDArray[np.float64]:
        parts = np.searchsorted(ends, cases, side="right")
        aucs = np.array(
            [
                each.auc(cases[parts == k] - (ends[k] - len(each.patients)))
                for k, each in enumerate(told.values())
            ]
        )
        return np.concatenate(
            [aucs, aucs - (np.nan if baseline is None else aucs[list(told).index(baseline)])]
        )

    once = statistic(np.arange(ends[-1], dtype=np.intp))
    interval = bootstrap_over_patients(statistic, patients, resamples=resamples, seed=seed)
    return [
        _row(name, each, k, once, interval.low, interval.high, compared=baseline not in (None, name))
        for k, (name, each) in enumerate(told.items())
    ]


@dataclass(frozen=True, eq=False)
class _Told:
    """The votes on the images of a set and of the reference, with their patients."""

    labels: NDArray[np.int64]
    votes: NDArray[np.float64]
    patients: Sequence[str]
    left_out: int

    def auc(self, cases: NDArray[np.intp]) -> float:
        known = cases[~np.isnan(self.votes[cases])]
        return roc_auc(self.labels[known], self.votes[known])


def _tell(one: FigureSet, reference: FigureSet, seed: int) -> _Told:
    figures = np.concatenate([one.figures, reference.figures]).astype(np.float64)
    labels = np.repeat([1, 0], [len(one.figures), len(reference.figures)])
    patients = np.asarray([*one.patients, *reference.patients], str)
    figures = figures[:, ~np.isnan(figures).all(0)]
    whole = ~np.isnan(figures).any(1) if figures.shape[1] else np.zeros(len(figures), bool)
    votes = _votes(figures[whole], labels[whole], patients[whole], seed)
    return _Told(labels[whole], votes, patients[whole].tolist(), int((~whole).sum()))


def _votes(
    figures: NDArray[np.float64], labels: NDArray[np.int64], patients: NDArray[Any], seed: int
) -> NDArray[np.float64]:
    """Mean vote on each image by forests that were grown without its patient; nan where there is none."""
    folds = min(FOLDS, *(len(set(patients[labels == label])) for label in (0, 1)))
    if folds < 2:
        return np.full(len(labels), np.nan)
    votes = np.zeros((REPEATS, len(labels)))
    for repeat, once in enumerate(votes):
        state = int(np.random.default_rng([seed, repeat]).integers(2**31))
        dealer = StratifiedGroupKFold(folds, shuffle=True, random_state=state)
        for grown, judged in dealer.split(figures, labels, patients):
            once[judged] = _grow(figures[grown], labels[grown], state).predict_proba(figures[judged])[:, -1]
    return votes.mean(0)


def _grow(figures: NDArray[np.float64], labels: NDArray[np.int64], state: int) -> RandomForestClassifier:
    forest = RandomForestClassifier(
        TREES, min_samples_leaf=MIN_LEAF, class_weight="balanced", random_state=state, n_jobs=1
    )
    return forest.fit(figures, labels)


def _check(name: str, one: FigureSet, columns: int) -> None:
    if one.figures.ndim != 2 or one.figures.shape[1] != columns:
        problem = f"expected figures (N, {columns}), got the shape {one.figures.shape}"
        raise ArgumentError(name, problem, "measure the same figures of all sets")
    if len(one.figures) != len(one.patients):
        problem = f"has figures of {len(one.figures)} images and {len(one.patients)} patients"
        raise ArgumentError(name, problem, "give one patient an image")


def _row(
    name: str,
    told: _Told,
    k: int,
    once: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    *,
    compared: bool,
) -> ForestRow:
    gap = len(once) // 2 + k
    gaps = (float(once[gap]), float(low[gap]), float(high[gap])) if compared else (float("nan"),) * 3
    groups = [
        [p for p, label in zip(told.patients, told.labels, strict=True) if label == kind] for kind in (1, 0)
    ]
    return ForestRow(
        name,
        float(once[k]),
        float(low[k]),
        float(high[k]),
        len(groups[0]),
        len(set(groups[0])),
        len(groups[1]),
        len(set(groups[1])),
        told.left_out,
        *gaps,
    )
