from __future__ import annotations

import numpy as np
import pytest

from mcf_bundle.data.volume import Volume


@pytest.mark.parametrize(
    ("tumor", "distance"),
    [((2, 5), [2, 1, 0, 1, 1, 0]), ((0,), [0, 1, 2, 3, 4, 5]), ((), [np.inf] * 6)],
)
def test_the_distance_to_the_nearest_tumor_is_counted_in_slices(
    tumor: tuple[int, ...], distance: list[float]
) -> None:
    mask = np.zeros((6, 4, 4), bool)
    mask[list(tumor), 1, 2] = True
    volume = Volume("A", "", tuple(range(1, 7)), np.zeros((6, 3, 4, 4), np.uint8), mask)
    assert volume.tumor_distance.tolist() == distance
