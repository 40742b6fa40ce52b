"""One patient's stack of slices, and the names of its channels and labels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Channel(IntEnum):
    """Position of a sequence in the channel axis, in the order of the LGG files."""

    PRE = 0
    FLAIR = 1
    POST = 2


class Label(IntEnum):
    """Class number of a slice. HEALTHY means 'no mask in this slice', not 'healthy patient'."""

    HEALTHY = 0
    TUMOR = 1


@dataclass(frozen=True, eq=False)
class Volume:
    """All slices of one patient, from inferior to superior.

    Attributes:
        patient: name of the patient's folder.
        institution: code of the institution.
        slice_numbers: number of each slice in its file name, ascending, without gaps.
        image: (S, 3, H, W), uint8, stored intensities; axis 1 is ordered as `Channel`.
        mask: (S, H, W), bool, the FLAIR abnormality (tumor and edema).
    """

    patient: str
    institution: str
    slice_numbers: tuple[int, ...]
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]

    @property
    def flair(self) -> NDArray[np.uint8]:
        """FLAIR channel, (S, H, W), uint8."""
        return self.image[:, Channel.FLAIR]

    @property
    def labels(self) -> NDArray[np.bool_]:
        """Whether each slice has tumor, (S,), bool."""
        return np.asarray(self.mask.any(axis=(1, 2)))

    @property
    def tumor_distance(self) -> NDArray[np.float64]:
        """Slices from each slice to the nearest one with tumor, (S,), float64; infinite without tumor."""
        tumor = np.flatnonzero(self.labels)
        apart = np.abs(np.subtract.outer(np.arange(len(self.mask), dtype=np.float64), tumor))
        return np.asarray(apart.min(axis=1, initial=np.inf))
