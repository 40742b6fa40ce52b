"""A page for readers: real and synthetic tumor slices in random order, and the key below."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcf_bundle.arguments import as_path, check_seed, check_whole
from mcf_bundle.atomic_file import write_text
from mcf_bundle.data.training_data import FOREGROUND_LEVEL
from mcf_bundle.data.volume import Channel
from mcf_bundle.errors import ArgumentError, DataError
from mcf_bundle.generation.image_evaluation_sets import (
    SYNTHETIC,
    JudgedImage,
    gather_sets,
    read_evaluation_data,
)
from mcf_bundle.generation.report import ReportContent, Section, write_report
from mcf_bundle.generation.report_gallery import webp_uri
from mcf_bundle.generation.report_table import Table, render_table
from mcf_bundle.generation.tile import CHANNEL_NAMES, OUTLINE, WINDOW_TOP, square_around

PAGE_FILE, KEY_FILE = "reader.html", "reader_key.csv"

SIDE = 224
"""Width and height of a picture, pixels."""

_ORDER = (Channel.FLAIR, Channel.PRE, Channel.POST)


@dataclass(frozen=True, eq=False)
class Shown:
    """A slice on the page.

    Attributes:
        number: on the page, from 1.
        synthetic: whether it is.
        image: the slice.
    """

    number: int
    synthetic: bool
    image: JudgedImage


def write_reader_page(
    dataset_dir: str | Path,
    synthetic_dir: str | Path,
    output_dir: str | Path,
    *,
    images: int = 48,
    seed: int = 0,
    skip_bad_patients: bool = False,
) -> Path:
    """Write the page and, as a file, its key.

    Half of the slices are drawn from the run's images, half from real tumors of patients whom the generator
    never saw, at the same axial levels and by the same rules for size and place. The seed draws and orders
    them; nobody chooses.

    Args:
        dataset_dir: the run's dataset.
        synthetic_dir: the run's folder; nothing is written there.
        output_dir: where `PAGE_FILE` and `KEY_FILE` go.
        images: slices on the page, an even number from 2.
        seed: of draw and order.
        skip_bad_patients: leave damaged patients out.

    Returns:
        The page.

    Raises:
        ArgumentError: a number is out of range.
        DataError: the run cannot be read, has too few images at the levels of unseen tumors, or a file
            cannot be written.
    """
    target = as_path(output_dir, "output_dir")
    check_whole("images", images, least=2)
    check_seed("seed", seed)
    if images % 2:
        raise ArgumentError("images", f"{images} is odd, and half of them are real", "give an even number")
    run = as_path(synthetic_dir, "synthetic_dir")
    data = read_evaluation_data(as_path(dataset_dir, "dataset_dir"), run, skip_bad_patients=skip_bad_patients)
    gathered = gather_sets(data)
    shown = draw_slices(gathered.sets[SYNTHETIC], gathered.reference, images=images, seed=seed, where=run)
    write_text(target / KEY_FILE, _key_csv(shown))
    write_report(target / PAGE_FILE, _content(shown, seed))
    return target / PAGE_FILE


def draw_slices(
    synthetic: Sequence[JudgedImage], real: Sequence[JudgedImage], *, images: int, seed: int, where: Path
) -> list[Shown]:
    """Draw as many synthetic as real slices and put them into a random order.

    Args:
        synthetic: to draw from.
        real: likewise.
        images: of both together, even.
        seed: of the draw.
        where: whose images they are, for the message.

    Raises:
        DataError: there are too few.
    """
    half, generator = images // 2, np.random.default_rng(seed)
    for name, found in (("synthetic images", synthetic), ("real tumors", real)):
        if len(found) < half:
            problem = f"{half} {name} at common levels are needed, {len(found)} are there"
            raise DataError(where, problem, "ask for fewer images, or generate more")
    drawn = [
        (is_synthetic, found[i])
        for is_synthetic, found in ((True, synthetic), (False, real))
        for i in generator.permutation(len(found))[:half]
    ]
    return [Shown(number, *drawn[i]) for number, i in enumerate(generator.permutation(len(drawn)), start=1)]


def _content(shown: Sequence[Shown], seed: int) -> ReportContent:
    half = len(shown) // 2
    grid = "".join(map(_figure, shown))
    rows = tuple((item.number, *_origin(item)) for item in shown)
    key = render_table(Table("Key", ("number", "what", "patient of the head", "slice"), rows))
    style = "display:grid;grid-template-columns:repeat(auto-fill,minmax(22rem,1fr));gap:.8rem"
    return ReportContent(
        title="Real or synthetic?",
        headline=f"{len(shown)} tumor slices, {half} of them synthetic, in random order",
        summary=(
            "Drawn by chance from the run's images and from real tumors of patients whom the generator never "
            f"saw, at the same axial levels (seed {seed}); nobody chose. Each head has its own display "
            "window in each sequence. Write your guesses down, then open the key at the end of the page.",
        ),
        sections=(
            Section("Slices", (), drawings=(f'<div style="{style}">{grid}</div>',)),
            Section(
                "Key",
                (),
                text="What each slice is; also in " + KEY_FILE + ".",
                drawings=(f"<details><summary>Show the key</summary>{key}</details>",),
            ),
        ),
    )


def _figure(item: Shown) -> str:
    pictures = [_picture(item.image, channel) for channel in _ORDER]
    strip = Image.new("RGB", (sum(picture.width for picture in pictures), pictures[0].height))
    for column, picture in enumerate(pictures):
        strip.paste(picture, (column * picture.width, 0))
    names = ", ".join(CHANNEL_NAMES[channel] for channel in _ORDER)
    words = escape(f"slice {item.number}: {names}", quote=True)
    size = f'width="{strip.width}" height="{strip.height}" style="width:100%;height:auto"'
    return (
        f'<figure style="margin:0"><figcaption><b>{item.number}</b></figcaption>'
        f'<img src="{webp_uri(strip)}" alt="{words}" {size}></figure>'
    )


def _picture(image: JudgedImage, channel: Channel) -> Image.Image:
    """Draw one sequence; four corners show where the mask lies without touching the tumor's rim."""
    gray = _gray(image, channel)
    pixels = np.repeat(gray[..., None], 3, axis=2)
    for row, column in _corners(image.mask):
        pixels[row, column] = OUTLINE
    frame = square_around(image.image[Channel.FLAIR] > FOREGROUND_LEVEL)
    return Image.fromarray(pixels).crop(frame).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def _gray(image: JudgedImage, channel: Channel) -> NDArray[np.uint8]:
    """Return gray levels by a window from the brain outside the tumor; a missing sequence is black."""
    values = image.image[channel]
    if image.missing[channel]:
        return np.zeros(values.shape, np.uint8)
    tissue = values[image.brain & ~image.mask]
    white = WINDOW_TOP[channel] * max(float(np.median(tissue)) if tissue.size else 1.0, 1e-3)
    return np.rint(np.clip(values / white, 0, 1) * 255).astype(np.uint8)


def _corners(mask: NDArray[np.bool_], margin: int = 6, arm: int = 8) -> list[tuple[int, int]]:
    """Return the pixels of four corners around a mask, cut at the image's border."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return []
    top, bottom = rows.min() - margin, rows.max() + margin
    left, right = columns.min() - margin, columns.max() + margin
    found = [
        pixel
        for row, down in ((top, 1), (bottom, -1))
        for column, along in ((left, 1), (right, -1))
        for step in range(arm)
        for pixel in ((row + down * step, column), (row, column + along * step))
    ]
    height, width = mask.shape
    return [(int(r), int(c)) for r, c in found if 0 <= r < height and 0 <= c < width]


def _origin(item: Shown) -> tuple[str, str, int]:
    return "synthetic" if item.synthetic else "real", item.image.patient, item.image.slice


def _key_csv(shown: Sequence[Shown]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("number", "what", "patient", "slice"))
    writer.writerows((item.number, *_origin(item)) for item in shown)
    return text.getvalue()
