"""From the gathered per-case tables to the study's tables and its page."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mcf_bundle.arguments import as_path
from mcf_bundle.atomic_file import write_text
from mcf_bundle.generation import report as html
from mcf_bundle.study.answer import (
    primary_details,
    primary_sentence,
    warnings_of,
    where_mcf_does_not_help,
)
from mcf_bundle.study.classification_figures import classify_arms, read_levels
from mcf_bundle.study.comparisons import group_runs, primary_comparison, secondary_comparisons
from mcf_bundle.study.config import StudyConfig
from mcf_bundle.study.curves import Curve
from mcf_bundle.study.figures import ArmFigure, measure_arms
from mcf_bundle.study.judged_images import JudgedImages
from mcf_bundle.study.page import StudyResults, study_content
from mcf_bundle.study.paper_protocol import protocol_table
from mcf_bundle.study.paper_tables import paper_tables
from mcf_bundle.study.run_scores import classification_runs, segmentation_runs
from mcf_bundle.study.split_comparison import split_table
from mcf_bundle.study.tables import (
    StudyTable,
    classification_table,
    comparison_table,
    plain,
    segmentation_table,
    to_markdown,
    write_tables,
)

TABLES_FOLDER, PLOTS_FOLDER = "tables", "plots"
REPORT_PAGE, REPORT_TEXT, REPORT_DATA = "report.html", "report.md", "report.json"

_SVG = "<svg "
_ON_ITS_OWN = f'{_SVG}font-family="sans-serif" style="background:#fff;color:#1c2024" '
"""What a drawing needs outside the page, whose style it has there."""


def write_report(
    output_dir: str | Path,
    *,
    segmentation_csv: Path | None,
    classification_csv: Path | None,
    config: StudyConfig,
    provenance: Mapping[str, Any],
    volumes_csv: Path | None = None,
    levels_csv: Path | None = None,
    curves: Mapping[str, Mapping[str, Curve]] | None = None,
    pictures: Mapping[str, Path] | None = None,
    images: JudgedImages | None = None,
    costs: StudyTable | None = None,
    warnings: Sequence[str] = (),
    resamples: int = 2000,
    seed: int = 0,
) -> Path:
    """Write tables, plots, page, Markdown and JSON of a study; the same input gives the same bytes.

    Args:
        output_dir: where they go: `TABLES_FOLDER`, `PLOTS_FOLDER` and the three reports.
        segmentation_csv: gathered per-case table of the segmenters; None without any.
        classification_csv: likewise of the classifiers.
        config: the study.
        provenance: what was run with what, see `provenance_tables`; plain values at any depth.
        volumes_csv: likewise of their volumes; None leaves distances of volumes out.
        levels_csv: gathered table of levels, see `read_levels`; None leaves level-matched slices out.
        curves: panel -> run -> pairs of step and value.
        pictures: caption -> PNG file.
        images: what the judged sets scored; None if none was judged.
        costs: time of each arm, see `cost_table`; None leaves it out.
        warnings: what else a reader has to know.
        resamples: draws of each bootstrap over patients; a quarter of it for the figures of classification.
        seed: seed of all draws.

    Returns:
        The page.

    Raises:
        DataError: a table or picture cannot be read, the runs do not fit the config or each other, the
            primary comparison has no runs, or a file cannot be written.
        ArgumentError: the primary metric cannot be paired over patients, or a number is out of range.
    """
    folder = as_path(output_dir, "output_dir")
    segmented_runs = segmentation_runs(segmentation_csv, volumes_csv) if segmentation_csv else []
    segmenters = group_runs(segmented_runs, config)
    classifiers = group_runs(classification_runs(classification_csv) if classification_csv else [], config)
    groups = {**segmenters, **classifiers}
    primary = primary_comparison(groups, config, resamples=resamples, seed=seed)
    secondary = secondary_comparisons(groups, config, primary, resamples=resamples, seed=seed)
    levels = read_levels(levels_csv) if levels_csv else {}
    segmented = [
        figure
        for group, arms in segmenters.items()
        for figure in measure_arms(group, arms, seeds=config.seeds, resamples=resamples, seed=seed)
    ]
    classified = [
        figure
        for group, arms in classifiers.items()
        for figure in classify_arms(
            group, arms, levels, seeds=config.seeds, resamples=max(1, resamples // 4), seed=seed
        )
    ]
    figures: list[ArmFigure] = [*segmented, *classified]
    unjudged = images.warnings if images else ()
    results = StudyResults(
        config=config,
        primary=primary,
        secondary=secondary,
        warnings=(*warnings_of(groups, primary, secondary, config), *warnings, *unjudged),
        segmentation=segmentation_table(segmented) if segmented else None,
        classification=classification_table(classified) if classified else None,
        has_levels=bool(levels),
        by_slice=split_table(segmentation_csv, classification_csv, config, resamples=resamples, seed=seed),
        paper=paper_tables(figures, config, images.table.records if images else ()),
        protocol=protocol_table(config, figures),
        provenance=provenance,
        curves=curves or {},
        pictures=pictures or {},
        images=images,
        costs=costs,
    )
    content = study_content(results)
    write_tables(folder / TABLES_FOLDER, _tables(results))
    _write_plots(folder / PLOTS_FOLDER, content)
    write_text(folder / REPORT_DATA, json.dumps(_as_json(results), indent=1) + "\n")
    write_text(folder / REPORT_TEXT, _as_markdown(content))
    html.write_report(folder / REPORT_PAGE, content)
    return folder / REPORT_PAGE


def _tables(results: StudyResults) -> list[StudyTable]:
    found = [comparison_table("primary", [results.primary]), comparison_table("secondary", results.secondary)]
    found += [table for table in (results.segmentation, results.classification, results.by_slice) if table]
    found += [results.images.table] if results.images and results.images.table.records else []
    found += [results.costs] if results.costs else []
    return [*found, *results.paper]


def _write_plots(folder: Path, content: html.ReportContent) -> None:
    """Write each drawing as an SVG file named after its section, numbered if it has several."""
    for section in content.sections:
        drawings = [text for text in section.drawings if text.startswith(_SVG)]
        name = re.sub(r"\W+", "_", section.title.lower())
        for number, drawing in enumerate(drawings, start=1):
            path = folder / (f"{name}_{number}.svg" if len(drawings) > 1 else f"{name}.svg")
            write_text(path, drawing.replace(_SVG, _ON_ITS_OWN, 1) + "\n")


def _as_json(results: StudyResults) -> dict[str, Any]:
    """Return what the page says, numbers in full precision and None for nan."""
    comparisons = (results.primary, *results.secondary)
    tables = {
        table.name: [{key: plain(value) for key, value in record.items()} for record in table.records]
        for table in _tables(results)
    }
    return {
        "name": results.config.name,
        "answer": primary_sentence(results.primary),
        "details": primary_details(results.primary),
        "verdict": str(results.primary.verdict),
        "where_mcf_does_not_help": where_mcf_does_not_help(comparisons, results.config),
        "warnings": list(results.warnings),
        "protocol": asdict(results.protocol),
        **tables,
        "config": results.config.as_json(),
        "provenance": dict(results.provenance),
    }


def _as_markdown(content: html.ReportContent) -> str:
    """Write the page's texts and tables; drawings and pictures are on the page alone."""
    lines = [f"# {content.title}", "", f"**{content.headline}**", ""]
    lines += [line for text in content.summary for line in (text, "")]
    if content.warnings:
        lines += ["Warnings:", "", *(f"- {warning}" for warning in content.warnings), ""]
    for section in content.sections:
        if section.tables:
            lines += [f"## {section.title}", ""]
            lines += [section.text, ""] if section.text else []
            lines += [to_markdown(table) for table in section.tables]
    return "\n".join([*lines, content.notice, ""])
