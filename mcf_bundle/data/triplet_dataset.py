"""Training samples: a slice, its two neighbors and its label, from volumes held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from mcf_bundle.data.normalization import IntensityScale
from mcf_bundle.data.triplets import context_indices
from mcf_bundle.data.volume import Label, Volume


@dataclass(frozen=True, eq=False)
class SliceRef:
    """One slice of a volume.

    Attributes:
        volume: the patient.
        scale: the patient's intensity scale.
        index: position of the slice in the volume, from 0.
    """

    volume: Volume
    scale: IntensityScale
    index: int

    @property
    def label(self) -> Label:
        """Class of the slice."""
        return Label.TUMOR if self.volume.mask[self.index].any() else Label.HEALTHY


def to_network_range(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Map normalized intensity (0 = background, 1 = bright tissue) to the networks' range (-1 and 1)."""
    return image * np.float32(2) - np.float32(1)


def from_network_range(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Undo `to_network_range`."""
    return (image + np.float32(1)) / np.float32(2)


class TripletDataset(Dataset):
    """Slices with their neighbors as tensors, straight from the stored gray levels.

    The volumes stay uint8 in memory (200 kB a slice at 256 x 256); a sample is normalized when it is asked
    for.

    Args:
        data: the samples, in order.
        context_slices: neighbors on either side; the paper's network sees one, one of single slices none.
    """

    def __init__(self, data: Sequence[SliceRef], context_slices: int = 1) -> None:
        self.data, self.context_slices = tuple(data), context_slices

    @property
    def labels(self) -> list[int]:
        """Class of each sample."""
        return [int(item.label) for item in self.data]

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, position: int) -> dict[str, Any]:
        """Return one sample.

        Returns:
            `image` (3, H, W) float32, network range; `context` (6 * context_slices, H, W) float32, network
            range, previous then next slice; `label` () int64, see `Label`; `mask` (1, H, W) float32, 0 or 1;
            `patient`, its name, and `slice`, its stored number, for per-case tables.
        """
        item = self.data[position]
        context = context_indices(item.index, len(item.volume.image), self.context_slices)
        triplet = to_network_range(item.scale.normalize(item.volume.image[[item.index, *context]]))
        return {
            "image": torch.from_numpy(triplet[0]),
            "context": torch.from_numpy(triplet[1:]).flatten(0, 1),
            "label": torch.tensor(int(item.label)),
            "mask": torch.from_numpy(item.volume.mask[item.index].astype(np.float32)[None]),
            "patient": item.volume.patient,
            "slice": item.volume.slice_numbers[item.index],
        }
