"""Contact sheet: one row of pictures an image, from host to result."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from mcf_bundle.atomic_file import write_atomically
from mcf_bundle.data.volume import Channel
from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.tile import CHANNEL_NAMES, Picture, Tile, tile_pictures

CELL, GAP, MARGIN = 192, 4, 20
"""Pixels: side of a picture, space between pictures, margin of the sheet."""

STRIP, HEADER, FOOTER = 32, 28, 40
"""Pixels: height of a row's title, of the names of the columns, of the last line."""

COLUMNS = 7
"""Pictures of a row; four where the images' origins are not known."""

ROWS_IN_ONE_BLOCK = 8
"""A sheet with more rows stands in two blocks side by side, to be read down the left one first."""

BACKGROUND, BRIGHT, DIM = (18, 20, 23), (238, 240, 242), (158, 164, 171)


def draw_contact_sheet(
    tiles: Sequence[Tile], *, channel: Channel = Channel.FLAIR, max_tiles: int = 24, total: int | None = None
) -> Image.Image:
    """Draw a row for each image: host, donor, composite, result, result with mask, its other two channels.

    Every row has its own frame and display window, chosen from the host's brain, so that dark scans are
    visible too; the donor has its own (see `tile_pictures`). Brightness cannot be compared between rows.

    Args:
        tiles: the images, in the order in which they are shown.
        channel: sequence shown in the first five columns.
        max_tiles: rows at most; the last line tells how many images there are beyond them.
        total: number of images of the run, if `tiles` are only some of them.

    Returns:
        The sheet, RGB; without tiles, one line that says so.

    Raises:
        ArgumentError: `max_tiles` is below 1.
    """
    if max_tiles < 1:
        raise ArgumentError("max_tiles", f"expected 1 or more, got {max_tiles}", "ask for at least one row")
    shown = tiles[:max_tiles]
    blocks = 2 if len(shown) > ROWS_IN_ONE_BLOCK else 1
    rows = -(-len(shown) // blocks)
    lines = [tile_pictures(tile, channel=channel, side=CELL) for tile in shown]
    block_width = max(map(len, lines), default=COLUMNS) * (CELL + GAP) - GAP
    width = blocks * (block_width + 2 * MARGIN)
    height = MARGIN + HEADER + rows * (STRIP + CELL) + FOOTER
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for index, (tile, pictures) in enumerate(zip(shown, lines, strict=True)):
        block, row = divmod(index, rows)
        corner = MARGIN + block * (block_width + 2 * MARGIN), MARGIN + HEADER + row * (STRIP + CELL)
        _write_title(draw, tile, corner, block_width)
        _paste_row(sheet, pictures, corner, named=row == 0)
    count = len(tiles) if total is None else total
    line = f"{len(shown)} of {count} images" if count != len(shown) else f"{count} images"
    line += f"  ·  {CHANNEL_NAMES[channel]} where not named otherwise  ·  Research only, not for diagnosis"
    draw.text((MARGIN, height - FOOTER / 2), line, DIM, _font(16), anchor="lm")
    return sheet


def save_contact_sheet(
    tiles: Sequence[Tile],
    path: Path,
    *,
    channel: Channel = Channel.FLAIR,
    max_tiles: int = 24,
    total: int | None = None,
) -> None:
    """Write the sheet as PNG; the same tiles give the same bytes with the same version of Pillow.

    Args:
        tiles: as for `draw_contact_sheet`, also the rest.
        path: the file, replaced if it is there.
        channel: as there.
        max_tiles: as there.
        total: as there.

    Raises:
        DataError: the file cannot be written.
    """
    sheet = draw_contact_sheet(tiles, channel=channel, max_tiles=max_tiles, total=total)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", compress_level=6)
    write_atomically(path, buffer.getvalue())


def _write_title(draw: ImageDraw.ImageDraw, tile: Tile, corner: tuple[int, int], width: int) -> None:
    """Write a row's title and note, cut to the width in pixels."""
    left, top = corner
    middle = top + STRIP / 2
    title = _shorten(tile.title, _font(18), width // 2)
    draw.text((left, middle), title, BRIGHT, _font(18), anchor="lm")
    used = int(_font(18).getlength(title)) + 14
    note = _shorten(tile.note, _font(16), width - used)
    draw.text((left + used, middle), note, DIM, _font(16), anchor="lm")


def _paste_row(
    sheet: Image.Image, pictures: Sequence[Picture], corner: tuple[int, int], *, named: bool
) -> None:
    """Paste the pictures of one row; the first of a block also names the columns."""
    draw = ImageDraw.Draw(sheet)
    left, top = corner
    for column, picture in enumerate(pictures):
        x = left + column * (CELL + GAP)
        sheet.paste(picture.image, (x, top + STRIP))
        if named:
            draw.text((x + CELL / 2, top - HEADER / 2), picture.caption, BRIGHT, _font(18), anchor="mm")


def _shorten(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Cut a line to a width in pixels; an ellipsis tells that something is missing."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
