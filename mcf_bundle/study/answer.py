"""What a study answers, in words: the primary question first, then where MCF does not help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mcf_bundle.metrics.quality_table import FEW_PATIENTS
from mcf_bundle.study.comparisons import (
    MEASURES,
    Arms,
    Comparison,
    Group,
    kind_of,
    missing_cells,
    plain_counterpart,
)
from mcf_bundle.study.config import GENERATED, StudyConfig
from mcf_bundle.study.statistics import ALPHA, POWER, Verdict
from mcf_bundle.study.tables import format_p, in_points, points, unit_of

COMPOSITES = "composites"
"""Kind of the images before the diffusion."""

CONTROL = "shuffled_masks"
"""Kind of the negative control: right images with wrong masks."""


def primary_sentence(item: Comparison) -> str:
    """Return the answer to the primary question in one sentence, with interval and verdict."""
    return (
        f"{item.arm} against {item.against}, {item.group.model}: {_figure(item)}, 95 % interval "
        f"{_interval(item)}: {item.verdict}"
    )


def primary_details(item: Comparison) -> str:
    """Return p, n and the smallest difference that could be found, in one paragraph."""
    result = item.result
    found = in_points(item.measure, result.smallest_difference)
    seeds = "unknown, one seed" if result.seed_sd != result.seed_sd else _spread(item, result.seed_sd)
    p = format_p(result.p).replace("<", "< ") if result.p < 0.001 else f"= {format_p(result.p)}"
    return (
        f"{MEASURES[item.measure].title}, mean over {MEASURES[item.measure].over}; p "
        f"{p} (sign flips over patients). {result.patients} patients, "
        f"{item.tumor_slices:,} tumor slices, {result.folds} folds, {result.seeds} seeds, {result.runs} "
        f"pairs of trainings. The design could have found {found:.2g} {unit_of(item.measure)} "
        f"(level {ALPHA:g}, power {POWER:g}; SD over patients {_spread(item, result.patient_sd)}, over "
        f"seeds {seeds})."
    )


def where_mcf_does_not_help(comparisons: Sequence[Comparison], config: StudyConfig) -> str:
    """Return which arms with generated slices are not shown to help.

    Each is compared with the same training without synthetic slices, and with composites.

    Args:
        comparisons: primary and secondary.
        config: says which arm has generated slices, and which is augmented alike without any.
    """
    asked = [item for item in comparisons if _asks_whether_mcf_helps(item, config)]
    if not asked:
        return "No arm with generated slices was compared with the same training without them."
    failed = [item for item in asked if item.verdict is not Verdict.BETTER]
    if not failed:
        return (
            "MCF was better than the same training without it, and than composites, in all "
            f"{len(asked)} comparisons."
        )
    listed = "; ".join(
        f"{item.arm} against {item.against} ({item.group}): {_points(item)}, {item.verdict}"
        for item in failed
    )
    return f"MCF is not shown to help in {len(failed)} of {len(asked)} comparisons: {listed}."


def _asks_whether_mcf_helps(item: Comparison, config: StudyConfig) -> bool:
    if kind_of(item.arm, config) != GENERATED:
        return False
    alike = config.arms[item.arm].augmentation == config.arms[item.against].augmentation
    is_composites = kind_of(item.against, config) == COMPOSITES
    return item.against == plain_counterpart(item.arm, config) or (is_composites and alike)


def warnings_of(
    groups: Mapping[Group, Arms],
    primary: Comparison,
    secondary: Sequence[Comparison],
    config: StudyConfig,
) -> tuple[str, ...]:
    """Return what a reader has to know before believing any of it."""
    found = []
    if primary.missing:
        found.append(
            f"The primary comparison lacks {len(primary.missing)} trainings, so its verdict is provisional: "
            f"{_shortened(primary.missing)}."
        )
    if primary.result.folds < config.fold_count:
        found.append(
            f"The primary comparison has {primary.result.folds} of {config.fold_count} folds: the other "
            "patients were not tested."
        )
    if primary.result.patients < FEW_PATIENTS:
        found.append(f"{primary.result.patients} patients: the interval is too narrow.")
    if primary.result.seed_sd != primary.result.seed_sd:
        found.append("One seed a fold: intervals do not hold the luck of a training.")
    found += _missing_runs(groups, config)
    controls = [item for item in (primary, *secondary) if kind_of(item.arm, config) == CONTROL]
    for item in controls:
        if _sees_masks(item, config) and item.verdict is Verdict.BETTER:
            found.append(
                f"The negative control {item.arm} is better than {item.against} ({item.group}): something "
                "other than right masks helps, so no gain of MCF can be put down to its images."
            )
    blind = dict.fromkeys(item.arm for item in controls if not _sees_masks(item, config))
    found += [
        f"{arm} is no control of the classifiers: they see no masks, so its slices are those of MCF to them."
        for arm in blind
    ]
    return tuple(found)


def _sees_masks(item: Comparison, config: StudyConfig) -> bool:
    return config.models[item.group.model].task == "segmentation"


def _missing_runs(groups: Mapping[Group, Arms], config: StudyConfig) -> list[str]:
    found = []
    for group, arms in groups.items():
        absent = [name for name in config.arms if name not in arms]
        missing = missing_cells(arms, arms, config.seeds)
        if absent:
            found.append(f"{group}: no training of {', '.join(absent)}.")
        if missing:
            found.append(
                f"{group}: {len(missing)} trainings are missing and left out of the pairing: "
                f"{_shortened(missing)}."
            )
    return found


def _shortened(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return "; ".join(names[:most]) + more


def _figure(item: Comparison) -> str:
    value = in_points(item.measure, item.result.difference)
    title = MEASURES[item.measure].title
    return f"{value:+.1f} {unit_of(item.measure)} of {title}"


def _interval(item: Comparison) -> str:
    low, high = (in_points(item.measure, end) for end in (item.result.low, item.result.high))
    return "unknown" if low != low else f"{low:+.1f} to {high:+.1f}"


def _points(item: Comparison) -> str:
    result = item.result
    return f"{points(item.measure, result.difference, result.low, result.high)} {unit_of(item.measure)}"


def _spread(item: Comparison, value: float) -> str:
    return f"{in_points(item.measure, value):.2g}"
