"""What a run leaves behind: cases, plan, manifest, datalist, run.json, contact sheet, report."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
from numpy.typing import NDArray

from mcf_bundle.atomic_file import write_atomically
from mcf_bundle.data.case import Case
from mcf_bundle.data.datalist import REAL, SYNTHETIC, Datalist, Entry, to_json
from mcf_bundle.data.generated_case import GENERATED_SLICE
from mcf_bundle.data.pseudonyms import Naming
from mcf_bundle.data.splits import TRAIN
from mcf_bundle.generation.finished_run import FinishedRun
from mcf_bundle.generation.gate import GateResult
from mcf_bundle.generation.loop import Generated, Outcome
from mcf_bundle.generation.materials import Materials, hash_inputs
from mcf_bundle.generation.output_folder import DATALIST_FILE, MANIFEST_FILE, PLAN_FILE, RUN_FILE
from mcf_bundle.generation.placement_rules import PlacementRules
from mcf_bundle.generation.plan import Plan
from mcf_bundle.generation.report import MAX_IMAGES
from mcf_bundle.generation.resumed import kept_records, results_by_row
from mcf_bundle.generation.run_pages import SHEET_ROWS, write_pages
from mcf_bundle.generation.run_report import RunFacts
from mcf_bundle.generation.shards import ManifestShards
from mcf_bundle.generation.stored_facts import store_facts
from mcf_bundle.generation.stored_tiles import StoredTiles
from mcf_bundle.generation.writer import case_files, case_name, write_case
from mcf_bundle.run_record import describe_run

logger = logging.getLogger(__name__)

NOTICE = "research only, not for diagnosis"


@dataclass(frozen=True, eq=False)
class Provenance:
    """What the manifest says of every image.

    Attributes:
        kind: "full" or "pseudonymous".
        naming: from a patient's name to what is written.
        checkpoints: SHA-256 of each network's checkpoint, by role.
    """

    kind: str
    naming: Naming
    checkpoints: Mapping[str, str]


class RunOutput:
    """Write a run's files: the plan, each case as it passes, everything else at the end.

    Nothing of an image stays in memory. Of several processes each writes the cases that it made, the first
    one alone begins and finishes.

    Args:
        output_dir: the run's folder.
        plan: the plan.
        cases: the training patients, by name.
        datalist: the real slices.
        provenance: see `Provenance`.
        rules: what counts as tissue where a tumor is painted; those of the plan.
    """

    def __init__(
        self,
        output_dir: Path,
        plan: Plan,
        cases: Mapping[str, Case],
        datalist: Datalist,
        provenance: Provenance,
        rules: PlacementRules,
    ) -> None:
        self.output_dir, self.plan, self.cases = output_dir, plan, cases
        self.plan_id = plan.plan_id  # hashes the whole plan, so once and not for every image
        self.datalist, self.provenance, self.rules = datalist, provenance, rules
        self.shards = ManifestShards(output_dir)
        self.started = time.time()

    def begin(self) -> dict[int, list[GateResult]]:
        """Write the plan into the folder, which is prepared, and take stock of what is there already.

        Returns:
            By row, for each image that an earlier part of the run has made, what the gate rejected before it.
        """
        kept = kept_records(self.output_dir, plan_id=self.plan_id)
        text = rename_patients(self.plan.to_jsonl(), self.cases, self.provenance.naming)
        write_atomically(self.output_dir / PLAN_FILE, text.encode())
        self.shards.start(kept)
        if kept:
            logger.info("going on: %d of %d images are there", len(kept), len(self.plan.rows))
        return results_by_row(kept)

    def keep(self, made: Generated, earlier: Sequence[GateResult]) -> None:
        """Write an image that passed, with its neighbors and masks, and its line of the manifest."""
        item = made.materials
        images = self._stored(item, item.composite.image)
        images[1] = item.host.scale.denormalize(made.image)
        name = case_name(item.host.volume.institution, item.row.row)
        hashes = write_case(self.output_dir, name, images, item.composite.mask)
        self.shards.append(self._record(made, name, earlier, hashes))

    def finish(self, outcome: Outcome, facts: RunFacts) -> None:
        """Write manifest, datalist, run.json, contact sheet and report."""
        records = self.shards.read()
        manifest = "".join(json.dumps(record) + "\n" for record in records)
        write_atomically(self.output_dir / MANIFEST_FILE, manifest.encode())
        listed = to_json(with_generated(self.datalist, records))
        write_atomically(self.output_dir / DATALIST_FILE, listed.encode())
        told = {**store_facts(facts), "written": outcome.written}
        told["rows not written"] = [
            {"row": row, "reasons": [list(item.reasons) for item in outcome.rejected.get(row, [])]}
            for row in outcome.missing
        ]
        # The report is drawn from what the files say, so that it can be drawn from them again.
        plan_text = (self.output_dir / PLAN_FILE).read_text(encoding="utf-8")
        run = FinishedRun.parse(plan_text, records, json.loads(json.dumps(told)))
        shown = records[:MAX_IMAGES]
        cases = {self.provenance.naming(patient): case for patient, case in self.cases.items()}
        write_pages(self.output_dir, run, StoredTiles(self.output_dir, shown, cases, self.rules))
        text = json.dumps({**self._run_facts(), **told}, indent=1)
        write_atomically(self.output_dir / RUN_FILE, f"{text}\n".encode())
        self.shards.remove()

    def _record(
        self, made: Generated, name: str, earlier: Sequence[GateResult], hashes: Mapping[str, str]
    ) -> dict[str, Any]:
        item = made.materials
        donor = self.cases[item.candidate.donor.patient]
        _, image, _, _, mask, _ = (f"{name}/{file_name}" for file_name in case_files(name))
        record = {
            "row": item.row.row,
            "name": name,
            "image": image,
            "label": mask,
            "host": vars(item.candidate.host),
            "donor": vars(item.candidate.donor),
            "candidate": len(earlier),
            "transform": item.candidate.transform.to_dict(),
            "seed": item.candidate.seed,
            "settings": dict(item.row.settings),
            "compute_batch": made.compute_batch,
            "mask_pixels": int(item.composite.mask[1].sum()),
            "gate": dict(made.gate.figures),
            "rejected": [
                {"reasons": list(result.reasons), "gate": dict(result.figures)} for result in earlier
            ],
            "checkpoints": dict(self.provenance.checkpoints),
            "input_sha256": hash_inputs(item, donor),
            "sha256": dict(hashes),
            "plan_id": self.plan_id,
            "notice": NOTICE,
        }
        return json.loads(rename_patients(json.dumps(record), self.cases, self.provenance.naming))

    def _stored(self, item: Materials, image: NDArray[np.float32]) -> NDArray[np.uint8]:
        return item.host.scale.denormalize(image)

    def _run_facts(self) -> dict[str, Any]:
        header = self.plan.header
        return {
            **describe_run(seed=header["seed"], device=header["device"], started=self.started),
            "processes": idist.get_world_size(),
            "plan_id": self.plan_id,
            "notice": NOTICE,
        }


def with_generated(datalist: Datalist, records: Sequence[Mapping[str, Any]]) -> Datalist:
    """List generated images after the real slices of a datalist; slices of earlier generations leave it.

    Args:
        datalist: the real slices.
        records: lines of the manifest, of which `image`, `label`, `name` and `mask_pixels` are used.
    """
    synthetic = tuple(
        Entry(
            root=SYNTHETIC,
            image=record["image"],
            label=record["label"],
            patient=record["name"],
            slice=GENERATED_SLICE,
            institution=record["name"].split("_")[1],
            tumor=record["mask_pixels"] > 0,
            fold=None,
            split=TRAIN,
        )
        for record in records
    )
    # Slices of an earlier generation stand in another folder, which this datalist has no root for.
    real = tuple(entry for entry in datalist.entries if entry.root == REAL)
    return Datalist(datalist.split_by, datalist.split_seed, real + synthetic, datalist.skipped)


def rename_patients(text: str, patients: Iterable[str], naming: Naming) -> str:
    """Put the written names in the place of the patients' names, in JSON text."""
    if naming is str:
        return text
    for patient in sorted(patients, key=len, reverse=True):
        # A value, not a key: a patient's folder may be named like a field.
        quoted = re.escape(json.dumps(patient)) + r"(?!\s*:)"
        text = re.sub(quoted, json.dumps(naming(patient)), text)
    return text


def estimate_bytes(plan: Plan, size: tuple[int, ...]) -> int:
    """Estimate the disk that a plan's output needs, bytes: cases, little compressed, and the pages."""
    images, pixels = len(plan.rows), size[0] * size[1]
    pages = min(images, MAX_IMAGES) * 3.3 * pixels + min(images, SHEET_ROWS) * 2.8 * pixels
    return int(images * (6 * pixels + 12_000) + pages + 1_000_000)
