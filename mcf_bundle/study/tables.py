"""The tables of a study: records in full precision as CSV and JSON, the same for reading as Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from mcf_bundle.atomic_file import write_text
from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.report_table import Cell, Table, format_cell
from mcf_bundle.study.comparisons import Comparison
from mcf_bundle.study.figures import ArmFigure
from mcf_bundle.study.measures import MEASURES
from mcf_bundle.training.classification_report import LEVEL_ALONE

Record = Mapping[str, Any]


@dataclass(frozen=True)
class StudyTable:
    """A table of a study in both its forms.

    Attributes:
        name: of the files.
        records: one mapping a line, all with the same keys; numbers in full precision.
        shown: what a reader gets.
    """

    name: str
    records: tuple[Record, ...]
    shown: tuple[Table, ...]


def write_tables(folder: Path, tables: Iterable[StudyTable]) -> None:
    """Write ``<name>.csv``, ``<name>.json`` and ``<name>.md`` of each table; nan is an empty field or null.

    Raises:
        ArgumentError: a table's records differ in their keys.
        DataError: a file cannot be written.
    """
    for table in tables:
        records = [{key: plain(value) for key, value in record.items()} for record in table.records]
        if any(list(record) != list(records[0]) for record in records):
            raise ArgumentError(table.name, "the records differ in their keys", "give each all of them")
        text = io.StringIO()
        if records:
            writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(records)
        write_text(folder / f"{table.name}.csv", text.getvalue())
        write_text(folder / f"{table.name}.json", json.dumps(records, indent=1) + "\n")
        write_text(folder / f"{table.name}.md", "\n".join(map(to_markdown, table.shown)))


def plain(value: Any) -> Any:
    """Return None for nan, which JSON lacks, and text for a list of texts; all else as it is."""
    if isinstance(value, float) and value != value:
        return None
    return "; ".join(value) if isinstance(value, tuple) else value


def to_markdown(table: Table) -> str:
    r"""Write a table with its title and note as Markdown.

    >>> print(to_markdown(Table("Dice", ("arm", "n"), (("a|b", 3),))))
    ### Dice
    <BLANKLINE>
    | arm | n |
    | --- | --- |
    | a\|b | 3 |
    <BLANKLINE>
    """
    lines = [f"### {table.title}", ""]
    if table.note:
        lines += [table.note, ""]
    if not table.rows:
        return "\n".join([*lines, "None.", ""])
    lines += [_line(table.columns), _line(["---"] * len(table.columns))]
    return "\n".join([*lines, *(_line([format_cell(cell) for cell in row]) for row in table.rows), ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def comparison_table(name: str, comparisons: Sequence[Comparison]) -> StudyTable:
    """Return comparisons as a table, for reading one a group."""
    groups = groupby(comparisons, key=lambda item: item.group)
    return StudyTable(
        name, tuple(map(_comparison_record, comparisons)), tuple(_shown(list(same)) for _, same in groups)
    )


def _comparison_record(item: Comparison) -> Record:
    return {
        **item.group._asdict(),
        "arm": item.arm,
        "against": item.against,
        "measure": item.measure,
        "over": MEASURES[item.measure].over,
        **asdict(item.result),
        "p_holm": item.p_holm,
        "verdict": str(item.verdict),
        "tumor_slices": item.tumor_slices,
        "slices": item.slices,
        "missing": item.missing,
    }


def _shown(comparisons: Sequence[Comparison]) -> Table:
    first = comparisons[0]
    measure = MEASURES[first.measure]
    rows = tuple(
        (
            item.arm,
            item.against,
            points(item.measure, item.result.difference, item.result.low, item.result.high),
            format_p(item.result.p),
            "alone" if item.p_holm is None else format_p(item.p_holm),
            str(item.verdict),
            f"{in_points(item.measure, item.result.smallest_difference):.2g}",
            item.result.patients,
            item.tumor_slices,
            f"{item.result.folds} x {item.result.seeds}" + (f" ({item.result.runs})" if item.missing else ""),
            len(item.missing),
        )
        for item in comparisons
    )
    columns = (
        *("arm", "against", f"difference, {unit_of(first.measure)}", "p", "p (Holm)", "verdict"),
        *("could find from", "patients", "tumor slices", "folds x seeds", "missing runs"),
    )
    note = f"{measure.title}, mean over {measure.over}, {measure.best} is better."
    return Table(f"{first.group}", columns, rows, note)


FIGURE_BLOCKS: Mapping[str, Sequence[str]] = {
    "Mean over a patient's tumor slices, then patients": ("dice", "jaccard", "hd95", "asd"),
    "Mean over tumor slices": ("slice_dice", "slice_jaccard", "slice_hd95", "slice_asd"),
    "Volumes of the patients": ("volume_dice", "volume_jaccard", "volume_hd95", "volume_asd"),
    "Tumor-free slices": ("false_positive_area", "false_positive_share"),
}
"""How the figures of segmentation are shown."""

CLASSIFICATION_BLOCK = ("accuracy", "balanced_accuracy", "auc", "sensitivity", "specificity")
"""Figures of classification that are shown; the files have all of them."""


def segmentation_table(figures: Sequence[ArmFigure]) -> StudyTable:
    """Return the figures of segmentation as a table, for reading one a group and denominator."""
    shown = tuple(
        _figure_table(f"{group}: {title}", list(same), names)
        for group, same in _grouped(figures)
        for title, names in FIGURE_BLOCKS.items()
    )
    return StudyTable("segmentation", tuple(map(_figure_record, figures)), shown)


def classification_table(figures: Sequence[ArmFigure]) -> StudyTable:
    """Return the figures of classification as a table, for reading one a group and choice of slices."""
    shown = tuple(
        _figure_table(
            f"{group}: {slices}", [item for item in same if item.slices_of == slices], CLASSIFICATION_BLOCK
        )
        for group, same in _grouped(figures)
        for slices in dict.fromkeys(item.slices_of for item in same)
    )
    return StudyTable("classification", tuple(map(_figure_record, figures)), shown)


def _grouped(figures: Sequence[ArmFigure]) -> list[tuple[Any, list[ArmFigure]]]:
    return [(group, list(same)) for group, same in groupby(figures, key=lambda item: item.group)]


def _figure_record(item: ArmFigure) -> Record:
    return {**item.group._asdict(), **{k: v for k, v in vars(item).items() if k != "group"}}


def _figure_table(title: str, figures: Sequence[ArmFigure], names: Sequence[str]) -> Table:
    cells = {(item.arm, item.measure): item for item in figures}
    present = [name for name in names if any(item.measure == name for item in figures)]
    arms = list(dict.fromkeys(item.arm for item in figures))
    firsts = {arm: cells[arm, present[0]] for arm in arms}
    counts = {arm: _counts(item) for arm, item in firsts.items()}
    alike = len({text for arm, text in counts.items() if arm != LEVEL_ALONE}) == 1
    rows: list[tuple[Cell, ...]] = []
    for arm in arms:
        values = [_with_interval(cells[arm, name]) for name in present]
        spread = f"{firsts[arm].seed_sd:.2g}" if firsts[arm].seed_sd == firsts[arm].seed_sd else "-"
        rows.append((arm, *values, spread, *([] if alike else [counts[arm]])))
    heads = [_head(cells[arms[0], name]) for name in present]
    columns = ("arm", *heads, f"SD over seeds ({heads[0]})", *([] if alike else ["n"]))
    note = "In brackets: 95 % interval by bootstrap over patients."
    return Table(title, columns, tuple(rows), f"{note} n: {counts[arms[0]]}." if alike else note)


def _counts(item: ArmFigure) -> str:
    missing = f", {len(item.missing)} trainings missing" if item.missing else ""
    return (
        f"{item.patients} patients, {item.tumor_slices:,} slices with tumor and {item.tumor_free_slices:,} "
        f"without, {item.folds} folds x {item.seeds} seeds{missing}"
    )


def _with_interval(item: ArmFigure) -> str:
    """Write a figure with its interval: shares with three decimals, all else with one."""
    digits = 1 if item.unit else 3
    return with_interval(item.value, item.low, item.high, digits)


def _head(item: ArmFigure) -> str:
    title = MEASURES[item.measure].title if item.measure in MEASURES else item.measure.replace("_", " ")
    title = "AUC" if title == "auc" else title
    return f"{title}, {item.unit}" if item.unit else title


def with_interval(value: float, low: float, high: float, digits: int = 3) -> str:
    """Write a figure with its interval.

    >>> with_interval(0.8123, 0.7912, 0.8304), with_interval(12.5, float("nan"), float("nan"), digits=1)
    ('0.812 [0.791, 0.830]', '12.5')
    """
    if value != value:
        return "-"
    return f"{value:.{digits}f}" + ("" if low != low else f" [{low:.{digits}f}, {high:.{digits}f}]")


def in_points(measure: str, value: float) -> float:
    """Return a difference of shares in points, hundredths; of anything else as it is."""
    return value if MEASURES[measure].unit else 100 * value


def unit_of(measure: str) -> str:
    """Return the unit of `in_points`."""
    unit = MEASURES[measure].unit
    return "points" if not unit else "unit of the table" if unit == "distance" else unit


def points(measure: str, value: float, low: float, high: float) -> str:
    """Write a difference with its sign and interval.

    >>> points("dice", 0.0123, -0.004, 0.028)
    '+1.2 [-0.4, +2.8]'
    """
    if low != low:
        return f"{in_points(measure, value):+.1f}"
    ends = ", ".join(f"{in_points(measure, end):+.1f}" for end in (low, high))
    return f"{in_points(measure, value):+.1f} [{ends}]"


def format_p(p: float) -> str:
    """Write a p value.

    >>> [format_p(p) for p in (0.00004, 0.0312, 0.5)]
    ['<0.001', '0.031', '0.500']
    """
    return "<0.001" if p < 0.001 else f"{p:.3f}"
