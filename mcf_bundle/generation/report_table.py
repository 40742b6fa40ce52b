"""A table of the report, as HTML."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from html import escape

from mcf_bundle.errors import ArgumentError

Cell = str | int | float | bool | None
"""What a cell holds; None and nan are shown as a dash."""

WIDE_COLUMNS, WIDE_TEXT = 4, 48
"""A table with more columns, or with a longer text in a cell, takes the page's full width."""

_HASH = re.compile(r"[0-9a-f]{12,}")


@dataclass(frozen=True)
class Table:
    """A table with a title.

    Attributes:
        title: heading above the table.
        columns: names of the columns.
        rows: one cell a column each; without rows the report says 'None.'.
        note: one or two sentences on how to read it.
        bars: a column of numbers, not negative, that is also drawn as bars; no bars if empty.

    Raises:
        ArgumentError: a row has another number of cells than there are columns, or `bars` is no column.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    bars: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                problem = f"{self.title!r} has {len(self.columns)} columns, a row {len(row)} cells: {row}"
                raise ArgumentError("rows", problem, "give one cell a column")
        if self.bars and self.bars not in self.columns:
            problem = f"{self.title!r} has no column {self.bars!r}"
            raise ArgumentError("bars", problem, f"name one of {', '.join(self.columns)}")

    @property
    def is_wide(self) -> bool:
        """Whether the table needs the full width of the page."""
        texts = [format_cell(cell) for row in self.rows for cell in row]
        longest = max((len(text) for text in texts if not _HASH.fullmatch(text)), default=0)
        return len(self.columns) > WIDE_COLUMNS or longest > WIDE_TEXT


def render_table(table: Table) -> str:
    """Write a table with its heading and note as HTML; every text is escaped."""
    parts = [f'<section class="table{" wide" if table.is_wide else ""}"><h3>{escape(table.title)}</h3>']
    if table.note:
        parts.append(f'<p class="note">{escape(table.note)}</p>')
    parts.append(_body(table) if table.rows else '<p class="soft">None.</p>')
    return "".join(parts) + "</section>"


def format_cell(cell: Cell) -> str:
    """Write a cell as plain text: numbers with four significant digits and separated thousands.

    >>> [format_cell(cell) for cell in (2556, 0.98765, 1234.5, True, None, float("nan"), "a")]
    ['2,556', '0.9877', '1,234', 'yes', '-', '-', 'a']
    """
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if 1000 <= abs(cell) < 1e15 else f"{cell:.4g}"
    return cell


def _body(table: Table) -> str:
    numeric = [all(_is_number(row[i]) for row in table.rows) for i in range(len(table.columns))]
    barred = table.columns.index(table.bars) if table.bars else None
    heads = [
        f'<th scope="col"{_class("number" if numeric[i] else "")}>{escape(name)}</th>'
        for i, name in enumerate(table.columns)
    ]
    if barred is not None:
        heads.append('<th class="bar" aria-hidden="true"></th>')
    lines = [f"<tr>{''.join(heads)}</tr></thead><tbody>"]
    largest = 0.0 if barred is None else max((_length(row[barred]) for row in table.rows), default=0.0)
    for row in table.rows:
        cells = [_cell(cell, is_numeric) for cell, is_numeric in zip(row, numeric, strict=True)]
        if barred is not None:
            share = 100 * _length(row[barred]) / largest if largest else 0.0
            cells.append(f'<td class="bar" aria-hidden="true"><i style="width:{share:.1f}%"></i></td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    inner = "\n".join(lines)
    label = escape(table.title)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">'
        f"<table><thead>{inner}</tbody></table></div>"
    )


def _cell(cell: Cell, is_numeric: bool) -> str:
    text = format_cell(cell)
    kind = "number" if is_numeric else "code" if _HASH.fullmatch(text) else ""
    if not kind and len(text) > WIDE_TEXT:
        kind = "long"
    return f"<td{_class(kind)}>{escape(text)}</td>"


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _is_number(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool))


def _length(cell: Cell) -> float:
    """Length of a cell's bar: 0 for what is not a positive finite number."""
    return float(cell) if isinstance(cell, int | float) and math.isfinite(cell) and cell > 0 else 0.0
