"""A generated image beside what it was made from, as pictures for a reader."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from mcf_bundle.data.anatomy import brain_region, head_mask
from mcf_bundle.data.volume import Channel

WINDOW_TOP = {Channel.PRE: 2.0, Channel.FLAIR: 2.4, Channel.POST: 2.0}
"""Gray level shown as white, in units of the brain's median above the background."""

FRAME = 1.06
"""Side of a picture in units of the head's longer side."""

OUTLINE = (255, 176, 0)
"""Color of the mask's outline: amber, told apart from gray by every kind of color vision."""

CHANNEL_NAMES = {Channel.PRE: "T1 pre", Channel.FLAIR: "FLAIR", Channel.POST: "T1 post"}


@dataclass(frozen=True, eq=False)
class Origin:
    """What an image was made from; all pictures are middle slices of their triplets.

    Attributes:
        host: (3, H, W), uint8, stored gray levels, channels ordered as `Channel`.
        donor: (3, H, W), uint8, in the donor's own frame; its size may differ from the host's.
        donor_mask: (H, W), bool, the donor's tumor.
        composite: (3, H, W), uint8, the host with the donor's tumor, before the diffusion.
    """

    host: NDArray[np.uint8]
    donor: NDArray[np.uint8]
    donor_mask: NDArray[np.bool_]
    composite: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Tile:
    """One generated image and its origin.

    Attributes:
        title: what the image is, for example its case name.
        origin: what it was made from; None where the dataset is not at hand.
        result: (3, H, W), uint8, stored gray levels, channels ordered as `Channel`, the generated image.
        mask: (H, W), bool, the mask written with it.
        note: one short line, for example host, donor and the gate's figures; for the contact sheet, and for
            the report where there are no facts.
        facts: the row's facts for the report, pairs of name and value.
    """

    title: str
    origin: Origin | None
    result: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    note: str = ""
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Picture:
    """A square picture for the screen and the name of its column."""

    caption: str
    image: Image.Image


@dataclass(frozen=True)
class _View:
    """How one head is shown: its frame (left, top, right, bottom) and the gray levels of black and white."""

    frame: tuple[int, int, int, int]
    windows: dict[Channel, tuple[float, float]]


@dataclass(frozen=True)
class _Views:
    """How the heads of a tile are shown: the host's, or the result's without an origin, and the donor's."""

    host: _View
    donor: _View | None

    @classmethod
    def of(cls, tile: Tile) -> _Views:
        if tile.origin is None:
            return cls(_view(tile.result, tile.mask), None)
        return cls(_view(tile.origin.host, tile.mask), _view(tile.origin.donor, tile.origin.donor_mask))


def tile_pictures(
    tile: Tile, *, channel: Channel = Channel.FLAIR, side: int = 192, all_channels: bool = True
) -> list[Picture]:
    """Draw host, donor, composite, result, the result with its mask's outline, and its other two channels.

    Without an origin the first three are left out.

    All pictures of the host's head share one frame, the square around the head, and for each channel one
    display window (`display_window`, from the host's brain); the donor has its own. So dark scans are as
    visible as bright ones, and neither brightness nor size can be compared between tiles or with the donor.

    Args:
        tile: what to draw.
        channel: sequence shown in the first five pictures.
        side: width and height of each picture, pixels.
        all_channels: whether the other two sequences follow.

    Returns:
        Five or seven pictures, RGB; two or four without an origin.
    """
    views = _Views.of(tile)
    pictures = _columns(tile, views, channel, side)
    for other in Channel if all_channels else ():
        if other is not channel:
            caption = f"result, {CHANNEL_NAMES[other]}"
            pictures.append(Picture(caption, _draw(tile.result[other], views.host, other, side)))
    return pictures


def sequence_pictures(tile: Tile, sides: tuple[int, int]) -> dict[Channel, list[Picture]]:
    """Draw the first pictures of `tile_pictures` in each sequence, at the size of the host's own pixels.

    Args:
        tile: what to draw.
        sides: smallest and largest width and height of a picture, pixels; between them nothing is resampled
            but the donor.

    Returns:
        By sequence five pictures, or two without an origin; none for a sequence that was not acquired.
    """
    views = _Views.of(tile)
    left, _, right, _ = views.host.frame
    side = min(max(right - left, sides[0]), sides[1])
    flair = tile.result[Channel.FLAIR]
    return {
        channel: []
        if channel is not Channel.FLAIR and np.array_equal(tile.result[channel], flair)
        else _columns(tile, views, channel, side)
        for channel in Channel
    }


def _columns(tile: Tile, views: _Views, channel: Channel, side: int) -> list[Picture]:
    """Draw host, donor, composite (where there is an origin), result, and the result with its outline."""

    def draw(image: NDArray[np.uint8], *, mask: NDArray[np.bool_] | None = None) -> Image.Image:
        return _draw(image[channel], views.host, channel, side, mask)

    pictures = []
    if tile.origin is not None and views.donor is not None:
        donor, mask = tile.origin.donor[channel], tile.origin.donor_mask
        pictures += [
            Picture("host", draw(tile.origin.host)),
            Picture("donor", _draw(donor, views.donor, channel, side, mask)),
            Picture("composite", draw(tile.origin.composite)),
        ]
    pictures += [
        Picture("result", draw(tile.result)),
        Picture("result, mask", draw(tile.result, mask=tile.mask)),
    ]
    return pictures


def display_window(image: NDArray[np.uint8], brain: NDArray[np.bool_], *, top: float) -> tuple[float, float]:
    """Choose the gray levels shown as black and as white.

    Args:
        image: (H, W), uint8, one channel.
        brain: (H, W), bool, tissue to go by; where it is empty, all pixels above the background count.
        top: white, in units of the brain's median above black.

    Returns:
        The most frequent gray level of the four borders, and `top` times the brain's median above it;
        never equal.
    """
    border = np.concatenate(
        [image[:4].ravel(), image[-4:].ravel(), image[:, :4].ravel(), image[:, -4:].ravel()]
    )
    low = float(np.bincount(border, minlength=256).argmax())
    tissue = image[brain] if brain.any() else image[image > low]
    median = float(np.median(tissue)) if tissue.size else low
    return low, low + top * max(median - low, 4.0)


def _view(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> _View:
    """Choose frame and windows for one head, from its brain without the tumor."""
    flair = image[None, Channel.FLAIR]
    head = head_mask(flair)  # on one slice it is nearly right, which is enough here
    brain = brain_region(flair, head)[0] & ~mask
    windows = {c: display_window(image[c], brain, top=WINDOW_TOP[c]) for c in Channel}
    return _View(square_around(head[0]), windows)


def square_around(head: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Find the square around a head: left, top, right, bottom; it may reach beyond the image."""
    if not head.any():
        head = np.ones_like(head)
    rows, columns = np.nonzero(head.any(axis=1))[0], np.nonzero(head.any(axis=0))[0]
    half = round(max(np.ptp(rows), np.ptp(columns)) / 2 * FRAME) + 1
    row, column = (int(rows[0]) + int(rows[-1])) // 2, (int(columns[0]) + int(columns[-1])) // 2
    return column - half, row - half, column + half, row + half


def _draw(
    image: NDArray[np.uint8], view: _View, channel: Channel, side: int, mask: NDArray[np.bool_] | None = None
) -> Image.Image:
    low, high = view.windows[channel]
    gray = np.rint(np.clip((image.astype(np.float32) - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    picture = Image.fromarray(gray).crop(view.frame).resize((side, side), Image.Resampling.BICUBIC)
    if mask is None or not mask.any():
        return picture.convert("RGB")
    filled = Image.fromarray(mask.astype(np.uint8) * 255).crop(view.frame)
    inside = np.asarray(filled.resize((side, side), Image.Resampling.BILINEAR)) >= 128
    pixels = np.array(picture.convert("RGB"))
    pixels[ndimage.binary_dilation(inside) & ~inside] = OUTLINE
    return Image.fromarray(pixels)
