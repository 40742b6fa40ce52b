"""Predictions of all arms beside the truth, on a few test slices (the paper's Figure 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from mcf_bundle.data.anatomy import brain_region, head_mask
from mcf_bundle.data.normalization import estimate_intensity_scale
from mcf_bundle.data.triplet_dataset import SliceRef
from mcf_bundle.data.volume import Channel, Volume
from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.contact_sheet import BACKGROUND, BRIGHT, DIM, GAP, MARGIN
from mcf_bundle.generation.tile import OUTLINE, WINDOW_TOP, display_window
from mcf_bundle.metrics.overlap import count_pixels, dice

TUMOR_SLICES, TUMOR_FREE_SLICES = 6, 2
"""Slices that are shown, each of another patient where there are so many."""

AREA_PERCENTILES = (10.0, 90.0)
"""Of the areas of all tumors: the smallest and largest ones are not shown."""

ARMS_IN_ONE_PICTURE = 6
"""More arms are drawn in further pictures, so that each is large enough on the page."""

CELL, STRIP, FONT_SIZE = 168, 22, 12
"""Pixels: side of a slice, height of a line of text, size of its letters."""

TRUTH, PREDICTION = OUTLINE, (64, 186, 255)
"""Amber and blue, told apart from gray and from each other by every kind of color vision."""

Mask = NDArray[np.bool_]


def choose_slices(volumes: Sequence[Volume], seed: int) -> list[SliceRef]:
    """Draw test slices that all arms are shown on; no prediction takes part in the choice.

    Args:
        volumes: the test patients.
        seed: of the draw.

    Returns:
        `TUMOR_SLICES` slices with a tumor whose area lies within `AREA_PERCENTILES`, then
        `TUMOR_FREE_SLICES` without tumor; fewer where there are fewer patients with such a slice.
    """
    generator = np.random.default_rng(seed)
    areas = [volume.mask.sum(axis=(1, 2)) for volume in volumes]
    tumors = np.concatenate([one[one > 0] for one in areas]) if volumes else np.zeros(0)
    low, high = np.percentile(tumors, AREA_PERCENTILES) if tumors.size else (0.0, 0.0)
    usual = [np.flatnonzero((one > 0) & (low <= one) & (one <= high)) for one in areas]
    free = [np.flatnonzero(one == 0) for one in areas]
    return [
        SliceRef(volumes[patient], estimate_intensity_scale(volumes[patient].image), index)
        for candidates, count in ((usual, TUMOR_SLICES), (free, TUMOR_FREE_SLICES))
        for patient, index in _draw_one_a_patient(candidates, count, generator)
    ]


def _draw_one_a_patient(
    candidates: Sequence[NDArray[np.intp]], count: int, generator: np.random.Generator
) -> list[tuple[int, int]]:
    """Draw patients, then one of the candidate slices of each; pairs of patient and slice, by patient."""
    order = [patient for patient in generator.permutation(len(candidates)) if len(candidates[patient])]
    return sorted((int(patient), int(generator.choice(candidates[patient]))) for patient in order[:count])


def draw_predictions(
    slices: Sequence[SliceRef], predictions: Mapping[str, Sequence[Mask]]
) -> list[Image.Image]:
    """Draw a row a slice and a column an arm: FLAIR, the truth's outline, the prediction's, and Dice below.

    The truth's line runs outside of its mask and the prediction's inside, so that both are seen where the
    masks agree. Each slice has its own gray levels, from its brain.

    Args:
        slices: what is shown.
        predictions: by arm, one mask (H, W), bool, a slice.

    Returns:
        Pictures, RGB, of up to `ARMS_IN_ONE_PICTURE` arms each; the first column is the truth alone.

    Raises:
        ArgumentError: there is no slice or arm, or an arm has another number of masks.
    """
    if not slices or not predictions:
        raise ArgumentError("predictions", "there is no slice or no arm", "leave the picture out")
    for arm, masks in predictions.items():
        if len(masks) != len(slices):
            problem = f"{arm} has {len(masks)} masks for {len(slices)} slices"
            raise ArgumentError("predictions", problem, "predict each slice once")
    arms = list(predictions)
    starts = range(0, len(arms), ARMS_IN_ONE_PICTURE)
    parts = [arms[start : start + ARMS_IN_ONE_PICTURE] for start in starts]
    return [_sheet(slices, {arm: predictions[arm] for arm in part}) for part in parts]


def describe_prediction(prediction: Mask, truth: Mask) -> str:
    """Put what stands below a prediction into words.

    >>> tumor, nothing = np.ones((2, 2), bool), np.zeros((2, 2), bool)
    >>> describe_prediction(tumor, tumor), describe_prediction(tumor, nothing)
    ('Dice 1.00', '4 pixels marked')
    """
    counts = count_pixels(prediction, truth)
    return f"Dice {dice(counts):.2f}" if counts.reference else f"{counts.prediction:,} pixels marked"


def _sheet(slices: Sequence[SliceRef], predictions: Mapping[str, Sequence[Mask]]) -> Image.Image:
    columns, height = 1 + len(predictions), CELL + 2 * STRIP
    size = 2 * MARGIN + columns * (CELL + GAP) - GAP, 2 * MARGIN + STRIP + len(slices) * height
    sheet = Image.new("RGB", size, BACKGROUND)
    lefts = [MARGIN + column * (CELL + GAP) for column in range(columns)]
    for left, name in zip(lefts, ("truth", *predictions), strict=True):
        _write(sheet, name, (left, MARGIN), BRIGHT)
    for row, item in enumerate(slices):
        top = MARGIN + STRIP + row * height
        truth, gray = item.volume.mask[item.index], _gray(item)
        sheet.paste(_outlined(gray, truth, None), (lefts[0], top))
        number = item.volume.slice_numbers[item.index]
        _write(sheet, item.volume.patient, (lefts[0], top + CELL), DIM)
        line = f"slice {number}, {int(truth.sum()):,} pixels" if truth.any() else f"slice {number}, no tumor"
        _write(sheet, line, (lefts[0], top + CELL + STRIP - 4), DIM)
        for left, masks in zip(lefts[1:], predictions.values(), strict=True):
            sheet.paste(_outlined(gray, truth, masks[row]), (left, top))
            _write(sheet, describe_prediction(masks[row], truth), (left, top + CELL), BRIGHT)
    return sheet


def _gray(item: SliceRef) -> NDArray[np.uint8]:
    """Return FLAIR for the screen, (H, W), uint8, windowed by the brain without the tumor."""
    flair = item.volume.flair[item.index]
    head = head_mask(flair[None])
    brain = brain_region(flair[None], head)[0] & ~item.volume.mask[item.index]
    low, high = display_window(flair, brain, top=WINDOW_TOP[Channel.FLAIR])
    shown = np.clip((flair.astype(np.float32) - low) / (high - low), 0, 1)
    return np.rint(shown * 255).astype(np.uint8)


def _outlined(gray: NDArray[np.uint8], truth: Mask, prediction: Mask | None) -> Image.Image:
    pixels = np.array(_square(gray, Image.Resampling.BICUBIC).convert("RGB"))
    inside = _enlarged(truth)
    pixels[ndimage.binary_dilation(inside) & ~inside] = TRUTH
    if prediction is not None:
        inside = _enlarged(prediction)
        pixels[inside & ~ndimage.binary_erosion(inside)] = PREDICTION
    return Image.fromarray(pixels)


def _enlarged(mask: Mask) -> Mask:
    return np.asarray(_square(mask.astype(np.uint8) * 255, Image.Resampling.BILINEAR)) >= 128


def _square(gray: NDArray[np.uint8], how: Image.Resampling) -> Image.Image:
    """Bring a slice to a square of `CELL` pixels, its longer side filling it."""
    picture = Image.fromarray(gray)
    longest = max(picture.size)
    width, height = (max(1, round(side * CELL / longest)) for side in picture.size)
    square = Image.new("L", (CELL, CELL))
    square.paste(picture.resize((width, height), how), ((CELL - width) // 2, (CELL - height) // 2))
    return square


def _write(sheet: Image.Image, text: str, corner: tuple[int, int], color: tuple[int, int, int]) -> None:
    """Write a line into a column, cut to its width."""
    font = ImageFont.load_default(FONT_SIZE)
    while font.getlength(text) > CELL:
        text = text.removesuffix("…")[:-1] + "…"
    ImageDraw.Draw(sheet).text((corner[0], corner[1] + STRIP / 2), text, color, font, anchor="lm")
