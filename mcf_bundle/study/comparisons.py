"""The comparisons of a study: the primary one, and every arm against the arms that do without it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from mcf_bundle.errors import ArgumentError, DataError
from mcf_bundle.study.config import StudyConfig
from mcf_bundle.study.measures import COMPARABLE, MEASURES
from mcf_bundle.study.run_scores import RunScores
from mcf_bundle.study.splits import BY_SLICE, CROSS_VALIDATION
from mcf_bundle.study.statistics import PairedResult, PairedScores, Verdict, compare, holm, judge

SECONDARY = {"segmentation": "dice", "classification": "accuracy"}
"""Measure of the secondary comparisons, by task of the model."""


class Group(NamedTuple):
    """Runs that answer one question with one model on one share of the training patients."""

    question: str
    model: str
    fraction: float

    def __str__(self) -> str:
        """Read 'balanced, unet, fraction 1'."""
        return f"{self.question}, {self.model}, fraction {self.fraction:g}"


class Cell(NamedTuple):
    """A training: test fold and seed."""

    fold: str
    seed: int

    def __str__(self) -> str:
        """Read 'fold 0, seed 2'."""
        return f"fold {self.fold}, seed {self.seed}"


Arms = Mapping[str, Mapping[Cell, RunScores]]
"""The runs of a group by arm, fold and seed."""


@dataclass(frozen=True)
class Comparison:
    """One arm minus another on the same patients.

    Attributes:
        group: question, model and fraction.
        arm: the one.
        against: the other.
        measure: a member of `COMPARABLE`.
        result: difference, interval, p and n.
        tumor_slices: slices with tumor behind the difference.
        slices: all slices of its patients.
        missing: trainings that one arm lacks or both, left out of the pairing; in words.
        p_holm: p adjusted for the number of secondary comparisons; None for the primary one, which stands
            alone.
        verdict: better or worse only if the interval excludes 0 and p, adjusted if it is, is small enough.
    """

    group: Group
    arm: str
    against: str
    measure: str
    result: PairedResult
    tumor_slices: int
    slices: int
    missing: tuple[str, ...]
    p_holm: float | None
    verdict: Verdict


def group_runs(
    runs: Iterable[RunScores], config: StudyConfig
) -> dict[Group, dict[str, dict[Cell, RunScores]]]:
    """Return runs by group, arm, and fold and seed; models and arms in the order of the config.

    Runs on a split by slice are left out: they answer nothing about patients, see `split_comparison`.

    Raises:
        DataError: a run's model or arm is not in the config.
    """
    groups: dict[Group, dict[str, dict[Cell, RunScores]]] = defaultdict(lambda: defaultdict(dict))
    for item in runs:
        run = item.run
        for kind, name, known in (("model", run.model, config.models), ("arm", run.arm, config.arms)):
            if name not in known:
                problem = f"the run '{run}' is of the {kind} {name!r}, which the config has not"
                raise DataError("the per-case table", problem, "gather the runs of this study")
        if run.question == BY_SLICE:
            continue
        group = Group(run.question, run.model, run.fraction)
        groups[group][run.arm][Cell(run.fold, run.seed)] = item
    models, arms = list(config.models), list(config.arms)
    ordered = sorted(groups, key=lambda group: (group.question, models.index(group.model), -group.fraction))
    return {group: {arm: groups[group][arm] for arm in arms if arm in groups[group]} for group in ordered}


def pair_arms(
    arms: Arms, arm: str, against: str, measure: str
) -> tuple[PairedScores, list[RunScores]] | None:
    """Pair two arms of a group over the folds and seeds that both have.

    Args:
        arms: the runs of the group.
        arm: the one.
        against: the other.
        measure: a member of `COMPARABLE`.

    Returns:
        The differences of the patients that count, and a run of each fold; None without a common training,
        or without a patient that counts.

    Raises:
        DataError: two runs of a fold were not judged on the same cases, or a patient was tested twice.
    """
    common = sorted(set(arms.get(arm, {})) & set(arms.get(against, {})))
    seeds = sorted({cell.seed for cell in common})
    patients, folds, blocks, judged = [], [], [], []
    for fold in sorted({cell.fold for cell in common}):
        cells = [cell for cell in common if cell.fold == fold]
        first = arms[arm][cells[0]]
        for run in (arms[name][cell] for name in (arm, against) for cell in cells):
            if run.cases_sha256 != first.cases_sha256:
                problem = f"the runs '{first.run}' and '{run.run}' were judged on different cases"
                raise DataError("the per-case table", problem, "evaluate both on the fold's test patients")
        counts = first.weights[measure] > 0
        block = np.full((int(counts.sum()), len(seeds)), np.nan)
        for cell in cells:
            one, other = ((run.sums[measure][counts]) for run in (arms[arm][cell], arms[against][cell]))
            block[:, seeds.index(cell.seed)] = one - other
        names = [name for name, counted in zip(first.patients, counts, strict=True) if counted]
        patients += names
        folds += [fold] * len(names)
        if names:
            blocks.append(block)
            judged.append(first)
    if not patients:
        return None
    try:
        return PairedScores(tuple(patients), tuple(folds), np.concatenate(blocks)), judged
    except ArgumentError as error:
        where = f"the per-case table, {arm} against {against}"
        raise DataError(where, error.problem, error.remedy) from error


def missing_cells(arms: Arms, names: Iterable[str], seeds: Iterable[int]) -> tuple[str, ...]:
    """Return the trainings that an arm of `names` lacks, in words.

    Args:
        arms: the runs of the group; every fold of any arm is asked of all.
        names: the arms.
        seeds: that each fold should have, beside those that are there.
    """
    cells = [cell for runs in arms.values() for cell in runs]
    folds = sorted({cell.fold for cell in cells})
    wanted = [Cell(fold, seed) for fold in folds for seed in sorted({*seeds, *(c.seed for c in cells)})]
    return tuple(f"{name}, {cell}" for name in names for cell in wanted if cell not in arms.get(name, {}))


def compare_arms(
    group: Group,
    arms: Arms,
    arm: str,
    against: str,
    measure: str,
    *,
    seeds: Sequence[int],
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison | None:
    """Compare two arms of a group; the p is not adjusted yet.

    Returns:
        The comparison; None if the arms have no training in common.

    Raises:
        ArgumentError: the measure gives a patient no number of its own.
        DataError: see `pair_arms`.
    """
    if measure not in COMPARABLE:
        problem = f"{measure!r} cannot be paired over patients"
        raise ArgumentError("metric", problem, f"choose one of {', '.join(COMPARABLE)}")
    paired = pair_arms(arms, arm, against, measure)
    if paired is None:
        return None
    scores, judged = paired
    result = compare(scores, resamples=resamples, seed=seed)
    return Comparison(
        group=group,
        arm=arm,
        against=against,
        measure=measure,
        result=result,
        tumor_slices=sum(int(run.tumor_slices.sum()) for run in judged),
        slices=sum(int(run.slices.sum()) for run in judged),
        missing=missing_cells(arms, (arm, against), seeds),
        p_holm=None,
        verdict=judge(result.low, result.high, result.p, best=MEASURES[measure].best),
    )


def primary_comparison(
    groups: Mapping[Group, Arms], config: StudyConfig, *, resamples: int = 2000, seed: int = 0
) -> Comparison:
    """Make the comparison that the config fixed, in cross-validation on its largest fraction of patients.

    Raises:
        DataError: no runs answer it.
        ArgumentError: its metric cannot be paired over patients.
    """
    primary = config.primary
    group = Group(CROSS_VALIDATION, primary.model, max(config.fractions))
    found = compare_arms(
        group,
        groups.get(group, {}),
        primary.arm,
        primary.against,
        primary.metric,
        seeds=config.seeds,
        resamples=resamples,
        seed=seed,
    )
    if found is None:
        problem = (
            f"no fold and seed of '{group}' has both {primary.arm} and {primary.against}, so the primary "
            "comparison cannot be made"
        )
        raise DataError("the per-case table", problem, "run the study to its end")
    return found


def secondary_comparisons(
    groups: Mapping[Group, Arms],
    config: StudyConfig,
    primary: Comparison,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> list[Comparison]:
    """Compare every arm with the arms of `references`, and adjust all p together after Holm.

    The primary comparison is left out: it is tested alone. Arms without a training in common are left out.
    """
    made = []
    fixed = (primary.group, primary.arm, primary.against, primary.measure)
    for group, arms in groups.items():
        measure = SECONDARY[config.models[group.model].task]
        for arm in arms:
            for against in references(arm, config):
                if (group, arm, against, measure) == fixed:
                    continue
                found = compare_arms(
                    group, arms, arm, against, measure, seeds=config.seeds, resamples=resamples, seed=seed
                )
                if found is not None:
                    made.append(found)
    adjusted = holm([item.result.p for item in made])
    return [
        replace(
            item,
            p_holm=p,
            verdict=judge(item.result.low, item.result.high, p, best=MEASURES[item.measure].best),
        )
        for item, p in zip(made, adjusted, strict=True)
    ]


def real_only(config: StudyConfig) -> str:
    """Return the name of the arm 'real only': the first without synthetic slices.

    Raises:
        ArgumentError: every arm has some.
    """
    for name, arm in config.arms.items():
        if arm.synthetic is None:
            return name
    raise ArgumentError("arms", "every arm has synthetic slices", "add one without, to compare with")


def plain_counterpart(arm: str, config: StudyConfig) -> str:
    """Return the arm without synthetic slices that differs from this one in little else.

    It is the first with the same augmentation and the same share of tumor slices, else the first with the
    same augmentation, else 'real only'.
    """
    wanted = config.arms[arm]
    plain = {name: other for name, other in config.arms.items() if other.synthetic is None}
    augmented = [name for name, other in plain.items() if other.augmentation == wanted.augmentation]
    same = [name for name in augmented if plain[name].tumor_share == wanted.tumor_share]
    return (same or augmented or [real_only(config)])[0]


def references(arm: str, config: StudyConfig) -> list[str]:
    """Return the arms that an arm is compared with.

    These are 'real only', the `plain_counterpart`, and the composites with the same augmentation, or else the
    first composites there are. No pair comes twice: composites that are compared with this arm are not among
    its references.
    """
    composites = [name for name in config.arms if kind_of(name, config) == "composites"]
    same = [n for n in composites if config.arms[n].augmentation == config.arms[arm].augmentation]
    others = [name for name in (same or composites)[:1] if arm not in _plain_references(name, config)]
    chosen = [*_plain_references(arm, config), *others]
    return [name for name in dict.fromkeys(chosen) if name != arm]


def _plain_references(arm: str, config: StudyConfig) -> list[str]:
    return [real_only(config), plain_counterpart(arm, config)] if arm != real_only(config) else []


def kind_of(arm: str, config: StudyConfig) -> str | None:
    """Return how an arm's synthetic slices are made; None without any."""
    name = config.arms[arm].synthetic
    return None if name is None else config.sets[name].kind
