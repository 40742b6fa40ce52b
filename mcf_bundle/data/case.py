"""A patient's volume together with everything that is measured on it once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.data.midline import Midline
from mcf_bundle.data.normalization import IntensityScale
from mcf_bundle.data.volume import Volume


@dataclass(frozen=True, eq=False)
class Case:
    """A volume and its anatomy: what hosts, donors and placement are chosen by.

    Attributes:
        volume: the stored slices and masks.
        scale: intensity scale, per channel.
        missing: whether each channel is a copy of FLAIR because the sequence was not acquired, one a channel.
        head: (S, H, W), bool, see `head_mask`.
        brain: (S, H, W), bool, see `brain_region`.
        level: (S,), float64, axial level of each slice: 0 at the bottom of the head, 1 at the vertex.
        level_step: level between neighboring slices, positive.
        level_is_reliable: whether the alignment to the level template can be trusted.
        midline: the mid-sagittal axis in the plane of the slices.
        unlisted: positions of slices that a datalist leaves out. They are measured with the whole head, which
            levels and intensity scale need, and may be neighbors of others; nothing else is taken from them.
    """

    volume: Volume
    scale: IntensityScale
    missing: tuple[bool, ...]
    head: NDArray[np.bool_]
    brain: NDArray[np.bool_]
    level: NDArray[np.float64]
    level_step: float
    level_is_reliable: bool
    midline: Midline
    unlisted: frozenset[int] = frozenset()

    @property
    def patient(self) -> str:
        """Name of the patient."""
        return self.volume.patient

    @property
    def listed(self) -> list[int]:
        """Positions of the slices that take part."""
        return [index for index in range(len(self.level)) if index not in self.unlisted]

    @property
    def tumor_slices(self) -> list[int]:
        """Positions of the slices with tumor that take part."""
        return [index for index in np.flatnonzero(self.volume.labels).tolist() if index not in self.unlisted]

    def normalized(self, indices: slice | list[int] | NDArray[np.int_]) -> NDArray[np.float32]:
        """Normalized intensity of some slices, (len(indices), 3, H, W), float32, 0 = background."""
        return self.scale.normalize(self.volume.image[indices])
