from __future__ import annotations

import numpy as np

from mcf_bundle.data.missing_sequences import find_missing_sequences


def random_image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8)).astype(np.uint8)


def test_a_channel_that_equals_flair_in_all_slices_is_missing():
    image = random_image()
    image[:, 2] = image[:, 1]
    assert find_missing_sequences(image) == (False, False, True)
    image[:, 0] = image[:, 1]
    assert find_missing_sequences(image) == (True, False, True)


def test_one_pixel_of_difference_makes_a_channel_present():
    image = random_image()
    image[:, 2] = image[:, 1]
    image[3, 2, 0, 0] ^= 1
    assert find_missing_sequences(image) == (False, False, False)


def test_black_or_absent_slices_prove_nothing():
    assert find_missing_sequences(np.zeros((4, 3, 8, 8), np.uint8)) == (False, False, False)
    assert find_missing_sequences(np.zeros((0, 3, 8, 8), np.uint8)) == (False, False, False)
