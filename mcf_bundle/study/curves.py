"""Training curves as a drawing: a panel a model, a line a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import isfinite

from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.image_evaluation_profiles import COLORS, DASHES

Curve = Sequence[tuple[float, float]]
"""Pairs of step and value."""

PANEL = (330, 200)
"""Width and height of a panel, with room for its axes."""

MARGIN = (46, 26, 10, 40)
"""Room at the left, top, right and bottom of a panel."""

COLUMNS = 3


def draw_curves(panels: Mapping[str, Mapping[str, Curve]]) -> str:
    """Draw curves as SVG; values that are not finite are left out.

    Args:
        panels: title of a panel -> name of a curve -> its points. Every panel has its own scales. Names get
            their colors in the order in which they come, the same in all panels.

    Returns:
        An ``<svg>`` element without script and without address.

    Raises:
        ArgumentError: a panel has no finite point.
    """
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    styles = {
        name: (COLORS[number % len(COLORS)], DASHES[number // len(COLORS) % len(DASHES)])
        for number, name in enumerate(names)
    }
    width, height = PANEL
    parts = []
    for number, (title, curves) in enumerate(panels.items()):
        row, column = divmod(number, COLUMNS)
        body = _panel(title, curves, styles)
        parts.append(f'<g transform="translate({column * width},{row * height})">{body}</g>')
    bottom = height * -(-len(panels) // COLUMNS)
    legend, end = _legend(styles, bottom + 6)
    label = escape(f"Training curves: {', '.join(panels)}", quote=True)
    return (
        f'<svg role="img" aria-label="{label}" viewBox="0 0 {COLUMNS * width} {end}" fill="currentColor" '
        f'xmlns="http://www.w3.org/2000/svg" font-size="11">{"".join(parts)}{legend}</svg>'
    )


def _panel(title: str, curves: Mapping[str, Curve], styles: Mapping[str, tuple[str, str]]) -> str:
    finite = {name: [pair for pair in curve if all(map(isfinite, pair))] for name, curve in curves.items()}
    pairs = [pair for curve in finite.values() for pair in curve]
    if not pairs:
        raise ArgumentError("curves", f"{title!r} has no finite point", "leave the panel out")
    across, up = _Axis([x for x, _ in pairs]), _Axis([y for _, y in pairs])
    (left, top, right, bottom), (width, height) = MARGIN, PANEL
    floor, end = height - bottom, width - right
    parts = [f'<text x="{left}" y="{top - 10}" font-weight="600">{escape(title)}</text>']
    for share in (0.0, 0.5, 1.0):
        y = floor - share * (floor - top)
        x = left + share * (end - left)
        anchor = ("start", "middle", "end")[round(2 * share)]
        parts.append(
            f'<line x1="{left}" x2="{end}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" '
            f'stroke-opacity=".15"/><text x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{up.at(share):.3g}'
            f'</text><text x="{x:.1f}" y="{floor + 15}" text-anchor="{anchor}">{across.at(share):.4g}</text>'
        )
    for name, curve in finite.items():
        color, dashes = styles[name]
        points = " ".join(
            f"{left + across.share(x) * (end - left):.1f},{floor - up.share(y) * (floor - top):.1f}"
            for x, y in curve
        )
        parts.append(
            f'<polyline fill="none" stroke="{color}" stroke-width="1.5" stroke-dasharray="{dashes}" '
            f'points="{points}"/>'
        )
    return "".join(parts)


class _Axis:
    """From the smallest value to the largest; a single value stands at the low end."""

    def __init__(self, values: Sequence[float]) -> None:
        self.low = min(values)
        self.length = (max(values) - self.low) or 1.0

    def share(self, value: float) -> float:
        return (value - self.low) / self.length

    def at(self, share: float) -> float:
        return self.low + share * self.length


def _legend(styles: Mapping[str, tuple[str, str]], top: float) -> tuple[str, int]:
    """Return the legend and where it ends; it breaks into lines at the drawing's width."""
    parts, x, y = [], float(MARGIN[0]), top + 12
    for name, (color, dashes) in styles.items():
        length = 32 + 6.4 * len(name) + 18
        if x + length > COLUMNS * PANEL[0] and x > MARGIN[0]:
            x, y = float(MARGIN[0]), y + 18
        parts.append(
            f'<line x1="{x:.0f}" x2="{x + 24:.0f}" y1="{y - 4:.0f}" y2="{y - 4:.0f}" stroke="{color}" '
            f'stroke-width="2" stroke-dasharray="{dashes}"/><text x="{x + 30:.0f}" y="{y:.0f}">{escape(name)}'
            "</text>"
        )
        x += length
    return "".join(parts), round(y + 10)
