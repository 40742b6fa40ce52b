"""Axial level of slices, by alignment of a patient's stack to the mean stack of the training patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.data.level_alignment import (
    GRID,
    PLANE_SIZE,
    HeadStack,
    align,
    head_stack,
    levels_of,
    position_in_head,
)

CHECKED_LEVELS = (0.38, 0.84)
"""Levels between which alignment and head extent are compared; below, scans end where they please."""


@dataclass(frozen=True, eq=False)
class LevelTemplate:
    """Mean stack of FLAIR planes in the head's frame.

    Attributes:
        planes: (97, 24 * 24), float64, mean of FLAIR over its median in the head, 0 outside the head; the
            planes' levels are `GRID`.
        covered: (97,), bool, levels at which some patient has a slice.
        patient_count: number of patients in the mean.
    """

    planes: NDArray[np.float64]
    covered: NDArray[np.bool_]
    patient_count: int


@dataclass(frozen=True, eq=False)
class LevelEstimate:
    """Axial level of a patient's slices.

    Attributes:
        level: (S,), float64, ascending in equal steps; 0 at the bottom of the average head, 1 at the vertex;
            slices beyond either lie outside [0, 1].
        step: level between neighboring slices, positive.
        correlation: Pearson correlation of the aligned stack with the template, 0 where nothing was aligned.
        disagreement: largest absolute difference from the level that the head's extent alone gives, over the
            slices between the checked levels.
        is_reliable: whether both are within the limits.
    """

    level: NDArray[np.float64]
    step: float
    correlation: float
    disagreement: float
    is_reliable: bool


def fit_level_template(
    patients: Sequence[tuple[NDArray[np.generic], NDArray[np.bool_]]], *, rounds: int = 4
) -> LevelTemplate:
    """Average the stacks of some patients, each aligned to the mean of the others.

    The first mean takes every stack by its head's extent. In each round all stacks are stretched and shifted
    to the mean of the other patients, then the median stretch is set back to 1 and the median shift to 0. The
    result does not depend on the order of the patients.

    Args:
        patients: FLAIR (S, H, W), any real dtype, and head mask (S, H, W), bool, of each training patient.
        rounds: number of alignments.

    Returns:
        The template; of one patient it is that patient's stack, of none (or of empty heads) it covers
        nothing.
    """
    stacks = [head_stack(flair, head) for flair, head in patients if head.any()]
    transforms = [(1.0, 0.0)] * len(stacks)
    for _ in range(rounds if len(stacks) > 1 else 0):
        resampled = [_on_grid(stack, *pair) for stack, pair in zip(stacks, transforms, strict=True)]
        total, count = _ordered_sum(resampled)
        moved = []
        for stack, (planes, covered) in zip(stacks, resampled, strict=True):
            others = count - covered
            mean = (total - planes) / np.maximum(others, 1)[:, None]
            moved.append(align(stack, mean, others > 0)[:2])
        scales, shifts = np.array(moved).T
        transforms = [(a / float(np.median(scales)), b - float(np.median(shifts))) for a, b in moved]
    total, count = _ordered_sum(
        [_on_grid(stack, *pair) for stack, pair in zip(stacks, transforms, strict=True)]
    )
    return LevelTemplate(total / np.maximum(count, 1)[:, None], count > 0, len(stacks))


def locate(
    flair: NDArray[np.generic],
    head: NDArray[np.bool_],
    template: LevelTemplate,
    *,
    min_correlation: float = 0.80,
    max_disagreement: float = 0.15,
) -> LevelEstimate:
    """Estimate the axial level of every slice of a patient.

    Args:
        flair: (S, H, W), any real dtype, stored or normalized gray levels, inferior to superior.
        head: (S, H, W), bool, see `head_mask`.
        template: see `fit_level_template`.
        min_correlation: smallest correlation with the template that counts as reliable.
        max_disagreement: largest difference from the head's extent that counts as reliable, in levels.

    Returns:
        The estimate. Without a head, or with a template that covers nothing, the level follows from the
        extent of the head or of the stack alone, and is not reliable.
    """
    if not head.any() or not template.covered.any():
        position = position_in_head(head)
        return LevelEstimate(position, _step(position), 0.0, 0.0, False)
    stack = head_stack(flair, head)
    scale, shift, correlation = align(stack, template.planes, template.covered)
    level = levels_of(stack.position, scale, shift)
    checked = (level >= CHECKED_LEVELS[0]) & (level <= CHECKED_LEVELS[1])
    difference = np.abs(level - stack.position)[checked if checked.any() else slice(None)]
    disagreement = float(difference.max())
    reliable = correlation >= min_correlation and disagreement <= max_disagreement
    return LevelEstimate(level, _step(level), correlation, disagreement, reliable)


def _step(level: NDArray[np.float64]) -> float:
    return float(level[1] - level[0]) if len(level) > 1 else 1.0


def _on_grid(stack: HeadStack, scale: float, shift: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Interpolate a stack at the template's levels: planes (97, 576), 0 beyond the stack, and coverage."""
    level = levels_of(stack.position, scale, shift)
    margin = 0.5 * _step(level)
    covered = (level[0] - margin <= GRID) & (level[-1] + margin >= GRID)
    index = np.interp(GRID, level, np.arange(len(level)))
    low = np.minimum(index.astype(int), len(level) - 1)
    high = np.minimum(low + 1, len(level) - 1)
    fraction = (index - low)[:, None]
    planes = stack.planes[low] * (1 - fraction) + stack.planes[high] * fraction
    return planes * covered[:, None], covered


def _ordered_sum(
    resampled: Sequence[tuple[NDArray[np.float64], NDArray[np.bool_]]],
) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
    """Sum planes over patients, the same to the last bit in whatever order they come."""
    if not resampled:
        return np.zeros((len(GRID), PLANE_SIZE**2)), np.zeros(len(GRID), int)
    planes = np.sort(np.stack([planes for planes, _ in resampled]), axis=0)
    return planes.sum(axis=0), np.sum([covered for _, covered in resampled], axis=0)
