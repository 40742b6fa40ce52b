"""Tell whether a run's tumors are copies of training tumors."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.arguments import as_path, check_count, check_seed, check_whole
from mcf_bundle.atomic_file import write_text
from mcf_bundle.data.case import Case
from mcf_bundle.data.datalist import Datalist, read_datalist, split_digest
from mcf_bundle.data.lgg import read_cohort
from mcf_bundle.data.pseudonyms import PSEUDONYMOUS, Naming, make_naming
from mcf_bundle.errors import ArgumentError, DataError
from mcf_bundle.generation.audit_compare import Comparison, Nearest, TrainingTumors
from mcf_bundle.generation.audit_digest import digest_heads, tumor_patches
from mcf_bundle.generation.audit_pictures import Compared, save_pair
from mcf_bundle.generation.audit_slices import AuditImage, AuditSlice, generated_images, real_slices
from mcf_bundle.generation.finished_run import FinishedRun, read_run
from mcf_bundle.generation.output_folder import DATALIST_FILE, MANIFEST_FILE
from mcf_bundle.generation.placement_rules import PlacementRules
from mcf_bundle.generation.run_output import NOTICE
from mcf_bundle.generation.source import GenerationSource, PoolRules
from mcf_bundle.metrics.case_table import write_case_table
from mcf_bundle.metrics.extractors import DEFAULT_EXTRACTOR, LoadedExtractor, load_extractor
from mcf_bundle.metrics.memorization_summary import (
    CHANGE,
    COPY,
    HOST,
    AuditSummary,
    Copy,
    audit_warnings,
    find_copies,
    summarize_memorization,
)
from mcf_bundle.metrics.memorization_table import MEMORIZATION_COLUMNS
from mcf_bundle.metrics.memorization_views import VIEWS

logger = logging.getLogger(__name__)

TABLE_FILE, SUMMARY_FILE, SUMMARY_TABLE_FILE = (
    "memorization.csv",
    "memorization_summary.json",
    "memorization_summary.csv",
)
PICTURES_FOLDER = "copies"

NO_KEY = (
    "The patients have pseudonyms in this run, and the key that is set here gives nobody of the dataset such "
    "a name: composites and donors cannot be found, so what the diffusion changed cannot be told, and the "
    "donor is only one training patient among the others."
)

CHUNK = 128
"""Images that are held in memory at once."""


class MemorizationAudit:
    """Compare a finished run with the slices that its networks and its tumors come from.

    Heads and donors are real by design, so two questions are kept apart: that the host is recognizable
    outside the mask, which it always is, and whether the tumor inside is a copy of a training tumor. Limits
    are the 99th percentile of what real tumor slices of the validation patients score.

    Nothing is read before `run`.

    Args:
        run_dir: folder of a run that came to its end.
        dataset_dir: the run's dataset.
        output_dir: where the table, the summary and the pictures go; not within `run_dir`.
        datalist: the run's datalist; None takes the one in its folder.
        extractor: key of `mcf_bundle.metrics.extractors.EXTRACTORS`.
        weights: see `load_extractor`.
        sha256: see `load_extractor`.
        device: where the extractor computes.
        max_pictures: copies that are drawn at most.
        resamples: draws of the bootstrap.
        seed: seed of the draws.

    Raises:
        ArgumentError: a path is none, `output_dir` lies within `run_dir`, or a number is out of range.
    """

    def __init__(
        self,
        run_dir: str | Path,
        dataset_dir: str | Path,
        output_dir: str | Path,
        *,
        datalist: str | Path | None = None,
        extractor: str = DEFAULT_EXTRACTOR,
        weights: str | Path | None = None,
        sha256: str | None = None,
        device: Any = "cpu",
        max_pictures: int = 24,
        resamples: int = 2000,
        seed: int = 0,
    ) -> None:
        self.run_dir, self.dataset_dir = as_path(run_dir, "run_dir"), as_path(dataset_dir, "dataset_dir")
        self.output_dir = as_path(output_dir, "output_dir")
        self.datalist_path = (
            self.run_dir / DATALIST_FILE if datalist is None else as_path(datalist, "datalist")
        )
        self.extractor_name, self.weights, self.sha256, self.device = extractor, weights, sha256, device
        self.max_pictures, self.resamples, self.seed = max_pictures, resamples, seed
        check_whole("max_pictures", max_pictures)
        check_count("resamples", resamples)
        check_seed("seed", seed)
        if self.output_dir.resolve().is_relative_to(self.run_dir.resolve()):
            problem = "lies in the run's folder, which holds the run's own files only"
            raise ArgumentError("output_dir", problem, "choose a folder beside it")

    def run(self) -> list[AuditSummary]:
        """Compare, then write table, summary and pictures.

        Returns:
            The summary, as written.

        Raises:
            DataError: a file of the run is missing or damaged, it holds no image, the dataset or the datalist
                is not the run's, or there are no real tumors to judge by.
            CheckpointError: see `load_extractor`.
        """
        if not self.finished.records:
            path = self.run_dir / MANIFEST_FILE
            raise DataError(path, "lists no image", "give a run that wrote one or more")
        self._check_split()
        self._images(slice(0, 1))  # another dataset's pixels are found out before anything is compared
        held_out = self._held_out()
        rows = self.comparison.held_out_rows(held_out)
        nearest: dict[str, Nearest] = {}
        for start in range(0, len(self.finished.records), CHUNK):
            made, found = self.comparison.synthetic_rows(self._images(slice(start, start + CHUNK)))
            rows += made
            nearest |= {row["case"]: one for row, one in zip(made, found, strict=True)}
        write_case_table(self.output_dir / TABLE_FILE, rows, MEMORIZATION_COLUMNS)
        summaries = summarize_memorization(rows, resamples=self.resamples, seed=self.seed)
        copies = find_copies(rows)
        pictures = self._draw(copies[: self.max_pictures], rows, nearest)
        write_text(self.output_dir / SUMMARY_TABLE_FILE, _table_of(summaries))
        content = self._content(rows, summaries, copies, pictures)
        text = json.dumps(_strict(content), indent=1, allow_nan=False)
        write_text(self.output_dir / SUMMARY_FILE, f"{text}\n")
        for line in (*map(str, summaries), *content["warnings"]):
            logger.info(line)
        return summaries

    @cached_property
    def finished(self) -> FinishedRun:
        """What the run's files say."""
        return read_run(self.run_dir)

    @cached_property
    def datalist(self) -> Datalist:
        """Who trained and who was validated on."""
        return read_datalist(self.datalist_path)

    @cached_property
    def source(self) -> GenerationSource:
        """Training and validation patients."""
        cohort = read_cohort(self.dataset_dir, skip_bad_patients=bool(self.datalist.skipped))
        return GenerationSource(cohort, self.datalist, PoolRules())

    @cached_property
    def naming(self) -> Naming:
        """From a patient's name to what the run writes."""
        return make_naming(self.finished.plan.header["provenance"], [])[1]

    @cached_property
    def cases(self) -> Mapping[str, Case]:
        """The training patients by what the run calls them; none if its key is not set here.

        Raises:
            DataError: the dataset lacks patients of the run.
        """
        cases = {self.naming(patient): case for patient, case in self.source.cases.items()}
        written = {record[role]["patient"] for record in self.finished.records for role in ("host", "donor")}
        absent = sorted(written - set(cases))
        if not absent:
            return cases
        if len(absent) == len(written) and self.finished.plan.header["provenance"] == PSEUDONYMOUS:
            return {}
        problem = f"its training patients lack patients of the run: {', '.join(absent[:3])}"
        raise DataError(self.dataset_dir, problem, "give the dataset_dir that the run was made from")

    @cached_property
    def extractor(self) -> LoadedExtractor:
        """What makes the features."""
        return load_extractor(self.extractor_name, self.weights, sha256=self.sha256, device=self.device)

    @cached_property
    def comparison(self) -> Comparison:
        """The training slices, ready to compare with."""
        cases = list(self.source.survey.cases)
        tumors = TrainingTumors.of(real_slices(cases, self.naming, chosen=np.any), self._extract)
        heads = digest_heads(real_slices(cases, self.naming), self._extract)
        return Comparison(tumors, heads, self._extract)

    def _extract(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.extractor(images)[0]

    def _check_split(self) -> None:
        """Refuse a datalist with other training patients than the run's."""
        if split_digest(self.datalist) != self.finished.plan.header["split_digest"]:
            problem = "splits the patients otherwise than the run did"
            raise DataError(self.datalist_path, problem, "give the datalist.json of the run")

    def _held_out(self) -> list[AuditSlice]:
        """Return the validation patients' tumor slices; smaller tumors than the run's are left out."""
        least = min(record["mask_pixels"] for record in self.finished.records)
        cases = self.source.validation_cases()
        found = list(
            real_slices(cases, self.naming, chosen=lambda mask: bool(mask.any() and mask.sum() >= least))
        )
        if not found:
            problem = f"has no validation patients with a tumor of {least} pixels or more to judge by"
            raise DataError(self.datalist_path, problem, "make the run with a datalist that has some")
        return found

    def _images(self, part: slice) -> list[AuditImage]:
        records = self.finished.records[part]
        return list(generated_images(self.run_dir, records, self.cases, self.rules))

    @property
    def rules(self) -> PlacementRules:
        """What counted as tissue in the run."""
        return PlacementRules(**self.finished.plan.header["rules"]["pairing"]["placement"])

    def _draw(
        self, copies: Sequence[Copy], rows: Sequence[Mapping[str, Any]], nearest: Mapping[str, Nearest]
    ) -> dict[str, str]:
        """Draw copies; return the picture of each case, relative to the output's folder."""
        places = {record["name"]: place for place, record in enumerate(self.finished.records)}
        by_case = {row["case"]: row for row in rows}
        pictures = {}
        for copy in copies:
            row, place = by_case[copy.case], places[copy.case]
            (image,) = self._images(slice(place, place + 1))
            file = f"{PICTURES_FOLDER}/{copy.case}.png"
            (self.output_dir / PICTURES_FOLDER).mkdir(exist_ok=True)
            synthetic, training, weights = self._sides(image, row, nearest[copy.case])
            note = f"r = {copy.correlation:.3f}, limit {copy.correlation_limit:.3f}"
            note += f"; features {copy.feature:.3f}, limit {copy.feature_limit:.3f}"
            save_pair(self.output_dir / file, synthetic, training, weights, note)
            pictures[copy.case] = file
        return pictures

    def _sides(
        self, image: AuditImage, row: Mapping[str, Any], found: Nearest
    ) -> tuple[Compared, Compared, NDArray[np.float32]]:
        """Return the image, the training slice that its tumor is most like, and the mask in the patch."""
        patches = tumor_patches([image.result])
        if found.place is None and image.donor is not None:
            donor = tumor_patches([replace(image.result, image=image.donor)])
            patch = donor.images[0]
        else:
            window = self.comparison.tumors.windows.take(int(found.place or 0))
            patch = window.patches(VIEWS[found.view]).images[0]
        patient, number = row["tumor_correlation_patient"], row["tumor_correlation_slice"]
        (real,) = (
            item for item in real_slices(self._training_cases(patient), self.naming) if item.slice == number
        )
        title = f"{patient} slice {number}, seen as: {row['tumor_correlation_view']}"
        return (
            Compared(row["case"], _levels(image.result.image), image.result.mask, patches.images[0]),
            Compared(title, _levels(real.image), real.mask, patch),
            patches.weights[0],
        )

    def _training_cases(self, patient: str) -> list[Case]:
        return [case for case in self.source.survey.cases if self.naming(case.patient) == patient]

    def _content(
        self,
        rows: Sequence[Mapping[str, Any]],
        summaries: Sequence[AuditSummary],
        copies: Sequence[Copy],
        pictures: Mapping[str, str],
    ) -> dict[str, Any]:
        """Return what the summary's file says."""
        warnings = audit_warnings(rows)
        if not self.cases:
            warnings.append(NO_KEY)
        by_topic = {
            topic: [asdict(item) for item in summaries if item.topic == topic]
            for topic in (HOST, COPY, CHANGE)
        }
        tumors, heads = self.comparison.tumors, self.comparison.heads
        return {
            "plan_id": self.finished.plan.plan_id,
            "extractor": str(self.extractor.extractor),
            "training": {
                "patients": len({patient for patient, _ in heads.names}),
                "slices": len(heads.names),
                "tumor slices": len(tumors.names),
                "views of each tumor": len(VIEWS),
            },
            "summary": by_topic,
            "note": "Heads and donors are real patients' by design. Only the second topic can be a defect.",
            "copies": [{**asdict(copy), "picture": pictures.get(copy.case)} for copy in copies],
            "warnings": warnings,
            "notice": NOTICE,
        }


def audit_run(
    run_dir: str | Path, dataset_dir: str | Path, output_dir: str | Path, **settings: Any
) -> list[AuditSummary]:
    """Audit a finished run; see `MemorizationAudit` for the settings, and its `run`."""
    return MemorizationAudit(run_dir, dataset_dir, output_dir, **settings).run()


def _levels(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return normalized intensities as gray levels for a picture; what is above 1.7 is white anyway."""
    return np.clip(np.rint(image * 150), 0, 255).astype(np.uint8)


def _table_of(summaries: Sequence[AuditSummary]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(AuditSummary)], lineterminator="\n")
    writer.writeheader()
    for summary in summaries:
        writer.writerow({k: "" if v != v else v for k, v in asdict(summary).items()})
    return text.getvalue()


def _strict(value: Any) -> Any:
    """Return values for strict JSON: None in the place of nan."""
    if isinstance(value, dict):
        return {name: _strict(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_strict(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
