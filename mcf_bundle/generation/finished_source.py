"""A finished run together with the patients that it was made from, measured again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mcf_bundle.data.case import Case
from mcf_bundle.data.datalist import read_datalist, split_digest
from mcf_bundle.data.lgg import read_cohort
from mcf_bundle.data.pool import DonorRules, HostRules
from mcf_bundle.data.pseudonyms import Naming, make_naming
from mcf_bundle.errors import DataError
from mcf_bundle.generation.finished_run import FinishedRun, read_run
from mcf_bundle.generation.output_folder import DATALIST_FILE
from mcf_bundle.generation.placement_rules import PlacementRules
from mcf_bundle.generation.source import GenerationSource, PoolRules


@dataclass(frozen=True, eq=False)
class FinishedSource:
    """A finished run with its dataset.

    Attributes:
        run: the run.
        output_dir: its folder.
        source: its patients, split as the run split them.
        training: cases of the training patients, by what the run calls them.
        naming: from a patient's name to what the run calls the patient.
    """

    run: FinishedRun
    output_dir: Path
    source: GenerationSource
    training: Mapping[str, Case]
    naming: Naming

    @property
    def placement_rules(self) -> PlacementRules:
        """What the run counted as tissue where a tumor is painted, and how far levels may differ."""
        return PlacementRules(**self.run.plan.header["rules"]["pairing"]["placement"])


def read_finished_source(dataset_dir: Path, output_dir: Path, *, skip_bad_patients: bool) -> FinishedSource:
    """Read a finished run and measure its training patients; the split is the run's own.

    Args:
        dataset_dir: the dataset that the run was made from.
        output_dir: the run's folder.
        skip_bad_patients: leave damaged patients out instead of stopping.

    Raises:
        DataError: the run has no images, a file cannot be read, or the dataset is not the run's.
        LeakageError: the split in the run's folder was changed after it was written.
    """
    run = read_run(output_dir)
    if not run.records:
        raise DataError(output_dir, "the run has no images", "generate some first")
    datalist = read_datalist(output_dir / DATALIST_FILE)
    if split_digest(datalist) != run.plan.header["split_digest"]:
        problem = "belongs to another plan than plan.jsonl"
        raise DataError(output_dir / DATALIST_FILE, problem, "generate the images again")
    cohort = read_cohort(dataset_dir, skip_bad_patients=skip_bad_patients)
    source = GenerationSource(cohort, datalist, _pool_rules(run))
    _, naming = make_naming(run.plan.header["provenance"], [])
    training = {naming(case.patient): case for case in source.survey.cases}
    written = {record[role]["patient"] for record in run.records for role in ("host", "donor")}
    if absent := sorted(written - training.keys()):
        problem = f"lacks training patients of the run, or their pseudonyms have another key: {absent[0]}"
        raise DataError(cohort.root, problem, "give the dataset_dir and the key that the run was made with")
    return FinishedSource(run, output_dir, source, training, naming)


def _pool_rules(run: FinishedRun) -> PoolRules:
    stored = run.plan.header["rules"]["pool"]
    return PoolRules(
        **{**stored, "host": HostRules(**stored["host"]), "donor": DonorRules(**stored["donor"])}
    )
