"""What the metrics take as images, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.image_arrays import as_images

GOOD = np.linspace(0, 1, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4)


@pytest.mark.parametrize("given", [GOOD, GOOD.astype(np.float32), torch.from_numpy(GOOD)])
def test_numpy_and_torch_become_float32(given: Any) -> None:
    found = as_images("images", given, low=0, high=1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, GOOD, rtol=1e-6)


def test_tissue_brighter_than_the_range_is_clipped_on_request() -> None:
    bright = GOOD * 3.5  # as a vessel in a normalized slice
    clipped, kept = (as_images("images", bright, low=0, high=1, clip=clip) for clip in (True, False))
    np.testing.assert_allclose(clipped, np.minimum(bright, 1))
    np.testing.assert_allclose(kept, bright, rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (GOOD[0], "expected float32"),
        (GOOD[:0], "expected float32"),
        ((GOOD * 255).astype(np.uint8), "expected float32"),
        (GOOD[:1], "expected 2 images or more, got 1"),
        (np.where(GOOD == 0, np.nan, GOOD), "holds nan or inf"),
        (GOOD * 255, "expected intensities from 0 to 1, got 0 to 255"),
    ],
)
def test_other_arrays_are_refused(given: Any, problem: str) -> None:
    with pytest.raises(ArgumentError, match=f"images: {problem}"):
        as_images("images", given, low=0, high=1, least=2)
