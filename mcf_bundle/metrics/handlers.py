"""The handler that writes an evaluation's per-case table, with its summary beside it."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from ignite.engine import Engine, Events

from mcf_bundle.arguments import as_path
from mcf_bundle.atomic_file import write_text
from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.case_table import (
    CLASSIFICATION_COLUMNS,
    SEGMENTATION_COLUMNS,
    Column,
    Row,
    classification_row,
    segmentation_row,
    write_case_table,
)
from mcf_bundle.metrics.classification_summary import ClassificationSummary, summarize_classification
from mcf_bundle.metrics.masks import mask_of
from mcf_bundle.metrics.summary import Summary, summarize_segmentation
from mcf_bundle.processes import gather, is_first

logger = logging.getLogger(__name__)


class CaseRows(Protocol):
    """How cases become rows and rows a summary."""

    columns: Mapping[str, Column]
    keys: tuple[str, ...]

    def row(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is kept of one case, a batch's and an output's items by key."""

    def as_table(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Return the table of all that was kept, which is ordered by patient and slice."""

    def summarize(self, rows: Sequence[Row]) -> Sequence[Summary | ClassificationSummary]:
        """Summarize all of them."""


class SegmentationRows:
    """Rows of `SEGMENTATION_COLUMNS` from a batch with `patient` and `slice` and an output with two masks.

    Args:
        prediction_key: predicted masks in the output, (C, H, W[, D]) of 0 and 1, FLAIR abnormality.
        reference_key: reference masks in the output or the batch, of the same shape.
        channel: which channel is the mask.
        seed: seed of the intervals.
        resamples: draws of each interval's bootstrap.
        **scoring: `spacing_mm`, `empty`, `tolerance` and `head_length_pixels` of `segmentation_row`.
    """

    columns = SEGMENTATION_COLUMNS

    def __init__(
        self,
        prediction_key: str = "pred",
        reference_key: str = "label",
        *,
        channel: int = -1,
        seed: int = 0,
        resamples: int = 2000,
        **scoring: Any,
    ) -> None:
        self.keys = (prediction_key, reference_key, "patient", "slice")
        self.channel, self.seed, self.resamples, self.scoring = channel, seed, resamples, scoring

    def row(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Score one case."""
        prediction, reference = (mask_of(item[key], self.channel) for key in self.keys[:2])
        return segmentation_row(
            prediction, reference, patient=item["patient"], slice_number=int(item["slice"]), **self.scoring
        )

    def as_table(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Return the rows: each case has its own."""
        return [dict(row) for row in rows]

    def summarize(self, rows: Sequence[Row]) -> list[Summary]:
        """Summarize over every denominator."""
        return summarize_segmentation(rows, resamples=self.resamples, seed=self.seed)


class ClassificationRows:
    """Rows of `CLASSIFICATION_COLUMNS` from a batch with `patient` and `slice` and an output with logits.

    Args:
        prediction_key: logits of the two classes in the output, (2,).
        label_key: class in the output or the batch, 0 or 1.
        threshold: probabilities above it are called tumor.
        seed: seed of the intervals.
        resamples: draws of each interval's bootstrap.
    """

    columns = CLASSIFICATION_COLUMNS

    def __init__(
        self,
        prediction_key: str = "pred",
        label_key: str = "label",
        *,
        threshold: float = 0.5,
        seed: int = 0,
        resamples: int = 2000,
    ) -> None:
        self.keys = (prediction_key, label_key, "patient", "slice")
        self.threshold, self.seed, self.resamples = threshold, seed, resamples

    def row(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Turn one case's logits into the probability of tumor."""
        logits = item[self.keys[0]]
        if tuple(logits.shape) != (2,):
            problem = f"expected two logits a case, got shape {tuple(logits.shape)}"
            raise ArgumentError(self.keys[0], problem, "hand over the network's output as it is")
        probability = logits.detach().double().softmax(0)[1].item()
        label = int(item[self.keys[1]])
        return classification_row(
            label, probability, patient=item["patient"], slice_number=int(item["slice"])
        )

    def as_table(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Return the rows: each case has its own."""
        return [dict(row) for row in rows]

    def summarize(self, rows: Sequence[Row]) -> list[ClassificationSummary]:
        """Summarize every metric."""
        return summarize_classification(
            rows, threshold=self.threshold, resamples=self.resamples, seed=self.seed
        )


class CaseTableHandler:
    """Write the per-case table of each evaluation, and `<name>_summary.csv` beside it.

    Cases are sorted by patient and slice; with several processes all of their cases are there, once each, so
    that the files do not depend on how the cases were dealt out.

    Args:
        path: the table, CSV; replaced by the next evaluation.
        rows: how cases become rows: `SegmentationRows`, `ClassificationRows` or `volume_rows.VolumeRows`.
    """

    def __init__(self, path: str | Path, rows: CaseRows) -> None:
        self.path, self.rows = as_path(path, "path"), rows
        self.found: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the files on the first process and log the summary."""
        rows = self._gather()
        if not is_first():
            return
        rows.sort(key=lambda row: (row["patient"], row["slice"]))
        table = self.rows.as_table(rows)
        write_case_table(self.path, table, self.rows.columns)
        summaries = self.rows.summarize(table)
        write_summary(self.path.with_name(f"{self.path.stem}_summary.csv"), summaries)
        for summary in summaries:
            logger.info("%s", summary)

    def _start(self, engine: Engine) -> None:
        self.found = []

    def _collect(self, engine: Engine) -> None:
        batch, output = engine.state.batch, engine.state.output
        self.found += [self.rows.row(item) for item in _items(batch, output, self.rows.keys)]

    def _gather(self) -> list[dict[str, Any]]:
        shares = gather(self.found)
        if len(shares) == 1:
            return list(self.found)
        # A distributed sampler repeats cases to give each process as many as the others.
        return list({row["case"]: row for share in shares for row in share}.values())


def write_summary(path: Path, summaries: Sequence[Summary | ClassificationSummary]) -> None:
    """Write summaries as CSV, one line each; nan as an empty field.

    Raises:
        ArgumentError: there are none.
        DataError: the file cannot be written.
    """
    if not summaries:
        raise ArgumentError("summaries", "there are none to write", "choose at least one metric")
    lines = [asdict(summary) for summary in summaries]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({name: "" if value != value else value for name, value in line.items()})
    write_text(path, text.getvalue())


def _items(batch: Any, output: Any, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Return one mapping a case; the output's entry wins where batch and output both have a key."""
    columns: dict[str, Any] = {}
    for source in (batch, output):
        if isinstance(source, Mapping):
            columns.update({key: source[key] for key in keys if key in source})
        elif source:
            columns.update({key: [item[key] for item in source] for key in keys if key in source[0]})
    missing = [key for key in keys if key not in columns]
    if missing:
        problem = f"neither batch nor output has {' and '.join(missing)}"
        raise ArgumentError("keys", problem, "let the dataset name patient and slice of each item")
    return [
        dict(zip(keys, values, strict=True)) for values in zip(*(columns[key] for key in keys), strict=True)
    ]
