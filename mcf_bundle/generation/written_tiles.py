"""Tiles of the images that a run has written, each read when it is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from mcf_bundle.data.case import Case
from mcf_bundle.data.generated_case import GENERATED_SLICE
from mcf_bundle.data.lgg import read_volume
from mcf_bundle.generation.case_tile import case_tile, origin_of
from mcf_bundle.generation.materials import prepare_materials
from mcf_bundle.generation.placement_rules import PlacementRules
from mcf_bundle.generation.plan import Plan
from mcf_bundle.generation.tile import Tile


class WrittenTiles(Sequence[Tile]):
    """The tiles of a run's images in row order; none of them is kept.

    Args:
        output_dir: the run's folder with the images.
        plan: the plan, with the patients' own names.
        records: lines of the manifest.
        cases: the training patients, by name.
        rules: what counts as tissue where a tumor is painted; those of the plan.
    """

    def __init__(
        self,
        output_dir: Path,
        plan: Plan,
        records: Sequence[Mapping[str, Any]],
        cases: Mapping[str, Case],
        rules: PlacementRules | None = None,
    ) -> None:
        self.output_dir, self.plan, self.records = output_dir, plan, records
        self.cases, self.rules = cases, rules

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.records)

    @overload
    def __getitem__(self, index: int) -> Tile: ...

    @overload
    def __getitem__(self, index: slice) -> WrittenTiles: ...

    def __getitem__(self, index: int | slice) -> Tile | WrittenTiles:
        """Read one tile, or take a part of them without reading any.

        Raises:
            DataError: an image cannot be read.
        """
        if isinstance(index, slice):
            return WrittenTiles(self.output_dir, self.plan, self.records[index], self.cases, self.rules)
        record = self.records[index]
        row = self.plan.rows[record["row"]]
        materials = prepare_materials(row, row.candidates[record["candidate"]], self.cases, self.rules)
        origin = origin_of(materials, self.cases[materials.candidate.donor.patient])
        written = read_volume(self.output_dir / record["name"])
        position = written.slice_numbers.index(GENERATED_SLICE)
        return case_tile(record, written.image[position], written.mask[position], origin)
