"""Evaluate the images of a finished run: quality, texture and labels, as tables and one page."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import torch

from mcf_bundle.arguments import as_path, check_count, check_device, check_flag, check_seed
from mcf_bundle.atomic_file import write_text
from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.audit import SUMMARY_FILE, MemorizationAudit
from mcf_bundle.generation.image_evaluation_files import quality_lines, texture_lines, write_rows
from mcf_bundle.generation.image_evaluation_labels import label_rows, load_segmenter
from mcf_bundle.generation.image_evaluation_measures import (
    TEXTURE_COLUMNS,
    check_crop,
    compare_texture,
    measure_quality,
    texture_rows,
)
from mcf_bundle.generation.image_evaluation_report import EvaluationResults, evaluation_content
from mcf_bundle.generation.image_evaluation_sets import (
    UNSEEN,
    EvaluationData,
    EvaluationSets,
    gather_sets,
    read_evaluation_data,
)
from mcf_bundle.generation.report import write_report
from mcf_bundle.metrics.case_table import write_case_table
from mcf_bundle.metrics.extractors import (
    DEFAULT_EXTRACTOR,
    LoadedExtractor,
    get_extractor,
    load_extractor,
    weights_path,
)
from mcf_bundle.metrics.label_consistency import (
    LABEL_CONSISTENCY_COLUMNS,
    summarize_consistency,
)
from mcf_bundle.networks.checkpoint import hash_file, read_checkpoint
from mcf_bundle.networks.known_patients import refuse_known
from mcf_bundle.run_record import describe_run, device_name

logger = logging.getLogger(__name__)

QUALITY_FILE, REPORT_FILE, RECORD_FILE = "quality.csv", "evaluation.html", "evaluation.json"
TEXTURE_FILE, TEXTURE_CASES_FILE = "texture.csv", "texture_cases.csv"
LABELS_FILE, LABEL_CASES_FILE = "label_consistency.csv", "label_consistency_cases.csv"


class ImageEvaluation:
    """Measure the images of a finished run beside real tumors, unmodified hosts and composites.

    The split is the run's own: the reference is tumors of its validation and test patients, or of one of
    the two.

    Args:
        dataset_dir: the run's dataset.
        synthetic_dir: the run's folder; nothing is written there.
        output_dir: where tables and page go; files of an earlier evaluation are replaced.
        extractor: key of `EXTRACTORS`.
        extractor_weights: its file; None for the gate, whose weights are in the bundle.
        extractor_sha256: hash of that file, for an extractor without a published one.
        segmenter_ckpt: checkpoint of the kind "segmenter"; None leaves label consistency out.
        reference: splits whose tumors are the reference, members of `UNSEEN`.
        crop: side of the crops around the mask, pixels.
        seed: seed of the draws, folds and forests.
        resamples: draws of each bootstrap.
        memorization: whether to audit the images for copies too, see `MemorizationAudit`.
        skip_bad_patients: leave damaged patients out.
        device: where extractor and segmenter compute.
    """

    def __init__(
        self,
        dataset_dir: str,
        synthetic_dir: str,
        output_dir: str,
        *,
        extractor: str = DEFAULT_EXTRACTOR,
        extractor_weights: str | None = None,
        extractor_sha256: str | None = None,
        segmenter_ckpt: str | None = None,
        reference: Sequence[str] = UNSEEN,
        crop: int = 64,
        seed: int = 0,
        resamples: int = 500,
        memorization: bool = True,
        skip_bad_patients: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        self.dataset_dir = as_path(dataset_dir, "dataset_dir")
        self.synthetic_dir = as_path(synthetic_dir, "synthetic_dir")
        self.output_dir = as_path(output_dir, "output_dir")
        self.segmenter_ckpt = None if segmenter_ckpt is None else as_path(segmenter_ckpt, "segmenter_ckpt")
        self.extractor_weights, self.extractor_sha256 = extractor_weights, extractor_sha256
        self.extractor_name = get_extractor(extractor).name
        self.reference = _check_reference(reference)
        check_count("crop", crop)
        check_count("resamples", resamples)
        check_seed("seed", seed)
        for name, flag in (("memorization", memorization), ("skip_bad_patients", skip_bad_patients)):
            check_flag(name, flag)
        check_device(device)
        self.crop, self.resamples, self.seed = crop, resamples, seed
        self.memorization = memorization
        self.skip_bad_patients, self.device = skip_bad_patients, torch.device(device)
        inside = self.output_dir.resolve()
        if self.synthetic_dir.resolve() in (inside, *inside.parents):
            problem = f"lies in the folder of the run, {self.synthetic_dir}, which holds nothing else"
            raise ArgumentError("output_dir", problem, "choose another folder")

    def run(self) -> EvaluationResults:
        """Measure, and write the tables and the page.

        Raises:
            McfError: for bad data, settings or leaks; names what is wrong.
        """
        started = time.time()
        extractor, data = self.extractor, self.data
        self._refuse_known_extractor()
        segmenter = None
        if self.segmenter_ckpt is not None:
            segmenter = load_segmenter(self.segmenter_ckpt, data.held_out_patients, device=self.device)
        gathered = self.gathered
        check_crop(gathered.reference, self.crop)
        drawn = {"resamples": self.resamples, "seed": self.seed}
        cases = texture_rows(gathered)
        write_case_table(self.output_dir / TEXTURE_CASES_FILE, cases, TEXTURE_COLUMNS)
        texture, forest = compare_texture(cases, **drawn)
        labels = None
        if segmenter is not None:
            rows = label_rows(gathered, segmenter)
            write_case_table(self.output_dir / LABEL_CASES_FILE, rows, LABEL_CONSISTENCY_COLUMNS)
            labels = summarize_consistency(rows, **drawn)
            write_rows(self.output_dir / LABELS_FILE, [asdict(row) for row in labels])
        quality = measure_quality(gathered, extractor, crop=self.crop, **drawn)
        audited = self._audit() if self.memorization else None
        results = EvaluationResults(
            gathered=gathered,
            quality=quality,
            texture=texture,
            forest=forest,
            labels=labels,
            audit=audited,
            crop=self.crop,
            settings=self._settings(extractor),
        )
        write_rows(self.output_dir / QUALITY_FILE, quality_lines(quality))
        write_rows(self.output_dir / TEXTURE_FILE, texture_lines(texture, forest))
        self._write_record(results, started)
        content = evaluation_content(results)
        write_report(self.output_dir / REPORT_FILE, content)
        for line in (*content.summary, *forest, *(labels or ())):
            logger.info("%s", line)
        logger.info("evaluation in %s", self.output_dir / REPORT_FILE)
        return results

    @cached_property
    def extractor(self) -> LoadedExtractor:
        """What makes the features."""
        return load_extractor(
            self.extractor_name,
            self.extractor_weights,
            sha256=self.extractor_sha256,
            device=self.device,
        )

    @cached_property
    def data(self) -> EvaluationData:
        """The run and its patients, measured."""
        return read_evaluation_data(
            self.dataset_dir,
            self.synthetic_dir,
            skip_bad_patients=self.skip_bad_patients,
            reference=self.reference,
        )

    @cached_property
    def gathered(self) -> EvaluationSets:
        """What is compared."""
        return gather_sets(self.data)

    def _audit(self) -> dict[str, Any]:
        """Audit the run with what is read and measured already; return the content of the audit's summary."""
        audit = MemorizationAudit(
            self.synthetic_dir,
            self.dataset_dir,
            self.output_dir,
            device=self.device,
            resamples=self.resamples,
            seed=self.seed,
        )
        audit.finished, audit.source, audit.extractor = self.data.run, self.data.source, self.extractor
        audit.run()
        return json.loads((self.output_dir / SUMMARY_FILE).read_text(encoding="utf-8"))

    def _refuse_known_extractor(self) -> None:
        """Refuse an extractor of ours that knows a held-out patient."""
        extractor = get_extractor(self.extractor_name)
        if extractor.url:
            return
        checkpoint = read_checkpoint(weights_path(extractor, self.extractor_weights))
        for split, patients in self.data.held_out_patients.items():
            refuse_known(patients, checkpoint, where="extractor_weights", split=split)

    def _settings(self, extractor: LoadedExtractor) -> dict[str, Any]:
        return {
            "plan": self.data.run.plan.plan_id,
            "split_seed": self.data.run.plan.header["split_seed"],
            "reference": " and ".join(self.reference),
            "extractor": str(extractor.extractor),
            "extractor sha256": extractor.extractor.sha256,
            "segmenter sha256": None if self.segmenter_ckpt is None else hash_file(self.segmenter_ckpt),
            "crop": self.crop,
            "seed": self.seed,
            "resamples": self.resamples,
        }

    def _write_record(self, results: EvaluationResults, started: float) -> None:
        record = {
            **describe_run(seed=self.seed, device=device_name(self.device), started=started),
            "settings": dict(results.settings),
            "notes": list(results.gathered.notes),
        }
        write_text(self.output_dir / RECORD_FILE, json.dumps(record, indent=1) + "\n")


def _check_reference(reference: Sequence[str]) -> tuple[str, ...]:
    """Refuse what is no choice of held-out splits."""
    chosen = tuple(reference) if isinstance(reference, list | tuple) else ()
    if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(UNSEEN):
        problem = f"expected a list of {' and '.join(UNSEEN)}, got {reference!r}"
        raise ArgumentError("reference", problem, "name one of them or both")
    return chosen
