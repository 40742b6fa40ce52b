"""Whole volumes in an evaluation of slices: a patient's masks are put together and scored in 3D."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.case_table import Row, case_columns, segmentation_row
from mcf_bundle.metrics.denominator import Denominator
from mcf_bundle.metrics.handlers import SegmentationRows
from mcf_bundle.metrics.masks import Mask, as_mask_pair, as_spacing, mask_of
from mcf_bundle.metrics.summary import Summary, summarize_segmentation


class VolumeRows(SegmentationRows):
    """One row of `SEGMENTATION_COLUMNS` a patient, from a batch with `patient` and `slice` and two masks.

    Args:
        *keys: as of `SegmentationRows`; the masks are slices, (C, H, W).
        spacing_mm: of rows, columns and slices, or one number for all; None means unknown: distances are in
            voxels, as if the next slice were as far away as the next pixel.
        **settings: as of `SegmentationRows`.

    Raises:
        ArgumentError: see `as_spacing`.
    """

    def __init__(
        self, *keys: str, spacing_mm: float | Sequence[float] | None = None, **settings: Any
    ) -> None:
        as_spacing(spacing_mm, 3)
        super().__init__(*keys, spacing_mm=spacing_mm, **settings)

    def row(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Keep the masks of one slice, eight pixels a byte."""
        prediction, reference = as_mask_pair(*(mask_of(item[key], self.channel) for key in self.keys[:2]))
        return {
            **case_columns(item["patient"], int(item["slice"])),
            "shape": prediction.shape,
            "masks": np.packbits([prediction, reference]),
        }

    def as_table(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Score each patient's volume.

        Args:
            rows: of `row`, ordered by patient and slice. Slices between them that are missing count as empty
                in both masks.

        Raises:
            ArgumentError: the slices of a patient differ in their shape.
        """
        return [
            segmentation_row(*_stack(patient, list(slices)), patient=patient, **self.scoring)
            for patient, slices in groupby(rows, key=lambda row: row["patient"])
        ]

    def summarize(self, rows: Sequence[Row]) -> list[Summary]:
        """Summarize the volumes, each patient once."""
        return summarize_segmentation(
            rows, denominators=(Denominator.PATIENTS,), resamples=self.resamples, seed=self.seed
        )


def _stack(patient: str, slices: Sequence[Row]) -> tuple[Mask, Mask]:
    """Return predicted and reference volume, (H, W, D)."""
    shape = slices[0]["shape"]
    if any(row["shape"] != shape for row in slices):
        problem = f"the slices of patient {patient} differ in their shape"
        raise ArgumentError("rows", problem, "bring them onto one grid, or leave the volumes out")
    first, last = slices[0]["slice"], slices[-1]["slice"]
    volumes = np.zeros((2, *shape, last - first + 1), np.bool_)
    for row in slices:
        masks = np.unpackbits(row["masks"], count=2 * int(np.prod(shape))).astype(np.bool_)
        volumes[..., row["slice"] - first] = masks.reshape(2, *shape)
    return volumes[0], volumes[1]
