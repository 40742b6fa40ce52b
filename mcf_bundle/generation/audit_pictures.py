"""A synthetic tumor beside the training tumor that it is most like."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from mcf_bundle.atomic_file import write_atomically
from mcf_bundle.data.volume import Channel
from mcf_bundle.generation.contact_sheet import BACKGROUND, BRIGHT, CELL, DIM, GAP, MARGIN, STRIP
from mcf_bundle.generation.tile import CHANNEL_NAMES, OUTLINE, Tile, tile_pictures

FONT_SIZE = 16


@dataclass(frozen=True, eq=False)
class Compared:
    """One of the two sides of a picture.

    Attributes:
        title: one line.
        image: (3, H, W), uint8, stored gray levels of the whole slice.
        mask: (H, W), bool, its mask.
        patch: (3, h, w), float32, normalized, the tumor as it was compared.
    """

    title: str
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    patch: NDArray[np.float32]


def draw_pair(synthetic: Compared, nearest: Compared, weights: NDArray[np.float32], note: str) -> Image.Image:
    """Draw both slices with their masks, and both tumors as they were compared, in each sequence.

    Args:
        synthetic: the generated image.
        nearest: the training slice; its patch is turned to the synthetic one.
        weights: (h, w), [0, 1], the synthetic mask in the patch; its outline is drawn on both patches, since
            the correlation is taken within it.
        note: one line below.

    Returns:
        Two rows of four pictures, RGB. Each patch has its own gray levels: a correlation ignores them.
    """
    columns = 1 + len(Channel)
    width = 2 * MARGIN + columns * (CELL + GAP) - GAP
    height = 2 * MARGIN + 2 * (STRIP + CELL) + 2 * STRIP
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE)
    for row, side in enumerate((synthetic, nearest)):
        top = MARGIN + row * (STRIP + CELL)
        draw.text((MARGIN, top + STRIP / 2), side.title, BRIGHT, font, anchor="lm")
        tile = Tile(side.title, None, side.image, side.mask)
        pictures = [tile_pictures(tile, side=CELL, all_channels=False)[-1].image]
        pictures += [_patch_picture(side.patch[channel], weights) for channel in Channel]
        for column, picture in enumerate(pictures):
            sheet.paste(picture, (MARGIN + column * (CELL + GAP), top + STRIP))
    names = ", ".join(CHANNEL_NAMES[channel] for channel in Channel)
    lines = note, f"Slice: FLAIR; tumors: {names}  ·  Research only, not for diagnosis"
    for number, line in enumerate(lines):
        top = height - MARGIN - (len(lines) - number) * STRIP
        draw.text((MARGIN, top + STRIP / 2), line, DIM, font, anchor="lm")
    return sheet


def save_pair(
    path: Path, synthetic: Compared, nearest: Compared, weights: NDArray[np.float32], note: str
) -> None:
    """Write `draw_pair` as PNG.

    Raises:
        DataError: the file cannot be written.
    """
    buffer = io.BytesIO()
    draw_pair(synthetic, nearest, weights, note).save(buffer, format="PNG", compress_level=6)
    write_atomically(path, buffer.getvalue())


def _patch_picture(patch: NDArray[np.float32], weights: NDArray[np.float32]) -> Image.Image:
    """Show one channel from its 1st to its 99th percentile within the mask, and half of that beyond."""
    inside = patch[weights >= 0.5] if (weights >= 0.5).any() else patch.ravel()
    low, high = np.percentile(inside, [1, 99])
    margin = max(float(high - low) / 2, 0.02)
    shown = np.clip((patch - (low - margin)) / (high - low + 2 * margin), 0, 1)
    picture = Image.fromarray(np.rint(shown * 255).astype(np.uint8))
    pixels = np.array(picture.resize((CELL, CELL), Image.Resampling.BICUBIC).convert("RGB"))
    mask = Image.fromarray(np.rint(weights * 255).astype(np.uint8))
    filled = np.asarray(mask.resize((CELL, CELL), Image.Resampling.BILINEAR)) >= 128
    pixels[ndimage.binary_dilation(filled) & ~filled] = OUTLINE
    return Image.fromarray(pixels)
