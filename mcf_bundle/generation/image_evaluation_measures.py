"""The measures of an evaluation, from its sets to rows: image quality and texture, on slices and on crops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.data.triplet_dataset import to_network_range
from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.contrast import tumor_figures
from mcf_bundle.generation.image_evaluation_sets import (
    COMPOSITES,
    HOSTS,
    REFERENCE,
    EvaluationSets,
    JudgedImage,
    crop_window,
)
from mcf_bundle.generation.warp import pixel_factor
from mcf_bundle.metrics.bootstrap import bootstrap_over_patients
from mcf_bundle.metrics.case_table import CASE_COLUMNS, Column
from mcf_bundle.metrics.extractors import LoadedExtractor
from mcf_bundle.metrics.ms_ssim import SCALE_WEIGHTS, WINDOW
from mcf_bundle.metrics.quality_figures import ImageSet
from mcf_bundle.metrics.quality_table import QualityRow, compare_image_quality
from mcf_bundle.metrics.texture import TEXTURE_FIGURES, texture_figures
from mcf_bundle.metrics.texture_forest import FigureSet, ForestRow, compare_by_forest

WHOLE, CROPS = "whole slices", "crops around the mask"
"""What of the images is compared."""

RIM_FIGURES = ("flair_contrast", "flair_rim", "pre_rim", "post_rim")
"""Figures of `tumor_figures` that the forest sees beside `TEXTURE_FIGURES`."""

FOREST_FIGURES = (*TEXTURE_FIGURES, *RIM_FIGURES)

_SEQUENCES = {"pre": "pre-contrast", "flair": "FLAIR", "post": "post-contrast"}
_KINDS = {
    "texture": "high-frequency SD inside / outside",
    "edge_texture": "high-frequency SD along the edge / outside",
    "edge_slope": "gradient along the edge, brain medians a pixel",
    "contrast": "contrast of the tumor to the ring around it, brain medians",
    "rim": "step at the edge, brain medians",
}


def _meaning(figure: str) -> str:
    sequence, _, kind = figure.partition("_")
    return f"{_SEQUENCES[sequence]}: {_KINDS[kind]}"


FIGURE_MEANINGS = {figure: _meaning(figure) for figure in FOREST_FIGURES}
"""What each figure of `FOREST_FIGURES` is, in words."""

TEXTURE_COLUMNS = {
    **CASE_COLUMNS,
    "set": Column(str, "the set of images"),
    "level": Column(float, "axial level"),
    "mask_pixels": Column(int, "area of the mask"),
    **{name: Column(float, meaning) for name, meaning in FIGURE_MEANINGS.items()},
}


@dataclass(frozen=True)
class TextureRow:
    """Mean of one figure over one set.

    Attributes:
        name: the set.
        figure: key of `FIGURE_MEANINGS`.
        mean: over the n images that have the figure; nan if none has.
        sd: standard deviation over them (n - 1); nan below two.
        low: lower end of the 95 % interval by bootstrap over patients; nan below two patients.
        high: upper end.
        n: images that have the figure.
        patients: patients of all images.
    """

    name: str
    figure: str
    mean: float
    sd: float
    low: float
    high: float
    n: int
    patients: int


def measure_quality(
    gathered: EvaluationSets, extractor: LoadedExtractor, *, crop: int, resamples: int, seed: int
) -> dict[str, list[QualityRow]]:
    """Compare each set with the reference, on `WHOLE` slices and on `CROPS`; the hosts do nothing.

    Args:
        gathered: the sets.
        extractor: what makes the features.
        crop: side of the crops, pixels.
        resamples: draws of the bootstrap.
        seed: its seed.

    Raises:
        ArgumentError: the crop does not fit into the images, or the extractor does not take its size.
    """
    found = {}
    for region, side in ((WHOLE, None), (CROPS, crop)):
        sets = {name: image_set(images, extractor, side) for name, images in gathered.sets.items()}
        reference = image_set(gathered.reference, extractor, side)
        found[region] = compare_image_quality(
            sets,
            reference,
            extractor=str(extractor.extractor),
            do_nothing=HOSTS,
            resamples=resamples,
            seed=seed,
            scales=_scales(stack(gathered.reference[:1], side)),
        )
    return found


def image_set(images: Sequence[JudgedImage], extractor: LoadedExtractor, crop: int | None) -> ImageSet:
    """Extract the features of images, of their crops where `crop` is a side in pixels."""
    pixels = stack(images, crop)
    features, logits = extractor(to_network_range(pixels))
    return ImageSet(features, [image.patient for image in images], logits, pixels)


def stack(images: Sequence[JudgedImage], crop: int | None) -> NDArray[np.float32]:
    """Stack normalized images or their crops, (N, 3, H, W), float32.

    Raises:
        ArgumentError: the crop does not fit into the images.
    """
    if crop is None:
        return np.stack([image.image for image in images])
    check_crop(images, crop)
    return np.stack([image.image[(slice(None), *crop_window(image.mask, crop))] for image in images])


def check_crop(images: Sequence[JudgedImage], crop: int) -> None:
    """Refuse a crop that does not fit into the images.

    Raises:
        ArgumentError: names both sizes.
    """
    sides = images[0].mask.shape
    if crop > min(sides):
        problem = f"a square of {crop} pixels does not fit into images of {sides}"
        raise ArgumentError("crop", problem, "choose a smaller one")


def texture_rows(gathered: EvaluationSets) -> list[dict[str, Any]]:
    """Measure rim and texture of each image, rows of `TEXTURE_COLUMNS`, set after set."""
    return [
        {
            "case": f"{name}/{number}",
            "patient": image.patient,
            "slice": image.slice,
            "set": name,
            "level": image.level,
            "mask_pixels": int(image.mask.sum()),
            **_figures(image),
        }
        for name, images in {REFERENCE: gathered.reference, **gathered.sets}.items()
        for number, image in enumerate(images)
    ]


def compare_texture(
    rows: Sequence[Mapping[str, Any]], *, resamples: int, seed: int
) -> tuple[list[TextureRow], list[ForestRow]]:
    """Summarize the rows of `texture_rows`, and let a forest tell each set from the reference."""
    sets = {
        name: [row for row in rows if row["set"] == name] for name in dict.fromkeys(r["set"] for r in rows)
    }
    tables = {
        name: FigureSet(
            np.array([[row[figure] for figure in FOREST_FIGURES] for row in chosen], np.float64),
            [row["patient"] for row in chosen],
        )
        for name, chosen in sets.items()
    }
    means = [row for name, table in tables.items() for row in _means(name, table, resamples, seed)]
    reference = tables.pop(REFERENCE)
    return means, compare_by_forest(tables, reference, baseline=COMPOSITES, resamples=resamples, seed=seed)


def _figures(image: JudgedImage) -> dict[str, float]:
    texture = texture_figures(
        image.image, image.mask, image.brain, factor=pixel_factor(image.mask.shape), missing=image.missing
    )
    rim = tumor_figures(image.image, image.mask, image.brain, missing=image.missing)
    return texture | {name: rim.get(name, float("nan")) for name in RIM_FIGURES}


def _means(name: str, table: FigureSet, resamples: int, seed: int) -> list[TextureRow]:
    def means(cases: NDArray[np.intp]) -> NDArray[np.float64]:
        known = ~np.isnan(table.figures[cases])
        totals = np.where(known, table.figures[cases], 0.0).sum(0)
        return np.divide(totals, n := known.sum(0), out=np.full(len(n), np.nan), where=n > 0)

    interval = bootstrap_over_patients(means, table.patients, resamples=resamples, seed=seed)
    once = means(np.arange(len(table.figures)))
    rows = []
    for k, figure in enumerate(FOREST_FIGURES):
        known = table.figures[~np.isnan(table.figures[:, k]), k]
        sd = float(known.std(ddof=1)) if len(known) > 1 else float("nan")
        low, high = float(interval.low[k]), float(interval.high[k])
        rows.append(
            TextureRow(name, figure, float(once[k]), sd, low, high, len(known), len(set(table.patients)))
        )
    return rows


def _scales(images: NDArray[np.float32]) -> int:
    """The scales of MS-SSIM that images of this size have room for, see `ms_ssim`."""
    side = min(images.shape[2:])
    return max(k for k in range(1, len(SCALE_WEIGHTS) + 1) if k == 1 or side >= WINDOW * (k - 1) ** 2)
