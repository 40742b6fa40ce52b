import numpy as np
import pytest

from mcf_bundle.generation.harmonize import harmonize, soft_alpha
from mcf_bundle.generation.margin import grow
from tests.generation.discs import disc

BRAIN = disc(128, 63.5, 63.5, 50)[None]
LESION = disc(128, 60, 70, 12)[None]


def slices(tissue, lesion=None):
    image = np.full((1, 3, 128, 128), 0.05, np.float32)
    image[:, :, BRAIN[0]] = np.asarray(tissue, np.float32)[None, :, None]
    if lesion is not None:
        image[:, :, LESION[0]] = np.asarray(lesion, np.float32)[None, :, None]
    return image


def test_ratio_to_constant_tissue_is_carried_over_exactly():
    donor = slices((0.4, 0.5, 0.8), lesion=(0.2, 1.0, 0.8))
    result = harmonize(donor, LESION, BRAIN, slices((0.8, 0.25, 0.4)), BRAIN)
    np.testing.assert_allclose(result[0, :, 60, 70], (0.4, 0.5, 0.4), rtol=1e-5)
    np.testing.assert_allclose(result[0, :, 30, 60], (0.8, 0.25, 0.4), rtol=1e-5)
    assert result.dtype == np.float32


def test_gain_follows_a_slow_shading_of_the_host():
    shading = np.linspace(0.5, 1.5, 128, dtype=np.float32)
    host = slices((0.4, 0.4, 0.4)) * shading
    result = harmonize(slices((0.4,) * 3), np.zeros_like(LESION), BRAIN, host, BRAIN)
    np.testing.assert_allclose(result[0, 0, 64, 40:88], host[0, 0, 64, 40:88], rtol=0.05)


def test_edema_beside_the_tumor_does_not_count_as_tissue():
    donor = slices((0.4,) * 3, lesion=(0.8,) * 3)
    donor[:, :, grow(LESION[0], 1.0, factor=1.0) & ~LESION[0]] = 5.0
    result = harmonize(donor, LESION, BRAIN, slices((0.4,) * 3), BRAIN)
    np.testing.assert_allclose(result[0, :, 60, 70], 0.8, rtol=1e-5)


@pytest.mark.parametrize("empty", ["donor", "host"])
def test_without_tissue_the_donor_stays_as_it_is(empty):
    donor, nothing = slices((0.4,) * 3), np.zeros_like(BRAIN)
    tissue = {"donor": BRAIN, "host": BRAIN, empty: nothing}
    result = harmonize(donor, LESION, tissue["donor"], slices((0.8,) * 3), tissue["host"])
    np.testing.assert_array_equal(result, donor)


def test_alpha_is_one_in_the_mask_and_fades_outside():
    alpha = soft_alpha(LESION)
    assert (alpha[LESION] == 1).all()
    row = alpha[0, 60, 82:]
    assert (np.diff(row) <= 0).all()
    # Sigma is 2 at 256 x 256, hence 1 here; one pixel off, exp(-1/2).
    assert row[1] == pytest.approx(np.exp(-0.5))
    assert not row[5:].any()


def test_alpha_of_an_empty_slice_is_zero():
    assert not soft_alpha(np.zeros((3, 16, 16), bool)).any()


def test_alpha_without_softness_is_the_mask():
    np.testing.assert_array_equal(soft_alpha(LESION, 0.0), LESION)
