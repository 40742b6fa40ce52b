from __future__ import annotations

import numpy as np
import pytest

from mcf_bundle.data.anatomy import head_mask
from mcf_bundle.data.level import fit_level_template, locate
from mcf_bundle.data.phantom import phantom_volume
from tests.data.disc_head import flair_of

Patient = tuple[np.ndarray, np.ndarray]


def patient(**kwargs: float) -> Patient:
    flair = flair_of(64, **kwargs)
    return flair, head_mask(flair)


@pytest.fixture(scope="module")
def patients() -> list[Patient]:
    counts, starts = (20, 24, 28, 30, 22, 26), (0.0, 0.05, 0.02, 0.0, 0.03, 0.04)
    return [patient(count=count, start=start) for count, start in zip(counts, starts, strict=True)]


def test_a_scan_that_starts_higher_gets_the_levels_of_its_slices(patients):
    template = fit_level_template(patients)
    whole = locate(*patient(count=41, empty=0), template)
    upper = locate(*patient(count=33, start=0.2, empty=0), template)
    assert upper.level[0] == pytest.approx(whole.level[8], abs=0.02)
    assert upper.level[-1] == pytest.approx(whole.level[-1], abs=0.02)
    assert upper.is_reliable
    assert upper.disagreement > 0.05


def test_levels_rise_in_equal_positive_steps(patients):
    estimate = locate(*patients[0], fit_level_template(patients))
    np.testing.assert_allclose(np.diff(estimate.level), estimate.step)
    assert estimate.step > 0


def test_the_template_does_not_depend_on_the_order_of_the_patients(patients):
    first, second = fit_level_template(patients), fit_level_template(patients[::-1])
    np.testing.assert_array_equal(first.planes, second.planes)
    np.testing.assert_array_equal(first.covered, second.covered)


def test_a_single_patient_keeps_the_levels_of_its_head():
    only = patient(count=21, empty=3)
    estimate = locate(*only, fit_level_template([only]))
    np.testing.assert_allclose(estimate.level, np.arange(24) / 20, atol=0.01)
    assert estimate.is_reliable


def test_a_stack_without_landmarks_stays_where_its_extent_puts_it():
    flair = np.repeat(flair_of(64)[12:13], 15, axis=0)
    tube = flair, head_mask(flair)
    estimate = locate(*tube, fit_level_template([tube, tube, tube]))
    np.testing.assert_allclose(estimate.level, np.arange(15) / 14, atol=0.01)


def test_a_head_of_another_kind_is_not_reliable(patients):
    flair, head = patients[0]
    flair = flair.copy()
    flair[:, :, :32] //= 50
    estimate = locate(flair, head, fit_level_template(patients))
    assert estimate.correlation < 0.8
    assert not estimate.is_reliable


def test_the_limits_of_reliability_are_parameters(patients):
    template = fit_level_template(patients)
    assert not locate(*patients[0], template, min_correlation=1.01).is_reliable
    assert not locate(*patients[0], template, max_disagreement=-1.0).is_reliable


def test_without_a_head_or_a_template_the_level_follows_the_stack_and_is_not_reliable(patients):
    empty = np.zeros((5, 64, 64), np.uint8), np.zeros((5, 64, 64), bool)
    for case, template in ((empty, fit_level_template(patients)), (empty, fit_level_template([empty]))):
        estimate = locate(*case, template)
        np.testing.assert_allclose(estimate.level, [0, 0.25, 0.5, 0.75, 1])
        assert not estimate.is_reliable
    assert not locate(*patients[0], fit_level_template([])).is_reliable


def test_one_slice_has_a_positive_step(patients):
    flair, head = patients[0]
    estimate = locate(flair[10:11], head[10:11], fit_level_template(patients))
    assert estimate.level.shape == (1,)
    assert estimate.step > 0


def test_levels_of_phantoms_agree_with_how_they_were_made():
    phantoms = [phantom_volume(seed, size=64) for seed in range(6)]
    stacks = [(phantom.image[:, 1], head_mask(phantom.image[:, 1])) for phantom in phantoms]
    template = fit_level_template(stacks)
    found = [locate(*stack, template) for stack in stacks]
    true = np.concatenate([phantom.levels for phantom in phantoms])
    level = np.concatenate([estimate.level for estimate in found])
    slope, offset = np.polyfit(true, level, 1)
    assert np.abs(slope * true + offset - level).max() < 0.05
    assert all(estimate.is_reliable for estimate in found)
