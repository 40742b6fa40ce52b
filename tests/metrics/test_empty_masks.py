from __future__ import annotations

import math

import pytest

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.empty_masks import as_empty_policy, image_diagonal


@pytest.mark.parametrize(
    ("shape", "spacing", "diagonal"),
    [
        ((3, 4), None, 5.0),
        ((3, 4), 2.0, 10.0),
        ((3, 4), (4.0, 4.0), 20.0),
        ((2, 3, 6), None, 7.0),
        ((3, 4, 1), (1.0, 1.0, 9.0), 5.0),
        ((1, 4), None, 4.0),
        ((1, 1), 2.0, 2.0),
        ((240, 240, 155), None, 373.1287),
    ],
)
def test_the_diagonal_is_that_of_the_image_in_the_unit_of_its_spacing(
    shape: tuple[int, ...], spacing: float | tuple[float, ...] | None, diagonal: float
) -> None:
    # 373.13 is what the BraTS challenge charges for a missed region in its 240 x 240 x 155 volumes.
    assert image_diagonal(shape, spacing) == pytest.approx(diagonal, abs=1e-4)


@pytest.mark.parametrize("policy", ["", "ignore", "PENALIZE", "nan"])
def test_an_unknown_policy_is_refused_with_the_known_ones(policy: str) -> None:
    with pytest.raises(ArgumentError, match="empty: expected one of penalize, exclude"):
        as_empty_policy(policy)


def test_the_diagonal_is_above_any_distance_between_pixels() -> None:
    assert image_diagonal((5, 6)) > math.hypot(4, 5)
