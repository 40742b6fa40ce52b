"""Tiles of the images that a run has written, each read from the run's files when it is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from mcf_bundle.data.case import Case
from mcf_bundle.data.generated_case import GENERATED_SLICE
from mcf_bundle.data.lgg import dataset_root, read_volume
from mcf_bundle.data.pseudonyms import PSEUDONYMOUS, make_naming
from mcf_bundle.data.survey import survey_volumes
from mcf_bundle.errors import DataError
from mcf_bundle.generation.finished_run import FinishedRun
from mcf_bundle.generation.materials import Materials, hash_inputs, prepare_materials, slice_position
from mcf_bundle.generation.placement_rules import PlacementRules
from mcf_bundle.generation.plan import PlanRow
from mcf_bundle.generation.stored_record import candidate
from mcf_bundle.generation.tile import Origin, Tile


class StoredTiles(Sequence[Tile]):
    """The tiles of a run's images in the order of their records; none of them is kept.

    Args:
        output_dir: the run's folder with the images.
        records: lines of the manifest, those that are to be shown.
        cases: the hosts' and donors' patients by what the records call them; their levels are not used.
            Without any, hosts, donors and composites are left out.
        rules: what counts as tissue where a tumor is painted; those of the plan.
    """

    def __init__(
        self,
        output_dir: Path,
        records: Sequence[Mapping[str, Any]],
        cases: Mapping[str, Case],
        rules: PlacementRules,
    ) -> None:
        self.output_dir, self.records = output_dir, records
        self.cases, self.rules = cases, rules

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.records)

    @overload
    def __getitem__(self, index: int) -> Tile: ...

    @overload
    def __getitem__(self, index: slice) -> StoredTiles: ...

    def __getitem__(self, index: int | slice) -> Tile | StoredTiles:
        """Read one tile, or take a part of them without reading any.

        Raises:
            DataError: an image cannot be read, or a patient has other pixels than the run was made from.
        """
        if isinstance(index, slice):
            return StoredTiles(self.output_dir, self.records[index], self.cases, self.rules)
        record = self.records[index]
        written = read_volume(self.output_dir / record["name"])
        position = written.slice_numbers.index(GENERATED_SLICE)
        host, donor = record["host"], record["donor"]
        return Tile(
            title=record["name"],
            origin=self._origin(record) if self.cases else None,
            result=written.image[position],
            mask=written.mask[position],
            note=f"{host['patient']} slice {host['slice']} + {donor['patient']} slice {donor['slice']}",
            facts=_facts(record),
        )

    def _origin(self, record: Mapping[str, Any]) -> Origin:
        """Compose again what an image was made from, and take the middle slices as stored gray levels."""
        materials = prepare_again(record, self.cases, self.rules)
        donor_slice = materials.candidate.donor
        donor = self.cases[donor_slice.patient]
        index = slice_position(donor, donor_slice)
        return Origin(
            host=materials.host.volume.image[materials.host_index],
            donor=donor.volume.image[index],
            donor_mask=donor.volume.mask[index],
            composite=materials.host.scale.denormalize(materials.composite.image)[1],
        )


def prepare_again(record: Mapping[str, Any], cases: Mapping[str, Case], rules: PlacementRules) -> Materials:
    """Compose again what an image of a finished run was made from.

    Args:
        record: its line of the manifest.
        cases: the hosts' and donors' patients by what the records call them.
        rules: what counts as tissue where a tumor is painted; those of the plan.

    Raises:
        DataError: a patient has other pixels than the run was made from.
    """
    made = candidate(record)
    row = PlanRow(record["row"], record["name"], (made,), record["settings"])
    materials = prepare_materials(row, made, cases, rules)
    if hash_inputs(materials, cases[made.donor.patient]) != record["input_sha256"]:
        problem = f"holds other pixels of {made.host.patient} or {made.donor.patient} than the run used"
        raise DataError("dataset_dir", problem, "give the one that the run was made from")
    return materials


def read_patients(
    run: FinishedRun, records: Sequence[Mapping[str, Any]], dataset_dir: Path
) -> dict[str, Case]:
    """Read the hosts' and donors' patients of a finished run, by what the run calls them.

    Args:
        run: what `read_run` read.
        records: lines of the manifest.
        dataset_dir: the dataset of the run.

    Returns:
        The cases; none if the run's names are pseudonyms and their key is not set here.

    Raises:
        DataError: the dataset lacks a patient of the run, or a patient cannot be read.
    """
    root = dataset_root(dataset_dir)
    provenance = run.plan.header["provenance"]
    written = sorted({record[role]["patient"] for record in records for role in ("host", "donor")})
    _, naming = make_naming(provenance, [])
    there = {naming(path.name): path for path in root.iterdir() if path.is_dir()}
    absent = [name for name in written if name not in there]
    if absent == written and provenance == PSEUDONYMOUS:
        return {}
    if absent:
        problem = f"lacks patients of the run: {', '.join(absent[:3])}"
        raise DataError(root, problem, "give the dataset_dir that the run was made from")
    survey = survey_volumes([read_volume(there[name]) for name in written])
    return {naming(case.patient): case for case in survey.cases}


def _facts(record: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Put a line of the manifest in words; it alone is told from, so patients are named as there."""
    host, donor, figures = record["host"], record["donor"], record["gate"]
    return (
        ("host", f"{host['patient']}, slice {host['slice']}, level {host['level']:.2f}"),
        ("donor", f"{donor['patient']}, slice {donor['slice']}, level {donor['level']:.2f}"),
        ("mirrored", "yes" if record["transform"]["mirrored"] else "no"),
        ("mask", f"{record['mask_pixels']} pixels"),
        ("P(tumor)", f"{figures['tumor_probability']:.2f}"),
        ("FLAIR contrast", f"{figures['flair_contrast']:.2f}"),
        ("change outside", f"{figures['change_outside']:.4f}"),
        ("nearest slice", f"r = {figures['nearest_correlation']:.3f}"),
    )
