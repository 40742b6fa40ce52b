"""Which sequences of a patient were never acquired: the LGG files then hold FLAIR in their channel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.data.volume import Channel


def find_missing_sequences(image: NDArray[np.generic]) -> tuple[bool, ...]:
    """Find the channels that equal FLAIR in all slices.

    Args:
        image: (S, C, H, W), any dtype, stored intensities; axis 1 is ordered as `Channel`.

    Returns:
        One flag a channel; FLAIR's own is False. All flags are False for a volume without slices or without
        any contrast, where equality proves nothing.
    """
    flair = image[:, Channel.FLAIR]
    if not flair.size or flair.min() == flair.max():
        return (False,) * image.shape[1]
    return tuple(
        index != Channel.FLAIR and bool(np.array_equal(image[:, index], flair))
        for index in range(image.shape[1])
    )
