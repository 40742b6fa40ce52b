"""What a run leaves behind: cases, plan, manifest, datalist, run.json, contact sheet, report."""

from __future__ import annotations

import json
import platform
import re
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import mcf_bundle
from mcf_bundle.atomic_file import write_atomically
from mcf_bundle.data.case import Case
from mcf_bundle.data.datalist import REAL, SYNTHETIC, Datalist, Entry, to_json
from mcf_bundle.data.generated_case import GENERATED_SLICE
from mcf_bundle.data.splits import TRAIN
from mcf_bundle.generation.contact_sheet import save_contact_sheet
from mcf_bundle.generation.gate import GateResult
from mcf_bundle.generation.loop import Generated, Outcome
from mcf_bundle.generation.materials import Materials, hash_inputs, slice_position
from mcf_bundle.generation.output_folder import (
    CONTACT_SHEET_FILE,
    DATALIST_FILE,
    MANIFEST_FILE,
    PLAN_FILE,
    REPORT_FILE,
    RUN_FILE,
)
from mcf_bundle.generation.plan import Plan
from mcf_bundle.generation.pseudonyms import Naming
from mcf_bundle.generation.report import write_report
from mcf_bundle.generation.run_report import RunFacts, report_content
from mcf_bundle.generation.tile import Tile
from mcf_bundle.generation.writer import case_files, case_name, write_case

NOTICE = "research only, not for diagnosis"

MAX_TILES = 200
"""Images that report and contact sheet can show; later ones are not kept in memory."""

SHEET_ROWS = 24
"""Images on the contact sheet."""

PACKAGES = ("monai", "torch", "numpy", "scikit-image", "scipy", "tifffile")


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
    """Write a run's files: each case as it passes, everything else at the end.

    Args:
        output_dir: the run's folder, prepared.
        plan: the plan; written at once.
        cases: the training patients, by name.
        datalist: the real slices.
        provenance: see `Provenance`.
    """

    def __init__(
        self,
        output_dir: Path,
        plan: Plan,
        cases: Mapping[str, Case],
        datalist: Datalist,
        provenance: Provenance,
    ) -> None:
        self.output_dir, self.plan, self.cases = output_dir, plan, cases
        self.datalist, self.provenance = datalist, provenance
        self.records: dict[int, dict[str, Any]] = {}
        self.tiles: dict[int, Tile] = {}
        self.started = time.time()
        write_atomically(output_dir / PLAN_FILE, self._renamed(plan.to_jsonl()).encode())

    def keep(self, made: Generated, earlier: Sequence[GateResult]) -> None:
        """Write an image that passed, with its neighbors and masks; remember its record."""
        item = made.materials
        images = self._stored(item, item.composite.image)
        images[1] = item.host.scale.denormalize(made.image)
        name = case_name(item.host.volume.institution, item.row.row)
        hashes = write_case(self.output_dir, name, images, item.composite.mask)
        self.records[item.row.row] = self._record(made, name, earlier, hashes)
        if len(self.tiles) < MAX_TILES:
            self.tiles[item.row.row] = self._tile(made, images[1])

    def finish(self, outcome: Outcome, facts: RunFacts) -> None:
        """Write manifest, datalist, run.json, contact sheet and report."""
        records = [self.records[row] for row in sorted(self.records)]
        manifest = "".join(json.dumps(record) + "\n" for record in records)
        write_atomically(self.output_dir / MANIFEST_FILE, manifest.encode())
        write_atomically(self.output_dir / DATALIST_FILE, to_json(self._merged(records)).encode())
        tiles = [self.tiles[row] for row in sorted(self.tiles)]
        if tiles:
            save_contact_sheet(tiles[:SHEET_ROWS], self.output_dir / CONTACT_SHEET_FILE)
        write_report(self.output_dir / REPORT_FILE, report_content(self.plan, outcome, facts, tiles))
        run = {
            **self._run_facts(),
            "settings": {**facts.settings, "batch_size": facts.batch_size},
            "written": outcome.written,
        }
        run["rows not written"] = [
            {"row": row, "reasons": [list(item.reasons) for item in outcome.rejected.get(row, [])]}
            for row in outcome.missing
        ]
        write_atomically(self.output_dir / RUN_FILE, (json.dumps(run, indent=1) + "\n").encode())

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
            "mask_pixels": int(item.composite.mask[1].sum()),
            "gate": dict(made.gate.figures),
            "rejected": [
                {"reasons": list(result.reasons), "gate": dict(result.figures)} for result in earlier
            ],
            "checkpoints": dict(self.provenance.checkpoints),
            "input_sha256": hash_inputs(item, donor),
            "sha256": dict(hashes),
            "plan_id": self.plan.plan_id,
            "notice": NOTICE,
        }
        return json.loads(self._renamed(json.dumps(record)))

    def _renamed(self, text: str) -> str:
        """Put the written names in the place of the patients' names."""
        if self.provenance.naming is str:
            return text
        for patient in sorted(self.cases, key=len, reverse=True):
            # A value, not a key: a patient's folder may be named like a field.
            quoted = re.escape(json.dumps(patient)) + r"(?!\s*:)"
            text = re.sub(quoted, json.dumps(self.provenance.naming(patient)), text)
        return text

    def _stored(self, item: Materials, image: NDArray[np.float32]) -> NDArray[np.uint8]:
        return item.host.scale.denormalize(image)

    def _tile(self, made: Generated, result: NDArray[np.uint8]) -> Tile:
        item, naming = made.materials, self.provenance.naming
        donor = self.cases[item.candidate.donor.patient]
        donor_index = slice_position(donor, item.candidate.donor)
        figures = made.gate.figures
        host, lender = item.candidate.host, item.candidate.donor
        return Tile(
            title=case_name(item.host.volume.institution, item.row.row),
            host=item.host.volume.image[item.host_index],
            donor=donor.volume.image[donor_index],
            donor_mask=donor.volume.mask[donor_index],
            composite=self._stored(item, item.composite.image)[1],
            result=result,
            mask=item.composite.mask[1],
            note=f"{naming(host.patient)} slice {host.slice} + {naming(lender.patient)} slice {lender.slice}",
            facts=(
                ("host", f"{naming(host.patient)}, slice {host.slice}, level {host.level:.2f}"),
                ("donor", f"{naming(lender.patient)}, slice {lender.slice}, level {lender.level:.2f}"),
                ("mirrored", "yes" if item.candidate.transform.mirrored else "no"),
                ("mask", f"{int(item.composite.mask[1].sum())} pixels"),
                ("P(tumor)", f"{figures['tumor_probability']:.2f}"),
                ("FLAIR contrast", f"{figures['flair_contrast']:.2f}"),
                ("change outside", f"{figures['change_outside']:.4f}"),
                ("nearest slice", f"r = {figures['nearest_correlation']:.3f}"),
            ),
        )

    def _merged(self, records: Sequence[Mapping[str, Any]]) -> Datalist:
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
        real = tuple(entry for entry in self.datalist.entries if entry.root == REAL)
        whole = self.datalist
        return Datalist(whole.split_by, whole.split_seed, real + synthetic, whole.skipped)

    def _run_facts(self) -> dict[str, Any]:
        return {
            "mcf_bundle": mcf_bundle.__version__,
            "plan_id": self.plan.plan_id,
            "versions": {name: _version(name) for name in PACKAGES},
            "python": platform.python_version(),
            "machine": platform.machine(),
            "host_name": socket.gethostname(),
            "num_threads": torch.get_num_threads(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "duration_s": round(time.time() - self.started, 1),
            "notice": NOTICE,
        }


def estimate_bytes(plan: Plan, size: tuple[int, ...]) -> int:
    """Estimate the disk that a plan's output needs, bytes: cases, little compressed, and pages."""
    height, width = size
    return len(plan.rows) * (3 * height * width * 2 + 12_000) + 1_500_000


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
