"""Intensity profiles of synthetic and real images as drawings, after the paper's Figures 8 and 9."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.data.volume import Channel
from mcf_bundle.generation.tile import CHANNEL_NAMES
from mcf_bundle.metrics.profiles import AXES, intensity_profiles, mean_profile

PANEL = (330, 170)
"""Width and height of a panel, with room for its axes."""

MARGIN = (38, 24, 8, 28)
"""Room at the left, top, right and bottom of a panel, for the axes' numbers and the title."""

SPREAD = (10.0, 90.0)
"""Percentiles of the reference's images that are shaded."""

COLORS = ("#d1495b", "#2a8fb5", "#b08900", "#8a63b8")
"""Of the sets, in their order; told apart on white and on black."""

DASHES = ("none", "7 4", "2 3", "9 3 2 3")
"""Of the sets likewise: a curve that lies on another one shows it through its gaps."""

_REFERENCE = "currentColor"


def draw_profiles(
    sets: Mapping[str, NDArray[np.float32]], reference: NDArray[np.float32], *, reference_name: str
) -> str:
    """Draw the mean profiles of sets and reference, a panel for each direction and sequence, as SVG.

    Args:
        sets: images by the name of the set, each (N, 3, H, W), normalized, ordered as `Channel`; one to four
            sets.
        reference: (M, 3, H, W), likewise; the range of its images is shaded, see `SPREAD`.
        reference_name: what the legend calls it.

    Returns:
        An ``<svg>`` element without script and without address.
    """
    panels, (width, height) = [], PANEL
    for row, direction in enumerate(AXES):
        real = intensity_profiles(reference, direction)
        found = {name: mean_profile(intensity_profiles(images, direction)) for name, images in sets.items()}
        for column, channel in enumerate((Channel.FLAIR, Channel.PRE, Channel.POST)):
            curves = {name: means[channel] for name, means in found.items()}
            title = f"{CHANNEL_NAMES[channel]}, {direction}"
            body = _panel(title, curves, real[:, channel])
            panels.append(f'<g transform="translate({column * width},{row * height})">{body}</g>')
    total = (3 * width, len(AXES) * height + 26)
    legend = _legend([*sets], reference_name, total[1] - 8)
    label = escape(f"Mean intensity profiles of {', '.join(sets)} and of {reference_name}", quote=True)
    return (
        f'<svg role="img" aria-label="{label}" viewBox="0 0 {total[0]} {total[1]}" '
        f'xmlns="http://www.w3.org/2000/svg" font-size="11">{"".join(panels)}{legend}</svg>'
    )


def _panel(title: str, curves: Mapping[str, NDArray[np.float64]], real: NDArray[np.float64]) -> str:
    low, high = np.percentile(real, SPREAD, axis=0)
    top = _rounded_up(float(max(high.max(), *(curve.max() for curve in curves.values()), 0.02)))
    length = real.shape[1]
    parts = [_axes(title, top, length)]
    outline = np.concatenate([_points(high, top), _points(low, top)[::-1]])
    parts.append(f'<polygon fill="{_REFERENCE}" fill-opacity=".13" points="{_text(outline)}"/>')
    parts.append(_line(mean_profile(real[:, None])[0], top, _REFERENCE, 2.0))
    for curve, color, dashes in zip(curves.values(), COLORS, DASHES, strict=False):
        parts.append(_line(curve, top, color, 1.6, dashes))
    return "".join(parts)


def _axes(title: str, top: float, length: int) -> str:
    left, up, right, bottom = MARGIN
    width, height = PANEL
    floor, end = height - bottom, width - right
    ticks = "".join(
        f'<text fill="currentColor" x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        f'<line x1="{left}" x2="{end}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" stroke-opacity=".15"/>'
        for value, y in ((0.0, floor), (top / 2, (floor + up) / 2), (top, up))
    )
    marks = "".join(
        f'<text fill="currentColor" x="{x:.1f}" y="{floor + 13}" text-anchor="middle">{place}</text>'
        for place, x in ((0, left), (length // 2, (left + end) / 2), (length - 1, end - 6))
    )
    name = f'<text fill="currentColor" x="{left}" y="{up - 9}" font-weight="600">{escape(title)}</text>'
    return name + ticks + marks


def _points(curve: NDArray[np.float64], top: float) -> NDArray[np.float64]:
    left, up, right, bottom = MARGIN
    x = np.linspace(left, PANEL[0] - right, len(curve))
    y = PANEL[1] - bottom - curve / top * (PANEL[1] - bottom - up)
    return np.stack([x, y], axis=1)


def _line(curve: NDArray[np.float64], top: float, color: str, width: float, dashes: str = "none") -> str:
    points = _text(_points(curve, top))
    style = f'stroke="{color}" stroke-width="{width}" stroke-dasharray="{dashes}"'
    return f'<polyline fill="none" {style} points="{points}"/>'


def _text(points: NDArray[np.float64]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _rounded_up(value: float) -> float:
    """The next of 1, 2, 4, 6, 8, 10 times a power of ten, so that half of it is a short number."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value * (1 - 1e-9)))


def _legend(names: Sequence[str], reference_name: str, y: float) -> str:
    parts, x = [], float(MARGIN[0])
    entries = [
        *zip(names, COLORS, strict=False),
        (f"{reference_name}, shaded: 10 to 90 % of the images", _REFERENCE),
    ]
    for name, color in entries:
        parts.append(f'<rect x="{x:.0f}" y="{y - 9}" width="14" height="9" fill="{color}"/>')
        parts.append(f'<text fill="currentColor" x="{x + 19:.0f}" y="{y}">{escape(name)}</text>')
        x += 19 + 6.2 * len(name) + 22
    return "".join(parts)
