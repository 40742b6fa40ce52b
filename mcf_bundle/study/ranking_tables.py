"""The tables of a ranking: its figures with their ranks, and everything else that was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mcf_bundle.generation.image_evaluation_sets import SYNTHETIC
from mcf_bundle.generation.report_table import Cell, Table
from mcf_bundle.study.ranking_measures import (
    COPIES,
    DONOR_DROP,
    LABEL_DICE,
    TEXTURE_AUC,
    QualityLine,
    Ranked,
)
from mcf_bundle.study.tables import StudyTable, with_interval

_NOTE = (
    "Label consistency: mean Dice of a frozen segmenter's masks with the written ones, high is good. KID of "
    "crops around the mask to real tumors, low is good. Texture: AUC of a forest that tells the images from "
    "real tumors, 0.5 is best. In brackets: 95 % interval by bootstrap over patients. The three ranks count "
    "alike, ties share their mean. Intervals that overlap are no ranking: this chooses who goes on and shows "
    "nothing."
)

_QUALITY_NOTE = (
    "KID, FID and profiles: low is good; MS-SSIM: similarity within the set, that of real tumors is good; "
    "texture AUC: 0.5 is best; rim: that of held-out real tumors is good. Copies: share of tumors nearer to "
    "a training tumor than 99 % of held-out ones; donor drop: how much the diffusion lowers the correlation "
    "with the donor. In brackets: 95 % interval by bootstrap over patients. Of copies the "
    "patients are the donors. Counts in a cell are its own."
)

_SHOWN = {
    "kid": ("KID", 4),
    "fid": ("FID", 2),
    "precision": ("precision", 2),
    "recall": ("recall", 2),
    "density": ("density", 2),
    "coverage": ("coverage", 2),
    "ms_ssim": ("MS-SSIM", 3),
    "profile_horizontal": ("profile, horizontal", 4),
    "profile_vertical": ("profile, vertical", 4),
    TEXTURE_AUC: ("texture AUC", 3),
    "flair_rim": ("rim in FLAIR", 3),
    LABEL_DICE: ("label consistency, Dice", 3),
    COPIES: ("copies", 2),
    DONOR_DROP: ("donor drop", 3),
}
"""Metrics that a reader gets, with their title and digits, in the order of the columns."""


def quality_table(lines: Sequence[QualityLine], reference: Sequence[str]) -> StudyTable:
    """Return all measures of all settings as a table; a reader gets the sets that are compared.

    Args:
        lines: of the settings in their order.
        reference: splits whose tumors the images were measured against.

    Returns:
        Every line as a record. For reading, for each region: the images of each setting, then what stood
        beside those of the first that was measured, such as its composites and real training tumors.
    """
    names = list(dict.fromkeys(line.setting for line in lines))
    first = names[0] if names else None
    beside = dict.fromkeys(line.set for line in lines if line.setting == first and line.set != SYNTHETIC)
    wanted = [(name, SYNTHETIC, name) for name in names]
    wanted += [(first, set_, f"{set_} ({first})") for set_ in beside if first is not None]
    shown = [
        _region_table(region, [line for line in lines if line.region == region], wanted, reference)
        for region in dict.fromkeys(line.region for line in lines)
    ]
    return StudyTable("quality", tuple(line._asdict() for line in lines), tuple(shown))


def _region_table(
    region: str,
    lines: Sequence[QualityLine],
    wanted: Sequence[tuple[str, str, str]],
    reference: Sequence[str],
) -> Table:
    found = {(line.setting, line.set, line.metric): line for line in lines}
    metrics = [metric for metric in _SHOWN if any(line.metric == metric for line in lines)]
    rows: list[tuple[Cell, ...]] = []
    for setting, set_, title in wanted:
        cells = [found.get((setting, set_, metric)) for metric in metrics]
        if any(cells):
            counts = next(_counts(cell) for cell in cells if cell)
            figures = (
                _figure_cell(cell, _SHOWN[m][1], counts) for m, cell in zip(metrics, cells, strict=True)
            )
            rows.append((title, *figures, counts))
    columns = ("images", *(_SHOWN[metric][0] for metric in metrics), "n, patients")
    title = f"{region.capitalize()}, against tumors of {' and '.join(reference)} patients"
    return Table(title, columns, tuple(rows), _QUALITY_NOTE)


def _figure_cell(line: QualityLine | None, digits: int, counts: str) -> str:
    """Write a figure, with its own counts where they are not those of the row."""
    if line is None:
        return "-"
    value, low, high = (math.nan if end is None else end for end in (line.value, line.low, line.high))
    own = "" if _counts(line) == counts or value != value else f" ({_counts(line)})"
    return with_interval(value, low, high, digits) + own


def _counts(line: QualityLine) -> str:
    return f"{line.n} of {line.patients}"


def ranking_table(ranked: Sequence[Ranked], reference: Sequence[str]) -> StudyTable:
    """Return the ranking as a table; its records have every figure with its interval and rank.

    Args:
        ranked: the settings, best first.
        reference: splits whose tumors the images were measured against.
    """
    ids = dict.fromkeys(key for item in ranked for key in item.measured.setting.ids)
    figures = ("consistency", "kid", "texture")
    records = []
    for item in ranked:
        found = item.measured
        record: dict[str, Any] = {"setting": found.setting.name}
        record |= {key: found.setting.ids.get(key) for key in ids}
        record |= {name: getattr(found, name) for name in ("images", "judged", "reference_patients")}
        for name in figures:
            record |= {
                (name if end == "value" else f"{name}_{end}"): value
                for end, value in vars(getattr(found, name)).items()
            }
            record[f"{name}_rank"] = getattr(item, f"{name}_rank")
        records.append({**record, "mean_rank": item.mean_rank, "finalist": item.finalist})
    return StudyTable("ranking", tuple(records), (_shown(ranked, reference),))


def _shown(ranked: Sequence[Ranked], reference: Sequence[str]) -> Table:
    columns = (
        *("setting", "label consistency, Dice", "rank", "KID of crops", "rank", "texture AUC", "rank"),
        *("mean rank", "finalist", "images judged", "reference patients"),
    )
    rows: list[tuple[Cell, ...]] = []
    for item in ranked:
        found = item.measured
        cells: list[Cell] = []
        for name, digits in (("consistency", 3), ("kid", 4), ("texture", 3)):
            figure = getattr(found, name)
            cells += [with_interval(figure.value, figure.low, figure.high, digits)]
            cells += [f"{getattr(item, f'{name}_rank'):g}"]
        ends = (
            "yes" if item.finalist else "no",
            f"{found.judged} of {found.images}",
            found.reference_patients,
        )
        rows.append((found.setting.name, *cells, f"{item.mean_rank:.2f}", *ends))
    note = f"Measured against tumors of {' and '.join(reference)} patients alone. {_NOTE}"
    return Table("Settings by mean rank", columns, tuple(rows), note)
