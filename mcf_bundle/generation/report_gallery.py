"""The pictures of the report, as HTML: a card an image, with a switch between the sequences."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

from PIL import Image, ImageOps

from mcf_bundle.data.volume import Channel
from mcf_bundle.generation.tile import CHANNEL_NAMES, Picture, Tile, sequence_pictures

SIDES = (128, 224)
"""Smallest and largest side of a picture, pixels."""

GRAY_BITS = 7
"""Bits of a gray level in the pictures: the eighth is noise that no reader sees, and costs an eighth more."""

SHOWN = (Channel.FLAIR, Channel.PRE, Channel.POST)
"""The sequences from top to bottom; the first is shown until the reader switches."""

_IDS = {Channel.FLAIR: "flair", Channel.PRE: "pre", Channel.POST: "post"}
_ALL = "all"

_NOTE = (
    "Middle slices. The pictures of one head share one display window for each sequence; brightness cannot "
    "be compared between images, nor between host and donor. The amber line is the edge of the mask, which "
    "marks the FLAIR abnormality in every sequence."
)


def render_gallery(tiles: Sequence[Tile]) -> str:
    """Write the images as HTML: the switch, then a card each; every text is escaped.

    The switch works without a script: the buttons precede the cards, whose strips a rule of the stylesheet
    hides. All sequences are in the page; their pictures are coded without loss, at 128 gray levels.
    """
    choices = {_IDS[channel]: CHANNEL_NAMES[channel] for channel in SHOWN} | {_ALL: "all three"}
    first = _IDS[SHOWN[0]]
    button = '<input class="pick" type="radio" name="sequence"'
    inputs = "".join(f'{button} id="pick-{key}"{" checked" if key == first else ""}>' for key in choices)
    labels = "".join(f'<label for="pick-{key}">{name}</label>' for key, name in choices.items())
    picker = f'{inputs}<div class="picker"><span>Sequence</span>{labels}</div>'
    return "\n".join([f'<p class="note">{_NOTE}</p>', picker, *map(_card, tiles)])


def _card(tile: Tile) -> str:
    sequences = sequence_pictures(tile, SIDES)
    names = [picture.caption for picture in sequences[Channel.FLAIR]]
    title, note = escape(tile.title), escape(tile.note)
    captions = "".join(f"<span>{escape(name)}</span>" for name in names)
    strips = "".join(_strip(tile.title, channel, sequences[channel]) for channel in SHOWN)
    facts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in tile.facts
    )
    return (
        f'<article class="tile"><h3>{title}</h3>'
        + (f'<p class="note">{note}</p>' if note and not facts else "")
        + f'<div class="pictures" tabindex="0" role="region" aria-label="{title}">'
        f'<div class="columns" style="--columns:{len(names)}"><div class="captions">{captions}</div>'
        f"{strips}</div></div>" + (f'<dl class="facts">{facts}</dl>' if facts else "") + "</article>"
    )


def _strip(title: str, channel: Channel, pictures: Sequence[Picture]) -> str:
    name = CHANNEL_NAMES[channel]
    start = f'<figure class="sequence {_IDS[channel]}">'
    if not pictures:
        return f"{start}<figcaption>{name}: not acquired, stored as a copy of FLAIR</figcaption></figure>"
    side = pictures[0].image.width
    strip = Image.new("RGB", (side * len(pictures), side))
    for column, picture in enumerate(pictures):
        strip.paste(picture.image, (column * side, 0))
    # One strip, not single pictures: what composite and result repeat of the host costs next to nothing.
    uri = webp_uri(ImageOps.posterize(strip, GRAY_BITS))
    words = escape(f"{title}, {name}: {'; '.join(picture.caption for picture in pictures)}", quote=True)
    return (
        f'{start}<figcaption>{name}</figcaption><img src="{uri}" alt="{words}" '
        f'decoding="async" width="{strip.width}" height="{strip.height}"></figure>'
    )


def webp_uri(image: Image.Image) -> str:
    """Return a picture as it stands in a page that needs no other file: lossless, base64."""
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", lossless=True, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


_HIDE_OTHERS = "".join(
    f"#pick-{key}:checked ~ .tile .sequence:not(.{key}) {{ display: none; }}\n" for key in _IDS.values()
)
_MARK_CHOICE = ", ".join(f"#pick-{key}:checked ~ .picker [for=pick-{key}]" for key in (*_IDS.values(), _ALL))

GALLERY_STYLE = f"""
.pick {{ position: fixed; top: 0; left: 0; margin: 0; opacity: 0; pointer-events: none; }}
.picker {{
  position: sticky; top: 0; z-index: 1; display: flex; flex-wrap: wrap; align-items: center; gap: .4rem;
  margin: 0 0 .7rem; padding: .5rem 0; background: var(--page); font-size: .9rem;
}}
.picker span {{ margin-right: .4rem; color: var(--soft); }}
.picker label {{
  padding: .15rem .8rem; background: var(--card); border: 1px solid var(--line); border-radius: 1rem;
  cursor: pointer;
}}
{_MARK_CHOICE} {{ background: var(--accent); border-color: var(--accent); color: var(--card); }}
.pick:focus-visible ~ .picker label {{ outline: 2px solid var(--accent); outline-offset: 1px; }}
{_HIDE_OTHERS}.pictures {{ overflow-x: auto; }}
.columns {{ min-width: calc(var(--columns) * 7.2rem); max-width: calc(var(--columns) * 15rem); }}
.captions {{
  display: grid; grid-template-columns: repeat(var(--columns), 1fr); padding: .2rem 4px; color: var(--soft);
  font-size: .82rem; text-align: center;
}}
.sequence {{ position: relative; margin: 0; padding: 4px; background: #000; color: #c9d0d6; }}
.sequence img {{ display: block; width: 100%; height: auto; }}
.sequence figcaption {{
  position: sticky; left: .4rem; width: max-content; margin-left: .4rem; font-size: .78rem;
}}
.facts {{
  display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .45rem 1.2rem;
  margin: .6rem 0 0; font-size: .87rem;
}}
.facts div:nth-child(-n+2) {{ grid-column: span 2; }}
.facts dt {{ color: var(--soft); font-size: .78rem; }}
.facts dd {{ margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }}
@media print {{
  .picker {{ display: none; }}
  .columns {{ min-width: 0; }}
  .sequence {{ -webkit-print-color-adjust: exact; print-color-adjust: exact; }}
}}
"""
