"""Which slices stand beside a slice."""

from __future__ import annotations


def triplet_indices(index: int, count: int) -> tuple[int, int, int]:
    """Return the positions of the previous, the middle and the next slice of one patient.

    The first and the last slice have only one neighbor; they stand in for the other one themselves.

    Args:
        index: position of the middle slice, from 0.
        count: number of slices of the patient.

    >>> triplet_indices(5, 20), triplet_indices(0, 20), triplet_indices(19, 20)
    ((4, 5, 6), (0, 0, 1), (18, 19, 19))
    """
    return max(index - 1, 0), index, min(index + 1, count - 1)
