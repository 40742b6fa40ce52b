from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.masks import as_mask, as_mask_pair, as_spacing, mask_of, squeeze_axes
from tests.metrics.masks import HALF


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64])
def test_booleans_and_whole_numbers_of_0_and_1_are_masks(dtype: type) -> None:
    mask = as_mask(np.eye(3, dtype=dtype), "mask")
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, np.eye(3) == 1)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (np.full((2, 2), 0.7), "prediction: expected a boolean mask, got float64; compare .* threshold"),
        (np.eye(2), "got float64"),
        (np.array([[0, 255]], np.uint8), "integers from 0 to 255"),
        (np.array([[-1, 1]]), "integers from -1 to 1"),
        (np.zeros(4, bool), r"got shape \(4,\)"),
        (np.zeros((1, 1, 4, 4), bool), r"without batch and channel axes"),
        (np.zeros((0, 4), bool), r"got shape \(0, 4\)"),
        (np.array([["a"]]), "got <U1"),
    ],
)
def test_what_is_no_mask_is_refused(values: Any, problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        as_mask(values, "prediction")


def test_masks_of_two_shapes_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"prediction: shape \(4, 4\) differs .* \(4, 5\)"):
        as_mask_pair(np.zeros((4, 4), bool), np.zeros((4, 5), bool))


@pytest.mark.parametrize(
    ("spacing", "expected"), [(None, [1, 1, 1]), (2, [2, 2, 2]), ((1, 2.5, 3), [1, 2.5, 3])]
)
def test_spacing_is_one_number_for_each_axis(spacing: Any, expected: list[float]) -> None:
    np.testing.assert_array_equal(as_spacing(spacing, 3), expected)


@pytest.mark.parametrize(
    "spacing", [0, -1, (1, -2), (1, 2, 3), (1,), [[1, 2]], float("nan"), float("inf"), "wide", (1, None)]
)
def test_what_is_no_spacing_is_refused(spacing: Any) -> None:
    with pytest.raises(ArgumentError, match="spacing: expected"):
        as_spacing(spacing, 2)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32, torch.float16])
def test_a_mask_is_0_and_1_in_any_dtype_and_the_last_channel_by_default(dtype: torch.dtype) -> None:
    masks = torch.from_numpy(np.stack([~HALF, HALF])).to(dtype)
    np.testing.assert_array_equal(mask_of(masks, -1), HALF)
    np.testing.assert_array_equal(mask_of(MetaTensor(masks), 0), ~HALF)


@pytest.mark.parametrize(
    ("shape", "squeezed", "kept"),
    [((4, 5), (4, 5), [1, 2]), ((4, 5, 1), (4, 5), [1, 2]), ((1, 4, 5), (4, 5), [2, 3]), ((1, 1), (1,), [2])],
)
def test_axes_of_length_one_are_left_out(
    shape: tuple[int, ...], squeezed: tuple[int, ...], kept: list[float]
) -> None:
    masks, spacing = squeeze_axes([np.ones(shape, bool)], np.arange(1.0, len(shape) + 1))
    assert masks[0].shape == squeezed
    np.testing.assert_array_equal(spacing, kept)
