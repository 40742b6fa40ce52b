"""What the metrics of image quality take as features, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.feature_arrays import as_feature_pair, as_features

GOOD = np.arange(6, dtype=np.float32).reshape(3, 2)


@pytest.mark.parametrize("given", [GOOD, GOOD.astype(np.float64), torch.from_numpy(GOOD)])
def test_numpy_and_torch_become_float64(given: Any) -> None:
    found = as_features("features", given)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, GOOD)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (GOOD.astype(np.int64), "expected float32 or float64, got int64"),
        (GOOD.astype(np.float16), "expected float32 or float64, got float16"),
        (GOOD[0], r"expected features \(N, D\)"),
        (GOOD[:, :0], r"expected features \(N, D\)"),
        (GOOD[:1], "expected 2 cases or more, got 1"),
        (np.where(GOOD == 3, np.nan, GOOD), "row 1 holds nan or inf"),
        (np.where(GOOD == 4, np.inf, GOOD), "row 2 holds nan or inf"),
    ],
)
def test_other_arrays_are_refused(given: Any, problem: str) -> None:
    with pytest.raises(ArgumentError, match=f"^reference: {problem}"):
        as_feature_pair(GOOD, given)


def test_features_of_two_extractors_are_refused() -> None:
    with pytest.raises(ArgumentError, match="reference: has 1 features a case, features has 2"):
        as_feature_pair(GOOD, GOOD[:, :1])
