"""A stored slice with what its patient's other slices tell: the intensity scale and the neighbors."""

from __future__ import annotations

import functools
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from numpy.typing import NDArray

from mcf_bundle.data.inner_path import refuse_outward_link
from mcf_bundle.data.normalization import IntensityScale, estimate_intensity_scale
from mcf_bundle.data.stored_images import SEQUENCES, NormalizeVolumed
from mcf_bundle.data.tiff import read_tiff
from mcf_bundle.data.triplet_dataset import to_network_range
from mcf_bundle.data.triplets import context_indices
from mcf_bundle.errors import DataError

_SLICE_FILE = re.compile(r"(?P<series>.+)_(?P<number>\d+)\.tiff?", re.IGNORECASE)


class NormalizeSeriesd(NormalizeVolumed):
    """Normalize volumes as `NormalizeVolumed`, and slices by all slices of their patient beside them.

    In the LGG layout ``<patient>_<number>.tif`` lies beside the other slices of the patient. All of them make
    the intensity scale, as in training, and with three `input_slices` the neighbors join the image. A slice
    that lies alone is scaled by itself.

    Args:
        keys: images (C, H, W[, D]), C = 1 or 3, rows and columns of slices as stored.
        input_slices: 3 joins the neighbors of a slice that has them beside it: (9, H, W), in the order image,
            previous, next.

    Raises:
        DataError: see `NormalizeVolumed`, or the slices of a patient differ in size.
    """

    def __init__(self, keys: KeysCollection, input_slices: int = 1) -> None:
        super().__init__(keys)
        self.context_slices = input_slices // 2

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the image as (3 or 9, H, W) or (3, H, W, D), float32, network range, its metadata kept."""
        changed = dict(data)
        for key in self.key_iterator(changed):
            image = changed[key]
            path = Path(str(getattr(image, "meta", {}).get("filename_or_obj", "")))
            match = _SLICE_FILE.fullmatch(path.name)
            if match is None or image.ndim != 3 or len(image) != SEQUENCES or not path.is_file():
                changed = super().__call__(changed)
                continue
            numbers, stack, scale = _read_series(path.parent, match["series"])
            if stack.shape[1:] != tuple(image.shape):
                problem = f"is {tuple(image.shape)}, its file {stack.shape[1:]}"
                raise DataError(path, problem, "leave rows, columns and channels as they are stored")
            index = numbers.index(int(match["number"]))
            chosen = [index, *context_indices(index, len(numbers), self.context_slices)]
            values = to_network_range(scale.normalize(stack[chosen])).reshape(-1, *stack.shape[2:])
            changed[key] = MetaTensor(torch.from_numpy(values).to(image.device), meta=image.meta)
        return changed


@functools.lru_cache(maxsize=2)
def _read_series(folder: Path, series: str) -> tuple[list[int], NDArray[np.uint8], IntensityScale]:
    """Return the numbers of a patient's slices, their gray levels (S, 3, H, W), uint8, and their scale."""
    found = [(match, path) for path in folder.iterdir() if (match := _SLICE_FILE.fullmatch(path.name))]
    files = {int(match["number"]): path for match, path in found if match["series"] == series}
    slices: list[NDArray[Any]] = []
    for _, path in sorted(files.items()):
        refuse_outward_link(path, folder)
        pixels = read_tiff(path, remedy="replace it, or move it away")
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or (slices and pixels.shape != slices[0].shape):
            problem = (
                f"is {pixels.shape} in {pixels.dtype}, expected slices of one size, uint8, in three channels"
            )
            raise DataError(path, problem, "store all slices of a patient alike")
        slices.append(pixels)
    stack = np.ascontiguousarray(np.stack(slices).transpose(0, 3, 1, 2))
    return sorted(files), stack, estimate_intensity_scale(stack)
