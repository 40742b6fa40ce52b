"""Tiles of a finished run, with what its images were made from where the dataset is at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mcf_bundle.data.case import Case
from mcf_bundle.data.generated_case import GENERATED_SLICE
from mcf_bundle.data.lgg import dataset_root, read_volume
from mcf_bundle.data.survey import survey_volumes
from mcf_bundle.errors import DataError
from mcf_bundle.generation.case_tile import case_tile, origin_of
from mcf_bundle.generation.finished_run import FinishedRun, candidate
from mcf_bundle.generation.materials import hash_inputs, prepare_materials
from mcf_bundle.generation.placement_rules import PlacementRules
from mcf_bundle.generation.plan import PlanRow
from mcf_bundle.generation.pseudonyms import PSEUDONYMOUS, make_naming
from mcf_bundle.generation.tile import Origin, Tile

NO_DATASET = "Host, donor and composite are not shown: the report was made without the dataset."
NO_KEY = (
    "Host, donor and composite are not shown: the patients have pseudonyms in this run, and the key that is "
    "set here gives nobody of the dataset such a name."
)


class TileReader:
    """Read the tiles of a finished run's images.

    Args:
        output_dir: the run's folder.
        run: what `read_run` read there.
        records: lines of the manifest, those that are to be shown.
        dataset_dir: the dataset of the run; None leaves hosts, donors and composites out.

    Raises:
        DataError: the dataset lacks a patient of the run.
    """

    def __init__(
        self,
        output_dir: Path,
        run: FinishedRun,
        records: Sequence[Mapping[str, Any]],
        dataset_dir: Path | None = None,
    ) -> None:
        self.output_dir, self.run, self.records = output_dir, run, records
        self.given = dataset_dir is not None
        self.folders = {} if dataset_dir is None else self._find_patients(dataset_dir)

    @property
    def note(self) -> str:
        """Why pictures are missing; empty if none is."""
        if self.folders or not self.records:
            return ""
        return NO_KEY if self.given else NO_DATASET

    def __iter__(self) -> Iterator[Tile]:
        """Yield the tiles in the order of the records.

        Raises:
            DataError: an image of the run cannot be read, or the dataset has other pixels than the run was
                made from.
        """
        for record in self.records:
            case = read_volume(self.output_dir / record["name"])
            index = case.slice_numbers.index(GENERATED_SLICE)
            yield case_tile(record, case.image[index], case.mask[index], self._origin(record))

    def _find_patients(self, dataset_dir: Path) -> dict[str, Path]:
        """Return the patients' folders by what the run calls them; empty if no pseudonym has its key here."""
        root = dataset_root(dataset_dir)
        written = sorted({record[role]["patient"] for record in self.records for role in ("host", "donor")})
        _, naming = make_naming(self.run.plan.header["provenance"], [])
        there = {naming(path.name): path for path in root.iterdir() if path.is_dir()}
        absent = [name for name in written if name not in there]
        if absent == written and self.run.plan.header["provenance"] == PSEUDONYMOUS:
            return {}
        if absent:
            problem = f"lacks patients of the run: {', '.join(absent[:3])}"
            raise DataError(root, problem, "give the dataset_dir that the run was made from")
        return {name: there[name] for name in written}

    @cached_property
    def _cases(self) -> dict[str, Case]:
        """The patients of the run by their names; their levels are not those of the run, and not used."""
        volumes = [read_volume(folder) for folder in self.folders.values()]
        return {case.patient: case for case in survey_volumes(volumes).cases}

    def _origin(self, record: Mapping[str, Any]) -> Origin | None:
        if not self.folders:
            return None
        host, donor_slice = (
            {**record[role], "patient": self.folders[record[role]["patient"]].name}
            for role in ("host", "donor")
        )
        made = candidate({**record, "host": host, "donor": donor_slice})
        row = PlanRow(record["row"], record["name"], (made,), record["settings"])
        rules = PlacementRules(**self.run.plan.header["rules"]["pairing"]["placement"])
        donor = self._cases[made.donor.patient]
        materials = prepare_materials(row, made, self._cases, rules)
        if hash_inputs(materials, donor) != record["input_sha256"]:
            problem = f"holds other pixels of {made.host.patient} or {made.donor.patient} than the run used"
            raise DataError("dataset_dir", problem, "give the one that the run was made from")
        return origin_of(materials, donor)
