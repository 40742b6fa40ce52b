"""Every run of a study, in the order in which they are made, with what each needs and costs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import Any

from mcf_bundle.study.config import CKPT_IDS, FOLDER, NETWORKS, StudyConfig
from mcf_bundle.study.splits import BY_SLICE, Split, list_splits

_GUESSED_S_PER_STEP: Mapping[str, float] = {
    "denoiser": 1.2,
    "classifier": 0.4,
    "gate": 0.4,
    "segmentation": 0.6,
    "classification": 0.4,
}
_GUESSED_STEPS = 1000
_GUESSED_GENERATED_S, _GUESSED_DERIVED_S, _GUESSED_FOLDER_S, _GUESSED_JUDGED_S = 300.0, 60.0, 10.0, 300.0
"""Guesses for two CPU cores and slices of 128 x 128, until a run of the same kind was timed."""


@dataclass(frozen=True)
class Run:
    """A piece of work that is done or not.

    Attributes:
        id: name, and folder below ``runs``.
        kind: runs of one kind take about the same time.
        split: whose patients train, validate and test.
        needs: ids of the runs whose results it reads.
        guess_s: seconds that it may take.
    """

    id: str
    kind: str
    split: Split
    needs: tuple[str, ...]
    guess_s: float


@dataclass(frozen=True)
class NetworkRun(Run):
    """Train a network of a generator.

    Attributes:
        role: one of `NETWORKS`.
        set_name: the only synthetic set that it is for; None if all share it.
    """

    role: str
    set_name: str | None


@dataclass(frozen=True)
class RunOnSet(Run):
    """Work on a synthetic set.

    Attributes:
        set_name: which.
        networks: ids of the runs that trained its networks, by role; those given as files are missing.
    """

    set_name: str
    networks: Mapping[str, str]


class SetRun(RunOnSet):
    """Make a synthetic set, or look through a folder that is one."""


class JudgeRun(RunOnSet):
    """Judge the images of a generated set."""


@dataclass(frozen=True)
class ModelRun(Run):
    """Train a model in an arm and evaluate it on the test patients.

    Attributes:
        model: which.
        arm: which.
        seed: of the training.
        task: segmentation or classification.
    """

    model: str
    arm: str
    seed: int
    task: str


@dataclass(frozen=True)
class Cost:
    """How long a run takes or took.

    Attributes:
        seconds: wall time.
        source: ``done``, ``as measured`` (mean of finished runs of its kind) or ``guess``.
    """

    seconds: float
    source: str


def list_runs(config: StudyConfig) -> list[Run]:
    """List the runs of a study; each stands after all that it needs.

    Comparisons get complete early: all data before fractions; a seed on all folds before the next seed; fold
    by fold, with all models and arms. Images are judged after the first of these.
    """
    found: dict[str, Run] = {}
    everything = list_splits(config)
    for _, same in groupby(everything, key=lambda split: (split.question, split.fraction)):
        splits = list(same)
        asked = config.slice_split if splits[0].question == BY_SLICE and config.slice_split else config
        for seed in asked.seeds:
            for split in splits:
                for model in asked.models:
                    for arm in asked.arms:
                        for run in _with_needs(config, model, arm, split, seed):
                            found.setdefault(run.id, run)
                for name in config.judge if split == everything[0] else ():
                    for run in _judged_with_needs(config, name, split):
                        found.setdefault(run.id, run)
    return list(found.values())


def _with_needs(config: StudyConfig, model: str, arm: str, split: Split, seed: int) -> Iterator[Run]:
    """Yield the run of a model in an arm after everything that it needs."""
    name, settings = config.arms[arm].synthetic, config.models[model]
    if name is not None:
        yield from _set_with_needs(config, name, split)
    yield ModelRun(
        id=f"{settings.task}/{model}/{arm}/{split.name}/s{seed}",
        kind=f"{settings.task}/{model}",
        split=split,
        needs=() if name is None else (_set_id(name, split),),
        guess_s=settings.steps * _GUESSED_S_PER_STEP[settings.task],
        model=model,
        arm=arm,
        seed=seed,
        task=settings.task,
    )


def _judged_with_needs(config: StudyConfig, name: str, split: Split) -> Iterator[Run]:
    """Yield the run that judges a generated set after everything that it needs."""
    yield from _set_with_needs(config, name, split)
    yield JudgeRun(
        id=f"judged/{name}/{split.name}",
        kind="judged",
        split=split,
        needs=(_set_id(name, split),),
        guess_s=_GUESSED_JUDGED_S,
        set_name=name,
        networks={role: run.id for role, run in _networks_of(config, name, split).items()},
    )


def _set_with_needs(config: StudyConfig, name: str, split: Split) -> Iterator[Run]:
    settings = config.sets[name]
    if settings.of is not None:
        yield from _set_with_needs(config, settings.of, split)
        source = _networks_of(config, settings.of, split)
        yield SetRun(
            id=_set_id(name, split),
            kind=f"sets/{settings.kind}",
            split=split,
            needs=(_set_id(settings.of, split),),
            guess_s=_GUESSED_DERIVED_S,
            set_name=name,
            networks={role: run.id for role, run in source.items()},
        )
        return
    given = settings.kind == FOLDER
    networks = {} if given else _networks_of(config, name, split)
    yield from networks.values()
    yield SetRun(
        id=_set_id(name, split),
        kind=f"sets/{settings.kind}",
        split=split,
        needs=tuple(run.id for run in networks.values()),
        guess_s=_GUESSED_FOLDER_S if given else _GUESSED_GENERATED_S,
        set_name=name,
        networks={role: run.id for role, run in networks.items()},
    )


def _networks_of(config: StudyConfig, name: str, split: Split) -> dict[str, NetworkRun]:
    """Return the trainings that a generated set needs, by role; a checkpoint that is given needs none."""
    settings, found = config.sets[name], {}
    for role in NETWORKS:
        if CKPT_IDS[role] in {**config.generator.inference, **settings.overrides}:
            continue
        own = name if role == "denoiser" and settings.denoiser else None
        overrides = network_overrides(config, role, own)
        steps = int((overrides.get("epoch_length") or 0) * overrides.get("max_epochs", 0)) or _GUESSED_STEPS
        found[role] = NetworkRun(
            id=f"generator/{role}{f'-{own}' if own else ''}/{split.name}",
            kind=f"generator/{role}",
            split=split,
            needs=(),
            guess_s=steps * _GUESSED_S_PER_STEP[role],
            role=role,
            set_name=own,
        )
    return found


def network_overrides(config: StudyConfig, role: str, set_name: str | None) -> dict[str, Any]:
    """Return the ids that a network of a generator is trained with, a set's own ones last."""
    own = {} if set_name is None else config.sets[set_name].denoiser
    return {**getattr(config.generator, role), **own}


def _set_id(name: str, split: Split) -> str:
    return f"sets/{name}/{split.name}"


def estimate(
    runs: Sequence[Run], finished_s: Mapping[str, float], cut_off: Collection[str] = ()
) -> dict[str, Cost]:
    """Return the cost of each run by id.

    Args:
        runs: all of them.
        finished_s: seconds of the finished ones, by id.
        cut_off: ids of those whose seconds are of their last part alone: no measure of their kind.
    """
    timed = [run for run in runs if run.id in finished_s and run.id not in cut_off]
    measured = {kind: fmean(finished_s[run.id] for run in same) for kind, same in _by_kind(timed).items()}
    costs = {}
    for run in runs:
        if run.id in finished_s:
            costs[run.id] = Cost(finished_s[run.id], "done")
        elif run.kind in measured:
            costs[run.id] = Cost(measured[run.kind], "as measured")
        else:
            costs[run.id] = Cost(run.guess_s, "guess")
    return costs


def _by_kind(runs: Iterable[Run]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.kind, []).append(run)
    return found


def left(runs: Sequence[Run], done: Collection[str]) -> list[Run]:
    """Return the runs that are not done, in order."""
    return [run for run in runs if run.id not in done]


def duration(seconds: float) -> str:
    """Put seconds into words.

    >>> duration(41.4), duration(600), duration(7500), duration(200_000)
    ('41 s', '10 min', '2 h 5 min', '2 d 7 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
