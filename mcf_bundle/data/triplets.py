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


def context_indices(index: int, count: int, slices: int) -> list[int]:
    """Return the positions of the slices around a slice, nearest first: previous, next, the ones beyond them.

    Beyond the ends the first and the last slice stand in, as in `triplet_indices`.

    Args:
        index: position of the middle slice, from 0.
        count: number of slices of the patient.
        slices: how many on either side; 0 for none.

    >>> context_indices(5, 20, 2), context_indices(0, 20, 1), context_indices(3, 20, 0)
    ([4, 6, 3, 7], [0, 1], [])
    """
    offsets = [side * distance for distance in range(1, slices + 1) for side in (-1, 1)]
    return [min(max(index + offset, 0), count - 1) for offset in offsets]
