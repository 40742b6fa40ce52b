"""Report of a run: one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from mcf_bundle.atomic_file import write_atomically
from mcf_bundle.generation.report_gallery import GALLERY_STYLE, render_gallery
from mcf_bundle.generation.report_style import STYLE
from mcf_bundle.generation.report_table import Table, render_table
from mcf_bundle.generation.tile import Tile

MAX_IMAGES = 200
"""Images embedded at most; the page says so when there are more."""

RESEARCH_NOTICE = (
    "Research only, not for diagnosis. The tumors are synthetic; heads and faces are the hosts' own, so "
    "where the hosts are real patients this page is personal data."
)


@dataclass(frozen=True)
class Figure:
    """One number that the reader should see first, for example '15 patients' or '17 % rejected'."""

    value: str
    label: str


@dataclass(frozen=True)
class Section:
    """Tables that belong together.

    Attributes:
        title: heading, also in the page's table of contents.
        tables: shown in this order, small ones two side by side.
        text: a paragraph above them.
        drawings: ``<svg>`` elements of our own, whose texts are escaped already; shown above the tables.
    """

    title: str
    tables: tuple[Table, ...]
    text: str = ""
    drawings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReportContent:
    """All that the report shows; the page depends on nothing else, above all not on the time.

    Attributes:
        title: name of the run.
        headline: what was made, for example '24 of 24 images'.
        summary: lines below the headline, plain text.
        warnings: what the reader must know before anything else; shown above the rest.
        figures: a few numbers in large type.
        tiles: the images in row order; those after the first 200 are not shown.
        image_count: number of images of the run, if `tiles` are only some of them.
        sections: the tables, by subject.
        gallery_note: why pictures are missing; empty if none is.
        notice: what the pages may be used for.
    """

    title: str
    headline: str
    summary: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    tiles: Sequence[Tile] = ()
    image_count: int | None = None
    sections: tuple[Section, ...] = ()
    gallery_note: str = ""
    notice: str = RESEARCH_NOTICE


def write_report(path: Path, content: ReportContent) -> None:
    """Write the page as UTF-8, in full or not at all.

    Raises:
        DataError: the file cannot be written; names it.
    """
    write_atomically(path, render(content).encode("utf-8"))


def render(content: ReportContent) -> str:
    """Write the report as one HTML page.

    Style and pictures are inside; there is no script and no address of anything outside.
    Every text is escaped. The same content gives the same page, with the same version of Pillow.
    """
    parts = [_head(content.title), "<main>", _opening(content), _navigation(content), _images(content)]
    for number, section in enumerate(content.sections, start=1):
        parts.append(f'<h2 id="section-{number}">{escape(section.title)}</h2>')
        if section.text:
            parts.append(f"<p>{escape(section.text)}</p>")
        parts += [f'<figure class="drawing">{drawing}</figure>' for drawing in section.drawings]
        parts.append(f'<div class="tables">{"".join(map(render_table, section.tables))}</div>')
    return "\n".join(part for part in [*parts, "</main></body></html>"] if part) + "\n"


def _head(title: str) -> str:
    # The policy forbids the browser to load anything that is not inside the page.
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{STYLE}{GALLERY_STYLE}</style></head><body>"
    )


def _opening(content: ReportContent) -> str:
    parts = [f'<header><h1>{escape(content.title)}</h1><p class="headline">{escape(content.headline)}</p>']
    if content.warnings:
        items = "".join(f"<li>{escape(warning)}</li>" for warning in content.warnings)
        name = "Warning" if len(content.warnings) == 1 else "Warnings"
        parts.append(f'<div class="warnings" role="alert"><h3>{name}</h3><ul>{items}</ul></div>')
    if content.figures:
        items = "".join(
            f"<div><dt>{escape(figure.label)}</dt><dd>{escape(figure.value)}</dd></div>"
            for figure in content.figures
        )
        parts.append(f'<dl class="figures">{items}</dl>')
    parts += [f"<p>{escape(line)}</p>" for line in content.summary]
    if content.notice:
        parts.append(f'<p class="notice">{escape(content.notice)}</p>')
    return "".join(parts) + "</header>"


def _navigation(content: ReportContent) -> str:
    links = ['<a href="#images">Images</a>'] if content.tiles else []
    for number, section in enumerate(content.sections, start=1):
        links.append(f'<a href="#section-{number}">{escape(section.title)}</a>')
    return f'<nav aria-label="Contents">{"".join(links)}</nav>' if links else ""


def _images(content: ReportContent) -> str:
    if not content.tiles:
        return ""
    shown = content.tiles[:MAX_IMAGES]
    count = len(content.tiles) if content.image_count is None else content.image_count
    parts = ['<h2 id="images">Images</h2>']
    if count > len(shown):
        parts.append(
            f"<p><strong>The first {len(shown)} of {count:,} images are shown.</strong> "
            "The others are in the folder of the run.</p>"
        )
    if content.gallery_note:
        parts.append(f"<p><strong>{escape(content.gallery_note)}</strong></p>")
    return "\n".join([*parts, render_gallery(shown)])
