"""What the page of an evaluation says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcf_bundle.generation.image_evaluation_measures import (
    CROPS,
    FIGURE_MEANINGS,
    WHOLE,
    TextureRow,
    stack,
)
from mcf_bundle.generation.image_evaluation_profiles import draw_profiles
from mcf_bundle.generation.image_evaluation_sets import (
    COMPOSITES,
    HOSTS,
    REFERENCE,
    SYNTHETIC,
    TRAINING,
    EvaluationSets,
)
from mcf_bundle.generation.report import Figure, ReportContent, Section
from mcf_bundle.generation.report_table import Table
from mcf_bundle.metrics.label_consistency import ConsistencyRow
from mcf_bundle.metrics.quality_figures import QUALITY_METRICS
from mcf_bundle.metrics.quality_table import QualityRow
from mcf_bundle.metrics.quality_verdict import judge
from mcf_bundle.metrics.texture_forest import ForestRow

VERDICT_METRIC = "kid"
"""Metric of the verdict; chosen before looking."""

_COPY_COLUMNS = ("case", "by", "correlation", "its limit", "feature", "its limit", "picture")

_DRAWN = (SYNTHETIC, COMPOSITES, HOSTS)


@dataclass(frozen=True, eq=False)
class EvaluationResults:
    """All that an evaluation measured.

    Attributes:
        gathered: the sets.
        quality: rows by region, `WHOLE` and `CROPS`.
        texture: means of the figures of rim and texture.
        forest: how well a forest tells each set from the reference.
        labels: label consistency; None where no segmenter was given.
        audit: content of the memorization audit's summary; None where it was left out.
        crop: side of the crops, pixels.
        settings: what the figures depend on, plain values.
    """

    gathered: EvaluationSets
    quality: Mapping[str, Sequence[QualityRow]]
    texture: Sequence[TextureRow]
    forest: Sequence[ForestRow]
    labels: Sequence[ConsistencyRow] | None
    audit: Mapping[str, Any] | None
    crop: int
    settings: Mapping[str, Any]


def evaluation_content(results: EvaluationResults) -> ReportContent:
    """Gather the page of an evaluation."""
    verdicts = [
        f"On {region}: {judge(rows, SYNTHETIC, VERDICT_METRIC).text}."
        for region, rows in results.quality.items()
    ]
    verdicts.append(_beside_composites(results.quality))
    common = _common_warnings(results.quality)
    if results.labels is None:
        common.append(
            "No segmenter was given (segmenter_ckpt), so whether masks fit their images is not known."
        )
    if results.audit is not None and results.audit["copies"]:
        common.append(
            f"{len(results.audit['copies'])} tumors count as copies of training tumors: share such images "
            "only where you may share the training data (section Memorization)."
        )
    return ReportContent(
        title="Evaluation of synthetic tumor slices",
        headline=f"{len(results.gathered.sets[SYNTHETIC])} images against held-out real tumors",
        summary=tuple(verdicts),
        warnings=(*common, *(() if results.audit is None else results.audit["warnings"])),
        figures=_figures(results),
        sections=(
            Section("Image quality", _quality_tables(results.quality), _QUALITY_TEXT),
            Section("Profiles", (), _PROFILE_TEXT, drawings=_drawings(results)),
            Section("Texture", _texture_tables(results), _TEXTURE_TEXT),
            Section("Label consistency", _label_tables(results.labels), _label_text(results.labels)),
            Section("Memorization", _audit_tables(results.audit), _audit_text(results.audit)),
            Section("Sets", (_sets_table(results.gathered),), ". ".join(results.gathered.notes) + "."),
            Section("Settings", (_settings_table(results.settings),)),
        ),
    )


def _beside_composites(quality: Mapping[str, Sequence[QualityRow]]) -> str:
    """Say where the composites stand, which no network has touched: they may have earned the verdict."""
    found = []
    for region, rows in quality.items():
        value = {row.name: row for row in rows if row.metric == VERDICT_METRIC}
        images, composites = (
            _with_interval(row.value, row.low, row.high) for row in (value[SYNTHETIC], value[COMPOSITES])
        )
        found.append(f"{images} against {composites} on {region}")
    figures = ", ".join(found)
    return f"Beside the composites, which are pasted and not diffused, {VERDICT_METRIC} is {figures}."


_QUALITY_TEXT = (
    "Each set is compared with tumors of patients that the generator never saw, at the same axial levels. "
    "Real training tumors are the floor: what real images of other patients score. The unmodified hosts do "
    "nothing; on crops they are cut where the synthetic image has its mask. In brackets: 95 % interval by "
    "bootstrap over patients."
)
_PROFILE_TEXT = (
    "Mean intensity along x (horizontal) and y (vertical), normalized: 0 is the background, 1 bright tissue. "
    "Whole slices first, then crops."
)
_TEXTURE_TEXT = (
    "A forest of a few figures of rim and texture is asked which images are real. An AUC of 0.5 means that "
    "it cannot tell; the row of the real training tumors says how well it tells one set of patients from "
    "another. Patients whose images it judges are never among those that it learned from."
)


def _figures(results: EvaluationResults) -> tuple[Figure, ...]:
    kid = {
        (region, row.name): row
        for region, rows in results.quality.items()
        for row in rows
        if row.metric == VERDICT_METRIC
    }
    auc = {row.name: row.auc for row in results.forest}
    found = [
        Figure(f"{kid[CROPS, SYNTHETIC].value:.3g}", "KID on crops"),
        Figure(f"{kid[CROPS, COMPOSITES].value:.3g}", "of composites"),
        Figure(f"{kid[CROPS, HOSTS].value:.3g}", "of unmodified hosts"),
        Figure(f"{kid[CROPS, TRAINING].value:.3g}", "of real training tumors"),
        Figure(f"{auc[SYNTHETIC]:.2f}", "texture: AUC of a forest"),
        Figure(f"{auc[COMPOSITES]:.2f}", "AUC of composites"),
    ]
    if results.labels is not None:
        dice = {row.name: row.dice for row in results.labels}
        found.append(Figure(f"{dice[SYNTHETIC]:.2f}", "Dice of a frozen segmenter"))
        found.append(Figure(f"{dice[REFERENCE]:.2f}", "on held-out real tumors"))
    if results.audit is not None:
        images = max((row["n"] for rows in results.audit["summary"].values() for row in rows), default=0)
        found.append(Figure(f"{len(results.audit['copies'])} of {images}", "tumors that count as copies"))
    return tuple(found)


def _quality_tables(quality: Mapping[str, Sequence[QualityRow]]) -> tuple[Table, ...]:
    values = tuple(_values_table(region, rows) for region, rows in quality.items())
    gaps = tuple(line for region, rows in quality.items() for line in _gap_lines(region, rows))
    names = _compared(next(iter(quality.values())))
    note = "Both sets are drawn together, so the interval is narrower than the two above suggest."
    columns = ("metric (better)", "on", *names)
    return (*values, Table("Difference to the unmodified hosts", columns, gaps, note))


def _values_table(region: str, rows: Sequence[QualityRow]) -> Table:
    names, cells = list(dict.fromkeys(row.name for row in rows)), _by_cell(rows)
    body = tuple(
        (
            _with_side(metric),
            *(_with_interval(r.value, r.low, r.high) for r in (cells[n, metric] for n in names)),
        )
        for metric in dict.fromkeys(row.metric for row in rows)
    )
    first = {row.name: row for row in reversed(rows)}
    sizes = "; ".join(f"{name}: n = {first[name].n} of {first[name].patients} patients" for name in names)
    reference = f"reference: n = {rows[0].reference_n} of {rows[0].reference_patients}"
    note = f"{sizes}; {reference}. Features: {rows[0].extractor}."
    return Table(_capital(region), ("metric (better)", *names), body, note)


def _gap_lines(region: str, rows: Sequence[QualityRow]) -> list[tuple[str, ...]]:
    """The differences of the metrics that have a better side."""
    cells = _by_cell(rows)
    metrics = [metric for metric in dict.fromkeys(row.metric for row in rows) if QUALITY_METRICS[metric].best]
    return [
        (
            _with_side(metric),
            region,
            *(
                _with_interval(r.difference, r.difference_low, r.difference_high)
                for r in (cells[name, metric] for name in _compared(rows))
            ),
        )
        for metric in metrics
    ]


def _compared(rows: Sequence[QualityRow]) -> list[str]:
    return [name for name in dict.fromkeys(row.name for row in rows) if name != HOSTS]


def _by_cell(rows: Sequence[QualityRow]) -> dict[tuple[str, str], QualityRow]:
    return {(row.name, row.metric): row for row in rows}


def _with_side(metric: str) -> str:
    best = QUALITY_METRICS[metric].best
    return f"{metric} ({best})" if best else metric


def _texture_tables(results: EvaluationResults) -> tuple[Table, ...]:
    aucs = tuple(
        (
            row.name,
            _with_interval(row.auc, row.low, row.high),
            _with_interval(row.difference, row.difference_low, row.difference_high),
            f"{row.n} of {row.patients}",
            f"{row.reference_n} of {row.reference_patients}",
            row.left_out,
        )
        for row in results.forest
    )
    names = list(dict.fromkeys(row.name for row in results.texture))
    cells = {(row.name, row.figure): row for row in results.texture}
    body = tuple(
        (meaning, *(_with_interval(r.mean, r.low, r.high) for r in (cells[name, figure] for name in names)))
        for figure, meaning in FIGURE_MEANINGS.items()
    )
    return (
        Table(
            "Told from held-out real tumors by rim and texture",
            (
                "set",
                "AUC",
                "minus that of composites",
                "n, patients",
                "reference: n, patients",
                "left out",
            ),
            aucs,
            "Left out: images of both sets with an undefined figure, such as that of a missing sequence.",
        ),
        Table("Means of the figures", ("figure", *names), body, "texture.csv has n of each."),
    )


def _label_tables(labels: Sequence[ConsistencyRow] | None) -> tuple[Table, ...]:
    if labels is None:
        return ()
    rows = tuple(
        (row.name, _with_interval(row.dice, row.low, row.high), row.sd, row.n, row.patients, row.missed)
        for row in labels
    )
    return (Table("Dice with the written mask", ("set", "Dice", "SD", "n", "patients", "missed"), rows),)


def _label_text(labels: Sequence[ConsistencyRow] | None) -> str:
    if labels is None:
        return "Left out: no segmenter was given."
    return (
        "A segmenter that was trained on real training patients alone, and is not changed. On moved masks "
        "its Dice must fall; where it does not, the other figures say nothing. Images where it finds nothing "
        "count as 0."
    )


def _audit_tables(audit: Mapping[str, Any] | None) -> tuple[Table, ...]:
    """A table a topic of the audit; null stands for an undefined number there."""
    if audit is None:
        return ()
    columns = ("figure", "mean", "median limit", "above their limit", "n", "patients")
    tables = []
    for topic, rows in audit["summary"].items():
        body = tuple(
            (
                row["figure"],
                _with_interval(*(_number(row[key]) for key in ("mean", "mean_low", "mean_high"))),
                row["limit"],
                None if row["limit"] is None else row["above"],
                row["n"],
                row["patients"],
            )
            for row in rows
        )
        tables.append(Table(_capital(topic), columns, body))
    copies = tuple(
        (
            *(copy["case"], copy["by"], copy["correlation"], copy["correlation_limit"]),
            *(copy["feature"], copy["feature_limit"], copy["picture"]),
        )
        for copy in audit["copies"]
    )
    return (*tables, Table("Copies", _COPY_COLUMNS, copies, "A picture of each stands beside the page."))


def _audit_text(audit: Mapping[str, Any] | None) -> str:
    if audit is None:
        return "Left out (memorization)."
    return (
        f"{audit['note']} The limit of a figure is the 99th percentile of what real tumors of the validation "
        "patients score; memorization.csv has each image."
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _sets_table(gathered: EvaluationSets) -> Table:
    rows = tuple(
        (
            name,
            len(images),
            len({image.patient for image in images}),
            f"{min(i.level for i in images):.2f} to {max(i.level for i in images):.2f}",
            sum(int(i.mask.sum()) for i in images) / len(images),
        )
        for name, images in {REFERENCE: gathered.reference, **gathered.sets}.items()
    )
    columns = ("set", "images", "patients", "axial level", "mean area of the mask, pixels")
    return Table("Images", columns, rows, "The patient of a synthetic image is its host.")


def _settings_table(settings: Mapping[str, Any]) -> Table:
    return Table("Evaluation", ("setting", "value"), tuple((k, str(v)) for k, v in settings.items()))


def _drawings(results: EvaluationResults) -> tuple[str, ...]:
    found = []
    for region in results.quality:
        side = None if region == WHOLE else results.crop
        sets = {name: stack(results.gathered.sets[name], side) for name in _DRAWN}
        found.append(draw_profiles(sets, stack(results.gathered.reference, side), reference_name=REFERENCE))
    return tuple(found)


def _common_warnings(quality: Mapping[str, Sequence[QualityRow]]) -> list[str]:
    """Each warning once, with the metrics that it holds for."""
    found: dict[str, dict[str, None]] = {}
    for rows in quality.values():
        for row in rows:
            for warning in row.warnings:
                found.setdefault(warning, {})[row.metric] = None
    every = len({row.metric for rows in quality.values() for row in rows})
    return [
        f"{'Image quality' if len(metrics) == every else ', '.join(metrics)}: {warning}."
        for warning, metrics in found.items()
    ]


def _with_interval(value: float, low: float, high: float) -> str:
    if value != value:
        return "-"
    return f"{value:.3g}" if low != low else f"{value:.3g} [{low:.3g}, {high:.3g}]"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
