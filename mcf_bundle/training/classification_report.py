"""What an evaluation of a classifier of slices comes to, beside what the axial level alone gives."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from mcf_bundle.arguments import as_path
from mcf_bundle.atomic_file import write_text
from mcf_bundle.data.generated_case import is_generated
from mcf_bundle.data.level_matching import level_only_scores, match_levels
from mcf_bundle.data.splits import TRAIN
from mcf_bundle.data.training_data import TrainingData
from mcf_bundle.metrics.case_table import (
    CLASSIFICATION_COLUMNS,
    LEVEL_COLUMNS,
    Row,
    case_columns,
    read_case_table,
    write_case_table,
)
from mcf_bundle.metrics.classification_summary import ClassificationSummary, summarize_classification
from mcf_bundle.networks.checkpoint import Checkpoint
from mcf_bundle.processes import is_first

logger = logging.getLogger(__name__)

LEVELS_FILE, LEVEL_CASES_FILE, REPORT_FILE = "levels.csv", "level_cases.csv", "evaluation.json"
ALL, LEVELED, MATCHED = "all slices", "slices with a level", "level-matched slices"
CLASSIFIER, LEVEL_ALONE = "classifier", "level alone"


def level_tables(
    rows: Sequence[Row], data: TrainingData, split: str
) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """Return the per-case tables that an evaluation is summarized on, by (slices, whose probability).

    Tumors occur at mid-brain, so the level of a slice in the head tells much about it. Where patients have a
    reliable level, the table also holds a classifier that knows nothing else: the training patients'
    frequency of tumor at the slice's level. On level-matched slices that one is near chance.

    Args:
        rows: per-case table of the classifier.
        data: the patients.
        split: whose slices were evaluated.

    Returns:
        `all slices` (the classifier's alone), and `slices with a level` and `level-matched slices` (tumor
        slices, and tumor-free ones away from tumors) for both. Without such slices the key is left out.
    """
    training = [item for item in data.leveled_slices(TRAIN) if not is_generated(item.ref.volume.patient)]
    frequency = [item.level for item in training], [int(item.ref.label) for item in training]
    levels = {}
    for item in data.leveled_slices(split):
        volume = item.ref.volume
        case = case_columns(volume.patient, volume.slice_numbers[item.ref.index])["case"]
        levels[case] = item.level
    leveled = [row for row in rows if row["case"] in levels]
    labels = [row["label"] for row in leveled]
    matched = match_levels(leveled, labels, [levels[row["case"]] for row in leveled], repeat=False)
    tables: dict[tuple[str, str], list[Mapping[str, Any]]] = {(ALL, CLASSIFIER): list(rows)}
    for name, table in ((LEVELED, leveled), (MATCHED, matched)):
        if table:
            guesses = level_only_scores(*frequency, [levels[row["case"]] for row in table])
            tables[name, CLASSIFIER] = list(table)
            tables[name, LEVEL_ALONE] = [
                {**row, "probability": float(guess)} for row, guess in zip(table, guesses, strict=True)
            ]
    return tables


def level_rows(
    tables: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]],
) -> list[Mapping[str, Any]]:
    """Return rows of `LEVEL_COLUMNS`, one for each slice with a level; none without such slices.

    Args:
        tables: see `level_tables`.
    """
    matched = {row["case"] for row in tables.get((MATCHED, LEVEL_ALONE), ())}
    return [{**row, "matched": int(row["case"] in matched)} for row in tables.get((LEVELED, LEVEL_ALONE), ())]


class ClassificationReport:
    """Summarize a per-case table on all, leveled and level-matched slices.

    Attach it after the handler that writes the table.

    Args:
        folder: where `LEVELS_FILE` and `REPORT_FILE` go, and `LEVEL_CASES_FILE` if slices have a level.
        cases: the per-case table.
        data: the patients.
        split: whose slices are evaluated.
        checkpoints: whose network is evaluated; several of an ensemble.
        settings: what the figures depend on beside the split, plain values.
        threshold: probabilities above it are called tumor.
        resamples: draws of the bootstrap over patients.
        seed: seed of the draws.
    """

    def __init__(
        self,
        folder: str | Path,
        cases: str | Path,
        data: TrainingData,
        *,
        split: str,
        checkpoints: Sequence[Checkpoint],
        settings: Mapping[str, Any],
        threshold: float = 0.5,
        resamples: int = 2000,
        seed: int = 0,
    ) -> None:
        self.folder, self.cases = as_path(folder, "output_dir"), as_path(cases, "cases")
        self.data, self.split, self.checkpoints = data, split, tuple(checkpoints)
        self.settings = {"split": split, **settings}
        self.threshold, self.resamples, self.seed = threshold, resamples, seed

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the files on the first process and log the AUCs."""
        if not is_first():
            return
        rows = read_case_table(self.cases, CLASSIFICATION_COLUMNS)
        tables = level_tables(rows, self.data, self.split)
        summaries = {
            key: summarize_classification(
                table, threshold=self.threshold, resamples=self.resamples, seed=self.seed
            )
            for key, table in tables.items()
        }
        of_levels = level_rows(tables)
        if of_levels:
            write_case_table(self.folder / LEVEL_CASES_FILE, of_levels, LEVEL_COLUMNS)
        write_text(self.folder / LEVELS_FILE, _as_csv(summaries))
        write_text(self.folder / REPORT_FILE, json.dumps(self._report(summaries), indent=1) + "\n")
        for (slices, scores), found in summaries.items():
            auc = next(item for item in found if item.metric == "auc")
            logger.info("%s, %s: %s", slices, scores, auc)

    def _report(self, summaries: Mapping[tuple[str, str], Sequence[ClassificationSummary]]) -> dict[str, Any]:
        return {
            "figures": [
                {"slices": slices, "scores": scores, **{item.metric: _plain(item.value) for item in found}}
                for (slices, scores), found in summaries.items()
            ],
            "checkpoints": [
                {"sha256": item.sha256, "preset": item.preset, "info": dict(item.info)}
                for item in self.checkpoints
            ],
            "settings": self.settings,
        }


def _as_csv(summaries: Mapping[tuple[str, str], Sequence[ClassificationSummary]]) -> str:
    lines = [
        {"slices": slices, "scores": scores, **asdict(item)}
        for (slices, scores), found in summaries.items()
        for item in found
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(value) for name, value in line.items()} for line in lines)
    return text.getvalue()


def _plain(value: Any) -> Any:
    """Return None for nan, which JSON lacks and which is an empty field in CSV."""
    return None if value != value else value
