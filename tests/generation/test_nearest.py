from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mcf_bundle.data.case import Case
from mcf_bundle.generation.nearest import THUMBNAIL, SliceGallery, thumbnail
from tests.generation.discs import disc_case


def noise_case(patient: str, seed: int, size: int = THUMBNAIL) -> Case:
    """A case of random pixels: no two slices look alike. At the thumbnails' size nothing is reduced."""
    case = disc_case(patient, size=size, radius=10.0, center=(size / 2, size / 2))
    image = np.random.default_rng(seed).integers(0, 255, case.volume.image.shape, dtype=np.uint8)
    return replace(case, volume=replace(case.volume, image=image))


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [noise_case(name, seed) for seed, name in enumerate("ABC")]


def slices(case: Case) -> np.ndarray:
    return case.normalized(slice(None))


def test_a_slices_own_copy_correlates_fully(cases: list[Case]) -> None:
    gallery = SliceGallery(cases)
    for image in slices(cases[1]):
        assert gallery.nearest(image, left_out=()) == pytest.approx(1.0, abs=1e-5)
        assert gallery.nearest(image, left_out=("A", "C")) == pytest.approx(1.0, abs=1e-5)


def test_the_patient_left_out_does_not_count(cases: list[Case]) -> None:
    gallery = SliceGallery(cases)
    assert all(gallery.nearest(image, left_out=("B",)) < 0.2 for image in slices(cases[1]))


def test_the_correlation_is_pearsons_over_all_channels(cases: list[Case]) -> None:
    image = noise_case("D", 9).normalized([0])[0]
    expected = max(
        np.corrcoef(image.ravel(), other.ravel())[0, 1] for case in cases[:2] for other in slices(case)
    )
    assert SliceGallery(cases).nearest(image, left_out=("C",)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("gain", [0.1, 3.0])
@pytest.mark.parametrize("offset", [0.0, -2.0])
def test_brightness_and_contrast_do_not_matter(cases: list[Case], gain: float, offset: float) -> None:
    image = (gain * slices(cases[0])[2] + offset).astype(np.float32)
    assert SliceGallery(cases).nearest(image, left_out=()) == pytest.approx(1.0, abs=1e-4)


def test_an_inverted_slice_is_no_copy(cases: list[Case]) -> None:
    assert SliceGallery(cases).nearest(-slices(cases[0])[2], left_out=()) < 0.2


def test_noise_below_the_thumbnails_resolution_hides_no_copy() -> None:
    case = disc_case("A")
    image = case.normalized([3])[0]
    noisy = image + np.random.default_rng(0).normal(0.0, 0.05, image.shape).astype(np.float32)
    assert SliceGallery([case]).nearest(noisy, left_out=()) > 0.99


@pytest.mark.parametrize("left_out", [("A", "B", "C"), ("C", "B", "A", "D")])
def test_without_other_patients_the_answer_is_minus_one(cases: list[Case], left_out: tuple[str, ...]) -> None:
    image = slices(cases[0])[0]
    assert SliceGallery(cases).nearest(image, left_out=left_out) == -1.0
    assert SliceGallery([]).nearest(image, left_out=()) == -1.0


def test_a_constant_slice_resembles_nothing(cases: list[Case]) -> None:
    constant = np.full((3, 64, 64), 0.5, np.float32)
    assert not thumbnail(constant).any()
    assert SliceGallery(cases).nearest(constant, left_out=()) == 0.0


@pytest.mark.parametrize("size", [32, 64, 256])
def test_a_thumbnail_is_a_unit_vector_without_mean(size: int) -> None:
    vector = thumbnail(noise_case("A", 3, size).normalized([0])[0])
    assert vector.shape == (3 * THUMBNAIL**2,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
    assert vector.mean() == pytest.approx(0.0, abs=1e-6)
