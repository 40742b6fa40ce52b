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

import numpy as np
from ignite.engine import Engine, Events
from numpy.typing import NDArray

from mcf_bundle.arguments import as_path
from mcf_bundle.atomic_file import write_text
from mcf_bundle.data.case import Case
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

    Tumors occur at mid-brain, so the level of a slice in the head tells much about it. Beside the classifier
    stands one that knows nothing else, see `level_alone`. On level-matched slices that one is near chance.

    Args:
        rows: per-case table of the classifier.
        data: the patients.
        split: whose slices were evaluated.

    Returns:
        `all slices`, `slices with a level` (of patients with a reliable one: tumor slices, and tumor-free
        ones away from tumors) and `level-matched slices` (of these, as many with as without at each level),
        for both. Without such slices the key is left out.
    """
    guesses = level_alone(data, split)
    levels = {}
    for item in data.leveled_slices(split):
        volume = item.ref.volume
        case = case_columns(volume.patient, volume.slice_numbers[item.ref.index])["case"]
        levels[case] = item.level
    leveled = [row for row in rows if row["case"] in levels]
    labels = [row["label"] for row in leveled]
    matched = match_levels(leveled, labels, [levels[row["case"]] for row in leveled], repeat=False)
    tables: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for name, table in ((ALL, rows), (LEVELED, leveled), (MATCHED, matched)):
        if table:
            tables[name, CLASSIFIER] = list(table)
            tables[name, LEVEL_ALONE] = [{**row, "probability": guesses[row["case"]]} for row in table]
    return tables


def level_alone(data: TrainingData, split: str) -> dict[str, float]:
    """Return how often the training patients have tumor at the level of each slice of a split.

    A patient without a reliable level is judged by the place of each slice among its slices, 0 to 1, which
    every patient has.

    Args:
        data: the patients.
        split: whose slices.

    Returns:
        Frequency by name of the case, in [0, 1].
    """
    training = [case for case in data.cases(TRAIN) if not is_generated(case.patient)]
    reliable = [case for case in training if case.level_is_reliable]
    by_level = [level for case in reliable for level in case.level[case.listed]], _labels(reliable)
    by_place = [place for case in training for place in _places(case)[case.listed]], _labels(training)
    found = {}
    for case in data.cases(split):
        use_level = case.level_is_reliable and bool(reliable)
        known, asked = (by_level, case.level) if use_level else (by_place, _places(case))
        scores = level_only_scores(*known, asked.tolist())
        for number, score in zip(case.volume.slice_numbers, scores, strict=True):
            found[case_columns(case.patient, number)["case"]] = float(score)
    return found


def _places(case: Case) -> NDArray[np.float64]:
    return np.linspace(0, 1, len(case.level))


def _labels(cases: Sequence[Case]) -> list[int]:
    return [int(label) for case in cases for label in case.volume.labels[case.listed]]


def level_rows(
    tables: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]],
) -> list[Mapping[str, Any]]:
    """Return rows of `LEVEL_COLUMNS`, one for each slice.

    Args:
        tables: see `level_tables`.
    """
    leveled, matched = (
        {row["case"] for row in tables.get((slices, LEVEL_ALONE), ())} for slices in (LEVELED, MATCHED)
    )
    return [
        {**row, "leveled": int(row["case"] in leveled), "matched": int(row["case"] in matched)}
        for row in tables[ALL, LEVEL_ALONE]
    ]


class ClassificationReport:
    """Summarize a per-case table on all, leveled and level-matched slices.

    Attach it after the handler that writes the table.

    Args:
        folder: where `LEVELS_FILE`, `LEVEL_CASES_FILE` and `REPORT_FILE` go.
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
        write_case_table(self.folder / LEVEL_CASES_FILE, level_rows(tables), LEVEL_COLUMNS)
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
