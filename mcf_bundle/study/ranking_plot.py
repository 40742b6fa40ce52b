"""A ranking as drawings: what each setting scored, and what it changes image by image, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from mcf_bundle.study.ranking_measures import NOTHING, Figure
from mcf_bundle.study.ranking_pairs import METRICS, PairedLine

if TYPE_CHECKING:
    from mcf_bundle.study.ranking_measures import Ranked

LEFT, PANEL, GAP, ROW, TOP = 330, 200, 30, 24, 40
"""Width of the names and of a panel, distance of panels, height of a row and of the titles."""

PANELS = (
    ("consistency", "label consistency, Dice", "high is good", None),
    ("kid", "KID of crops", "low is good", None),
    ("texture", "texture AUC", "0.5 is good", 0.5),
)
"""Figure, title, which side is good, and where a line helps."""


class Panel(NamedTuple):
    """What a panel shows.

    Attributes:
        title: above it.
        line: where a line helps the eye; None for none.
        figures: one a row, nan where there is nothing.
        filled: whether each dot is filled.
    """

    title: str
    line: float | None
    figures: Sequence[Figure]
    filled: Sequence[bool]


def draw_ranking(ranked: Sequence[Ranked]) -> str:
    """Draw settings, a row each in their order, with a panel for each figure, as SVG.

    Args:
        ranked: best first; at least one.

    Returns:
        An ``<svg>`` element without script and without address. Dots are figures, lines 95 % intervals; the
        dots of finalists are filled. A setting without a figure has an empty row.
    """
    finalists = [item.finalist for item in ranked]
    panels = [
        Panel(f"{title} ({good})", line, [getattr(item.measured, name) for item in ranked], finalists)
        for name, title, good, line in PANELS
    ]
    names = {item.measured.setting.name: item.finalist for item in ranked}
    return _draw(names, panels, "; ".join(map(_words, ranked)))


def draw_pairs(lines: Sequence[PairedLine]) -> str:
    """Draw what each setting changes image by image, a row each, with a panel for each figure, as SVG.

    Args:
        lines: at least one.

    Returns:
        An ``<svg>`` element as `draw_ranking` does. Dots are mean differences to the first setting, lines
        95 % intervals over patients; the dots of intervals without 0 are filled.
    """
    found = {(line.setting, line.metric): Figure(line.difference, line.low, line.high) for line in lines}
    names = dict.fromkeys((line.setting for line in lines), False)
    panels = []
    for metric, (_, _, title) in METRICS.items():
        figures = [found.get((name, metric), NOTHING) for name in names]
        if any(math.isfinite(figure.value) for figure in figures):
            panels.append(Panel(title, 0.0, figures, [f.low > 0 or f.high < 0 for f in figures]))
    words = "; ".join(f"{line.setting}: {METRICS[line.metric][2]} {line.difference:+.3f}" for line in lines)
    return _draw(names, panels, f"Differences to {lines[0].against}: {words}")


def _draw(names: Mapping[str, bool], panels: Sequence[Panel], words: str) -> str:
    """Draw rows by their names, bold where that says so, and panels side by side."""
    bottom = TOP + ROW * len(names)
    parts = [
        f'<text x="{LEFT - 14}" y="{_y(row) + 4:.0f}" text-anchor="end" '
        f'font-weight="{600 if bold else 400}">{escape(name)}</text>'
        for row, (name, bold) in enumerate(names.items())
    ]
    for number, panel in enumerate(panels):
        parts.append(_panel(LEFT + number * (PANEL + GAP), bottom, panel))
    width = LEFT + len(panels) * (PANEL + GAP)
    return (
        f'<svg role="img" aria-label="{escape(words, quote=True)}" viewBox="0 0 {width} {bottom + 30}" '
        'fill="currentColor" xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="13" '
        f'style="background:#fff;color:#1c2024">{"".join(parts)}</svg>\n'
    )


def _panel(left: float, bottom: float, panel: Panel) -> str:
    title, line, figures, filled = panel
    values = [v for f in figures for v in (f.value, f.low, f.high) if math.isfinite(v)]
    values += [] if line is None else [line]
    low, high = min(values, default=0.0), max(values, default=1.0)
    span = high - low or 1.0

    def x(value: float) -> float:
        return left + PANEL * (value - low) / span

    middle = left + PANEL / 2
    parts = [f'<text x="{middle}" y="18" text-anchor="middle" font-size="12">{escape(title)}</text>']
    for value, anchor in ((low, "start"), (high, "end")):
        parts.append(
            f'<text x="{x(value):.1f}" y="{bottom + 18}" text-anchor="{anchor}" font-size="11" '
            f'fill-opacity=".7">{value:.3g}</text>'
        )
    parts.append(f'<path d="M{left} {bottom}h{PANEL}" stroke="currentColor" stroke-opacity=".3"/>')
    if line is not None:
        parts.append(
            f'<path d="M{x(line):.1f} {TOP}V{bottom}" stroke="currentColor" stroke-opacity=".3" '
            'stroke-dasharray="4"/>'
        )
    for row, (figure, full) in enumerate(zip(figures, filled, strict=True)):
        if not math.isfinite(figure.value):
            continue
        y = _y(row)
        if math.isfinite(figure.low):
            path = f"M{x(figure.low):.1f} {y:.1f}H{x(figure.high):.1f}"
            parts.append(f'<path d="{path}" stroke="#0f6b75" stroke-width="2"/>')
        fill = "#0f6b75" if full else "#fff"
        parts.append(
            f'<circle cx="{x(figure.value):.1f}" cy="{y:.1f}" r="4.5" fill="{fill}" stroke="#0f6b75" '
            'stroke-width="2"/>'
        )
    return "".join(parts)


def _y(row: int) -> float:
    return TOP + ROW * (row + 0.5)


def _words(item: Ranked) -> str:
    found = item.measured
    figures = ", ".join(f"{title} {getattr(found, name).value:.3g}" for name, title, _, _ in PANELS)
    return f"{found.setting.name}: {figures}"
