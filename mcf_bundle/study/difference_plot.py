"""Differences with their intervals as a drawing: who is better than whom at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

from mcf_bundle.study.comparisons import Comparison
from mcf_bundle.study.measures import MEASURES
from mcf_bundle.study.statistics import Verdict
from mcf_bundle.study.tables import in_points, points, unit_of

WIDTH, ROW, TITLE = 1000, 26, 34
"""Width of the drawing, height of a row and of a panel's title."""

LEFT, RIGHT = 250, 730
"""Where the scale begins and ends; names stand to the left, figures to the right."""

COLORS = {
    Verdict.BETTER: "var(--accent, #0f6b75)",
    Verdict.WORSE: "#d1495b",
    Verdict.INCONCLUSIVE: "currentColor",
}


def draw_differences(comparisons: Sequence[Comparison], *, against: str) -> str:
    """Draw comparisons of one measure with one arm, a panel a group and a row an arm, as SVG.

    Args:
        comparisons: all of the same measure, ordered by group; at least one.
        against: what the scale calls the arm that they are compared with.

    Returns:
        An ``<svg>`` element without script and without address. A filled dot is better or worse, a hollow one
        inconclusive; shaded is what the design could not find.
    """
    measure = comparisons[0].measure
    reach = _reach(comparisons)
    parts, y = [], 0.0
    for group, same in groupby(comparisons, key=lambda item: item.group):
        items = list(same)
        name = f'<text x="8" y="{y + 21:.0f}" font-weight="600">{escape(str(group))}</text>'
        bottom = y + TITLE + ROW * len(items)
        parts += [name, _scale(reach, y + TITLE - 6, bottom)]
        parts += [_row(item, reach, y + TITLE + ROW * (number + 0.5)) for number, item in enumerate(items)]
        y = bottom + 30
    label = escape(f"difference to {against}, {unit_of(measure)}")
    sign = "right is better" if _better_is_high(comparisons) else "left is better"
    parts.append(
        f'<text x="{(LEFT + RIGHT) / 2}" y="{y + 4:.0f}" text-anchor="middle">{label} ({sign})</text>'
    )
    height = y + 16
    words = escape(
        f"Differences to {against}: "
        + "; ".join(f"{item.group}, {item.arm}: {_words(item)}, {item.verdict}" for item in comparisons),
        quote=True,
    )
    return (
        f'<svg role="img" aria-label="{words}" viewBox="0 0 {WIDTH} {height:.0f}" fill="currentColor" '
        f'xmlns="http://www.w3.org/2000/svg" font-size="13">{"".join(parts)}</svg>'
    )


def _better_is_high(comparisons: Sequence[Comparison]) -> bool:
    return MEASURES[comparisons[0].measure].best == "high"


def _reach(comparisons: Sequence[Comparison]) -> float:
    """Return where the scale ends on both sides: the next round number beyond every interval."""
    ends = [
        abs(in_points(item.measure, end))
        for item in comparisons
        for end in (item.result.difference, item.result.low, item.result.high)
        if end == end
    ]
    largest, step = max([*ends, 1e-6]), 1e-6
    while True:
        for factor in (1, 2, 4, 6, 8):
            if factor * step >= largest:
                return factor * step
        step *= 10


def _x(value: float, reach: float) -> float:
    middle, half = (LEFT + RIGHT) / 2, (RIGHT - LEFT) / 2
    return middle + half * max(-1.0, min(1.0, value / reach))


def _scale(reach: float, top: float, bottom: float) -> str:
    parts = []
    for value in (-reach, -reach / 2, 0.0, reach / 2, reach):
        x, strength = _x(value, reach), 0.6 if value == 0 else 0.15
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:.0f}" y2="{bottom:.0f}" stroke="currentColor" '
            f'stroke-opacity="{strength}"/><text x="{x:.1f}" y="{bottom + 14:.0f}" text-anchor="middle" '
            f'font-size="11" fill-opacity=".7">{value:+g}</text>'
        )
    return "".join(parts).replace(">+0<", ">0<")


def _row(item: Comparison, reach: float, y: float) -> str:
    result, color = item.result, COLORS[item.verdict]
    parts = [f'<text x="{LEFT - 14}" y="{y + 4:.1f}" text-anchor="end">{escape(item.arm)}</text>']
    if result.smallest_difference == result.smallest_difference:
        found = in_points(item.measure, result.smallest_difference)
        left, right = _x(-found, reach), _x(found, reach)
        parts.append(
            f'<rect x="{left:.1f}" y="{y - 9:.1f}" width="{right - left:.1f}" height="18" '
            'fill-opacity=".07"/>'
        )
    if result.low == result.low:
        low, high = (_x(in_points(item.measure, end), reach) for end in (result.low, result.high))
        parts.append(
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}" style="stroke:{color}" '
            'stroke-width="2"/>'
        )
    hollow = item.verdict is Verdict.INCONCLUSIVE
    fill = "var(--card, #fff)" if hollow else color
    x = _x(in_points(item.measure, result.difference), reach)
    parts.append(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" style="fill:{fill};stroke:{color}" stroke-width="2"/>'
        f'<text x="{RIGHT + 14}" y="{y + 4:.1f}">{escape(_words(item))}</text>'
        f'<text x="{WIDTH - 8}" y="{y + 4:.1f}" text-anchor="end" style="fill:{color}" '
        f'font-weight="{400 if hollow else 600}">{item.verdict}</text>'
    )
    return "".join(parts)


def _words(item: Comparison) -> str:
    return points(item.measure, item.result.difference, item.result.low, item.result.high)
