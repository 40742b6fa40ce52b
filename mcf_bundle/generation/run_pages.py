"""The pages of a run for a reader, contact sheet and report, drawn from what its files tell."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from mcf_bundle.generation.contact_sheet import save_contact_sheet
from mcf_bundle.generation.finished_run import FinishedRun, read_run
from mcf_bundle.generation.output_folder import CONTACT_SHEET_FILE, REPORT_FILE
from mcf_bundle.generation.placement_rules import PlacementRules
from mcf_bundle.generation.report import MAX_IMAGES, write_report
from mcf_bundle.generation.run_report import report_content
from mcf_bundle.generation.stored_tiles import StoredTiles, read_patients
from mcf_bundle.generation.tile import Tile

SHEET_ROWS = 24
"""Images on the contact sheet."""

NO_DATASET = "Host, donor and composite are not shown: the report was made without the dataset."
NO_KEY = (
    "Host, donor and composite are not shown: the patients have pseudonyms in this run, and the key that is "
    "set here gives nobody of the dataset such a name."
)


def write_pages(output_dir: Path, run: FinishedRun, tiles: Sequence[Tile], note: str = "") -> None:
    """Write contact sheet and report.

    Args:
        output_dir: the run's folder.
        run: the run.
        tiles: the first `MAX_IMAGES` images in row order; without any there is no contact sheet.
        note: why pictures are missing, for the report.

    Raises:
        DataError: a file cannot be written.
    """
    if tiles:
        path = output_dir / CONTACT_SHEET_FILE
        save_contact_sheet(tiles, path, max_tiles=SHEET_ROWS, total=run.outcome.written)
    content = report_content(run.plan, run.outcome, run.facts, tiles)
    write_report(output_dir / REPORT_FILE, dataclasses.replace(content, gallery_note=note))


def rebuild_pages(output_dir: Path, dataset_dir: Path | None = None) -> str:
    """Draw contact sheet and report of a finished run again, from the run's own files.

    With the run's dataset (and, for pseudonyms, its key) both are byte for byte those of the run, as long as
    the same versions draw them. Without, host, donor and composite are left out, and the report says so.

    Args:
        output_dir: the run's folder.
        dataset_dir: the run's dataset.

    Returns:
        A line to print: what was written, and which pictures are missing.

    Raises:
        DataError: a file of the run is missing or damaged, or the dataset is not the run's.
    """
    run = read_run(output_dir)
    records = run.records[:MAX_IMAGES]
    cases = {} if dataset_dir is None or not records else read_patients(run, records, dataset_dir)
    rules = PlacementRules(**run.plan.header["rules"]["pairing"]["placement"])
    stored = StoredTiles(output_dir, records, cases, rules)
    note = "" if cases or not records else NO_DATASET if dataset_dir is None else NO_KEY
    tiles = list(tqdm(stored, desc="images", unit="image"))
    write_pages(output_dir, run, tiles, note)
    line = f"{len(tiles)} of {run.outcome.written} images are shown in {output_dir / REPORT_FILE}"
    return f"{line}. {note}" if note else line
