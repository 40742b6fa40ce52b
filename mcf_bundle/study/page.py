"""What the page of a study says, and in which order."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from mcf_bundle.errors import DataError
from mcf_bundle.generation.report import Figure, ReportContent, Section
from mcf_bundle.generation.report_table import Table
from mcf_bundle.study.answer import primary_details, primary_sentence, where_mcf_does_not_help
from mcf_bundle.study.comparisons import Comparison, real_only
from mcf_bundle.study.config import TUMORS, StudyConfig
from mcf_bundle.study.curves import Curve, draw_curves
from mcf_bundle.study.difference_plot import draw_differences
from mcf_bundle.study.judged_images import JudgedImages
from mcf_bundle.study.measures import VOLUME_MEASURES
from mcf_bundle.study.paper_tables import mcf_arm
from mcf_bundle.study.provenance import provenance_tables
from mcf_bundle.study.tables import StudyTable, comparison_table, in_points, unit_of

NOTICE = (
    "Research only, not for diagnosis. Predictions shown beside the truth are of real patients, so the page "
    "is personal data where they are there."
)

PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, eq=False)
class StudyResults:
    """All that a study found.

    Attributes:
        config: the study.
        primary: the comparison that was fixed in advance.
        secondary: all others.
        warnings: see `warnings_of`.
        segmentation: figures of the segmenters; None without any.
        classification: figures of the classifiers; None without any.
        has_levels: whether level-matched slices could be told.
        by_slice: figures by slice beside those by patient; None if nothing was split by slice.
        paper: tables with the paper's printed figures.
        protocol: what the paper did otherwise.
        provenance: what was run with what, see `provenance_tables`.
        curves: panel -> run -> points; empty if none were handed in.
        pictures: caption -> PNG file; empty if none were handed in.
        images: what the judged sets scored; None if none was judged.
        costs: time of each arm; None if no times were handed in.
    """

    config: StudyConfig
    primary: Comparison
    secondary: Sequence[Comparison]
    warnings: tuple[str, ...]
    segmentation: StudyTable | None
    classification: StudyTable | None
    has_levels: bool
    by_slice: StudyTable | None
    paper: Sequence[StudyTable]
    protocol: Table
    provenance: Mapping[str, Any]
    curves: Mapping[str, Mapping[str, Curve]]
    pictures: Mapping[str, Path]
    images: JudgedImages | None
    costs: StudyTable | None


def study_content(results: StudyResults) -> ReportContent:
    """Gather the page of a study.

    Raises:
        DataError: a picture cannot be read, or is no PNG.
        ArgumentError: a panel of curves has no finite point.
    """
    comparisons = (results.primary, *results.secondary)
    return ReportContent(
        title=f"Study {results.config.name}, scale {results.config.scale}",
        headline=primary_sentence(results.primary),
        summary=(where_mcf_does_not_help(comparisons, results.config), primary_details(results.primary)),
        warnings=results.warnings,
        figures=_figures(results.primary),
        sections=tuple(_sections(results)),
        notice=NOTICE,
    )


def _figures(primary: Comparison) -> tuple[Figure, ...]:
    result, unit = primary.result, unit_of(primary.measure)
    return (
        Figure(f"{in_points(primary.measure, result.difference):+.1f}", f"{unit}: the difference"),
        Figure(
            f"{in_points(primary.measure, result.smallest_difference):.2g}", f"{unit}: could have been found"
        ),
        Figure(str(result.patients), "patients"),
        Figure(f"{result.folds} x {result.seeds}", "folds x seeds"),
        Figure(str(primary.verdict), "verdict"),
    )


_PLOT_TEXT = (
    "Dots are mean differences, lines 95 % intervals. Filled and colored is better or worse; hollow is "
    "inconclusive. Shaded is what the design was too small to find: a hollow dot there is no sign that two "
    "arms are alike."
)
_PRIMARY_TEXT = "Fixed in the config before the test patients were opened; tested alone at level 0.05."
_TUNING_TEXT = "No arm's training settings were tuned: a model's are the same in all arms."
_SETS_TUNING_TEXT = (
    "Of the synthetic sets only MCF's settings are chosen beforehand, by ranking images on validation "
    "patients; composites and the other sets made of it take the same plan and have nothing to tune."
)
_TUMORS_TEXT = (
    "A fraction is the share of the training patients who keep their tumors; the others train with slices "
    "away from theirs."
)
_SECONDARY_TEXT = (
    "Every arm against 'real only' (the first arm without synthetic slices), against the same augmentation "
    "without synthetic slices, and against the composites. p is by sign flips over patients, adjusted "
    "together after Holm; intervals are not adjusted. 'Could find from' is the smallest difference that the "
    "comparison alone finds with power 0.8."
)
_SEGMENTATION_TEXT = (
    "Means over the seeds. Empty predictions on tumor slices count as Dice 0 and the image's diagonal."
)
_VOLUMES_TEXT = (
    "Distances of volumes in voxels take the next slice as being as far away as the next pixel: they compare "
    "arms and say nothing about millimeters."
)
_NO_VOLUMES_TEXT = "Distances of whole volumes do not follow from the slices and are left out."
_LEVEL_TEXT = (
    "Means over the seeds; F1, Matthews correlation and calibration are in the files. The axial level alone "
    "tells much: 'level alone' knows the tumor frequency of the training patients at a slice's level and "
    "nothing else, and needs no seed. On level-matched slices it is near chance."
)
_NO_LEVEL_TEXT = (
    "Means over the seeds. No levels were handed in: level-matched slices and the classifier by level alone "
    "are left out."
)
_IMAGES_TEXT = (
    "Generated images beside tumors of test patients at the same axial levels. Real training tumors are the "
    "floor: what real images of other patients score. Composites are the images before the diffusion; "
    "unmodified hosts do nothing, on crops they are cut where the generated image has its mask. Lower KID "
    "and FID are better; an AUC of 0.5 means that a forest cannot tell them from real tumors by rim and "
    "texture. The features are those of the fold's gate, which chose the images too. The drawing has mean "
    "intensities along x and y."
)
_PAPER_TEXT = (
    "Printed figures are those of Zuo, Xue and Yuan, Scientific Reports 2025. Its tables are named by their "
    "subject: their numbers, and figures other than these, are not at hand here."
)
_PICTURES_TEXT = (
    "Test slices of different patients, drawn by the split's seed before any prediction: tumors between the "
    "10th and the 90th percentile of area, then slices without tumor. FLAIR; amber is the truth, blue the "
    "prediction."
)


def _sections(results: StudyResults) -> Iterator[Section]:
    plot = draw_differences([results.primary], against=results.primary.against)
    primary = comparison_table("primary", [results.primary]).shown
    yield Section("Primary comparison", primary, _primary_text(results.config), (plot,))
    name = real_only(results.config)
    drawn = [item for item in results.secondary if item.against == name]
    if results.primary.against == name and results.primary.measure in {item.measure for item in drawn}:
        drawn = [results.primary, *drawn]
    plots = tuple(
        draw_differences(sorted(same, key=lambda item: _order(item, results.config)), against=name)
        for measure in dict.fromkeys(item.measure for item in drawn)
        if (same := [item for item in drawn if item.measure == measure])
    )
    yield Section(f"Difference to {name}", (), _PLOT_TEXT, plots)
    if results.segmentation:
        yield Section("Segmentation", results.segmentation.shown, _segmentation_text(results.segmentation))
    if results.classification:
        text = _LEVEL_TEXT if results.has_levels else _NO_LEVEL_TEXT
        yield Section("Classification", results.classification.shown, text)
    secondary = comparison_table("secondary", results.secondary).shown
    yield Section(f"Secondary comparisons ({len(results.secondary)})", secondary, _SECONDARY_TEXT)
    if results.by_slice:
        yield Section("Split by slice", results.by_slice.shown)
    if results.images and results.images.table.shown:
        images = results.images
        yield Section("The images themselves", images.table.shown, _IMAGES_TEXT, images.profiles)
    paper = tuple(table for item in results.paper for table in item.shown)
    yield Section("Beside the paper", (results.protocol, *paper), _PAPER_TEXT)
    if results.curves:
        yield Section("Training curves", (), "Validation, by step.", (draw_curves(results.curves),))
    if results.pictures:
        pictures = tuple(_picture(caption, path) for caption, path in results.pictures.items())
        yield Section("Predictions beside the truth", (), _PICTURES_TEXT, pictures)
    if results.costs:
        yield Section("Cost", results.costs.shown)
    yield Section("What was run", provenance_tables(results.provenance, results.config))


def _segmentation_text(table: StudyTable) -> str:
    has_volumes = any(record["measure"] in VOLUME_MEASURES for record in table.records)
    return f"{_SEGMENTATION_TEXT} {_VOLUMES_TEXT if has_volumes else _NO_VOLUMES_TEXT}"


def _primary_text(config: StudyConfig) -> str:
    sets = [_SETS_TUNING_TEXT] if mcf_arm(config) else []
    tumors = [_TUMORS_TEXT] if config.left_out == TUMORS else []
    return " ".join([_PRIMARY_TEXT, _TUNING_TEXT, *sets, *tumors])


def _order(item: Comparison, config: StudyConfig) -> tuple[Any, ...]:
    group = item.group
    models, arms = list(config.models), list(config.arms)
    return group.question, models.index(group.model), -group.fraction, arms.index(item.arm)


def _picture(caption: str, path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror})", "hand in PNG files") from error
    if not data.startswith(PNG):
        raise DataError(path, "is no PNG", "hand in PNG files")
    uri = "data:image/png;base64," + base64.b64encode(data).decode("ascii")
    words = escape(caption, quote=True)
    image = f'<img src="{uri}" alt="{words}" style="display:block;max-width:100%;height:auto">'
    return f"{image}<figcaption>{escape(caption)}</figcaption>"
