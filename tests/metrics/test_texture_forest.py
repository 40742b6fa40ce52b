"""A forest finds a planted difference, none where there is none, and cheats with no patient."""

from __future__ import annotations

import numpy as np
import pytest

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics import texture_forest
from mcf_bundle.metrics.texture_forest import FigureSet, compare_by_forest


@pytest.fixture(autouse=True)
def _small_forests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texture_forest, "TREES", 20)
    monkeypatch.setattr(texture_forest, "REPEATS", 1)


def figure_set(
    prefix: str, seed: int, *, shift: float = 0.0, patients: int = 20, each: int = 4, spread: float = 0.0
) -> FigureSet:
    """Normal figures; `shift` moves the first one, `spread` is how far patients lie apart."""
    generator = np.random.default_rng(seed)
    own = spread * generator.standard_normal((patients, 6))
    figures = np.repeat(own, each, 0) + generator.standard_normal((patients * each, 6))
    figures[:, 0] += shift
    return FigureSet(figures, [f"{prefix}{k // each}" for k in range(patients * each)])


def test_a_planted_difference_is_found() -> None:
    sets = {"shifted": figure_set("s", 1, shift=3.0), "alike": figure_set("a", 2)}
    shifted, alike = compare_by_forest(sets, figure_set("r", 3), baseline="alike", resamples=100)
    # Two normal laws 3 SD apart: the best classifier has AUC Phi(3 / sqrt 2) = 0.983.
    assert 0.95 < shifted.auc < 0.995
    assert 0.9 < shifted.low < shifted.auc < shifted.high
    assert shifted.difference == pytest.approx(shifted.auc - alike.auc)
    assert shifted.difference_low > 0.2
    assert np.isnan(alike.difference)
    assert (shifted.n, shifted.patients, shifted.reference_n, shifted.left_out) == (80, 20, 80, 0)


def test_halves_of_one_distribution_are_not_told_apart() -> None:
    """The AUC of one pair of halves has an SD near 0.06, the mean of six 0.025."""
    halves = [(figure_set("s", seed), figure_set("r", 100 + seed)) for seed in range(6)]
    aucs = [compare_by_forest({"one": one}, other, resamples=2)[0].auc for one, other in halves]
    assert abs(np.mean(aucs) - 0.5) < 0.08


def test_patients_who_differ_are_no_difference_between_the_sets() -> None:
    """Split by image, a forest would know each patient from his other images, and be right nearly always."""
    sets = {"others": figure_set("o", 4, spread=5.0, patients=12, each=8)}
    row = compare_by_forest(sets, figure_set("r", 5, spread=5.0, patients=12, each=8), resamples=50)[0]
    assert abs(row.auc - 0.5) < 0.25


def test_undefined_figures_leave_out_images_and_figures_that_nobody_has() -> None:
    one, reference = figure_set("s", 6, shift=3.0), figure_set("r", 7)
    for each in (one, reference):
        each.figures[:, 5] = np.nan
    one.figures[:8, 1] = np.nan
    row = compare_by_forest({"one": one}, reference, resamples=20)[0]
    assert (row.n, row.patients, row.left_out) == (72, 18, 8)
    assert row.auc > 0.9


def test_one_patient_or_no_whole_image_gives_nan() -> None:
    reference = figure_set("r", 8)
    nothing = figure_set("n", 9)
    nothing.figures[:, 0] = np.nan
    sets = {"single": figure_set("s", 10, patients=1, each=8), "nothing": nothing}
    single, none = compare_by_forest(sets, reference, resamples=20)
    assert np.isnan(single.auc)
    assert (none.n, none.left_out) == (0, 80)
    assert np.isnan([none.auc, none.low, none.high]).all()


def test_same_seed_same_row_whatever_other_sets_there_are() -> None:
    one, reference = figure_set("s", 11, shift=1.0), figure_set("r", 12)
    alone = compare_by_forest({"one": one}, reference, resamples=20, seed=3)[0]
    again = compare_by_forest({"one": one, "two": figure_set("t", 13)}, reference, resamples=20, seed=3)[0]
    assert alone.auc == again.auc
    assert str(alone).startswith(f"one: told from real with AUC {alone.auc:.3f}")


def test_bad_input_is_refused() -> None:
    one, reference = figure_set("s", 14), figure_set("r", 15)
    with pytest.raises(ArgumentError, match="baseline: there is no set 'two'"):
        compare_by_forest({"one": one}, reference, baseline="two")
    with pytest.raises(ArgumentError, match="expected figures"):
        compare_by_forest({"one": FigureSet(one.figures[:, :3], one.patients)}, reference)
    with pytest.raises(ArgumentError, match="patients"):
        compare_by_forest({"one": FigureSet(one.figures, one.patients[:3])}, reference)
