"""How a run of a study is carried out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from mcf_bundle.commandline import describe
from mcf_bundle.data.datalist import Datalist
from mcf_bundle.data.generated_case import read_origins
from mcf_bundle.data.pseudonyms import FULL
from mcf_bundle.data.splits import TEST, VALIDATION
from mcf_bundle.errors import ArgumentError, DataError, IncompleteError, LeakageError
from mcf_bundle.networks.checkpoint import read_checkpoint
from mcf_bundle.networks.known_patients import refuse_known
from mcf_bundle.overrides import check_overrides
from mcf_bundle.study.bundle_run import config_files, run_bundle
from mcf_bundle.study.config import CKPT_IDS, FOLDER, GENERATED, Model, StudyConfig, SyntheticSet
from mcf_bundle.study.folder import StudyFolder
from mcf_bundle.study.given_set import (
    GivenSet,
    folder_of_split,
    read_given_set,
    record_given_set,
    refuse_changed,
)
from mcf_bundle.study.judging import judge_images
from mcf_bundle.study.runs import JudgeRun, ModelRun, NetworkRun, Run, RunOnSet, SetRun, network_overrides
from mcf_bundle.study.set_noised_real import NetworkFiles
from mcf_bundle.study.slice_split import REMARK, evaluation_overrides, training_overrides
from mcf_bundle.study.splits import BY_SLICE, Split, patients_of
from mcf_bundle.study.synthetic_sets import make_set

logger = logging.getLogger(__name__)

TRAINING_FOLDER = "training"
"""Folder of a model's training inside its run's."""

BEST = "model_best.pt"

GENERATOR_BUNDLE = "mcf_diffusion"
NETWORK_FILES: Mapping[str, tuple[str, ...]] = {
    "denoiser": ("train.json",),
    "classifier": ("train_classifier.json",),
    "gate": ("train_classifier.json", "train_gate.json"),
}
"""Config files that train each network of a generator."""

_RESAMPLES = 200
"""Draws for the summary of a single run; the study's intervals come from all cases together."""

PRETRAINED_FILE = "pretrained.txt"
"""Note in a run's folder that the part of a training on synthetic tumors alone is over."""


@dataclass(frozen=True, eq=False)
class Workplace:
    """What all runs of a study share.

    Attributes:
        config: the study's.
        dataset_dir: the real patients.
        folder: the study's.
        datalists: by split.
        paths: file of each datalist.
        line: the command line, for the records of the runs.
    """

    config: StudyConfig
    dataset_dir: Path
    folder: StudyFolder
    datalists: Mapping[Split, Datalist]
    paths: Mapping[Split, Path]
    line: Sequence[str] = field(default=())


def execute(run: Run, place: Workplace) -> str:
    """Carry out a run, or the rest of one that was cut off.

    Args:
        run: what to do; everything that it needs is done.
        place: where.

    Returns:
        A remark on the result, empty if there is none.

    Raises:
        McfError: for bad data, settings or leaks.
        RuntimeError: from MONAI, around an error of the run.
    """
    match run:
        case NetworkRun():
            return _train_network(run, place)
        case SetRun():
            return _make_set(run, place)
        case JudgeRun():
            return _judge(run, place)
        case ModelRun():
            return _train_and_evaluate(run, place)
    raise TypeError(f"unknown kind of run: {run}")


def check_ids(config: StudyConfig) -> None:
    """Refuse overrides that cannot be meant, before anything is run.

    Raises:
        ArgumentError: an id that the bundles' config files do not have, with the nearest; a checkpoint that
            is null; a denoiser that is to be trained beside a checkpoint of one. Names the place.
    """
    generator = config.generator
    tasks: list[tuple[str, str, Sequence[str], Mapping[str, Any]]] = [
        (f"generator.{role}", GENERATOR_BUNDLE, files, getattr(generator, role))
        for role, files in NETWORK_FILES.items()
    ]
    inference = ("inference.json",)
    tasks.append(("generator.inference", GENERATOR_BUNDLE, inference, generator.inference))
    for name, item in config.sets.items():
        if item.kind == GENERATED:
            tasks.append((f"sets.{name}.overrides", GENERATOR_BUNDLE, inference, item.overrides))
            tasks.append((f"sets.{name}.denoiser", GENERATOR_BUNDLE, ("train.json",), item.denoiser))
            _check_networks(f"sets.{name}", item, {**generator.inference, **item.overrides})
    for name, model in config.models.items():
        tasks.append((f"models.{name}.overrides", model.bundle, ("train.json",), model.overrides))
    for where, bundle, files, overrides in tasks:
        try:
            check_overrides(overrides, ConfigParser.load_config_files(config_files(bundle, files)))
        except ArgumentError as error:
            raise ArgumentError(where, error.problem, error.remedy) from None


def _check_networks(where: str, item: SyntheticSet, ids: Mapping[str, Any]) -> None:
    """Refuse checkpoints of a generated set, among its ids, that are null or that make its denoiser idle."""
    for role in ("denoiser", "gate"):
        if ids.get(CKPT_IDS[role], "trained") is None:
            remedy = "name a file, or leave it out, and the study trains one"
            raise ArgumentError(f"{where}.{CKPT_IDS[role]}", "is null", remedy)
    if item.denoiser and CKPT_IDS["denoiser"] in ids:
        problem = "a checkpoint is given too, so nothing would be trained"
        raise ArgumentError(f"{where}.denoiser", problem, "keep one of them")


def check_given_checkpoints(config: StudyConfig, datalists: Iterable[tuple[str, Datalist]]) -> None:
    """Refuse checkpoints and folders of images that the config names and that know somebody they must not.

    Args:
        config: the study's.
        datalists: with the names of their splits.

    Raises:
        CheckpointError: a file cannot be read.
        DataError: a folder of images is missing, or does not say whom it shows and who made it.
        LeakageError: a checkpoint has no list of patients, or shares one with a validation or test set; or
            somebody but a training patient has a part in a folder's images.
    """
    given = {
        str(overrides[name])
        for overrides in (config.generator.inference, *(item.overrides for item in config.sets.values()))
        for name in CKPT_IDS.values()
        if overrides.get(name) is not None
    }
    folders = [item for item in config.sets.values() if item.kind == FOLDER]
    for name, datalist in datalists:
        if datalist.leaks:  # on a split by slice no synthetic slices are trained on
            continue
        for path in sorted(given):
            refuse_leaks(Path(path), datalist)
        for item in folders:
            read_given_set(folder_of_split(item, name), datalist)


def refuse_leaks(path: Path, datalist: Datalist) -> None:
    """Refuse a checkpoint that was trained on validation or test patients, or chosen on test patients.

    Args:
        path: the checkpoint.
        datalist: who validates and tests.

    Raises:
        CheckpointError: the file cannot be read.
        LeakageError: it carries no list of its patients, or shares one.
    """
    checkpoint = read_checkpoint(path)
    if not checkpoint.patients:
        problem = "carries no list of the patients that it was trained on"
        raise LeakageError(path, problem, "use one that says whom it knows, or let the study train one")
    for split in (VALIDATION, TEST):
        refuse_known(patients_of(datalist, split), checkpoint, where=path, split=split)


def _train_network(run: NetworkRun, place: Workplace) -> str:
    overrides = network_overrides(place.config, run.role, run.set_name)
    own = {**_common(run, place), "ckpt_dir": str(place.folder.of(run.id))}
    run_bundle(GENERATOR_BUNDLE, NETWORK_FILES[run.role], {**overrides, **own}, place.line)
    return ""


def _make_set(run: SetRun, place: Workplace) -> str:
    settings = place.config.sets[run.set_name]
    if settings.kind == FOLDER:
        record_given_set(_given_set(settings, run, place), place.folder.of(run.id))
        return ""
    files = _inference_ids(run, place)
    if settings.kind == GENERATED:
        return _generate(run, place, files)
    make_set(
        settings.kind,
        place.folder.of(run.needs[0]),
        place.dataset_dir,
        place.folder.of(run.id),
        **settings.overrides,
        files=NetworkFiles(
            files["ckpt"],
            files.get("classifier_ckpt"),
            _device(),
        ),
    )
    return ""


def _given_set(settings: SyntheticSet, run: Run, place: Workplace) -> GivenSet:
    return read_given_set(folder_of_split(settings, run.split.name), place.datalists[run.split])


def _synthetic_dir(run: ModelRun, place: Workplace) -> Path | None:
    """Return where the synthetic slices of a model's arm are, None without any."""
    name = place.config.arms[run.arm].synthetic
    if name is None:
        return None
    settings, made = place.config.sets[name], place.folder.of(run.needs[0])
    if settings.kind != FOLDER:
        return made
    given = _given_set(settings, run, place)
    refuse_changed(given, made)
    return given.folder


def _inference_ids(run: RunOnSet, place: Workplace) -> dict[str, Any]:
    """Return the ids of inference.json for a set, with the checkpoints that the study trained for it."""
    settings = place.config.sets[run.set_name]
    source = settings if settings.of is None else place.config.sets[settings.of]
    trained = {CKPT_IDS[role]: str(_best(place.folder.of(needed))) for role, needed in run.networks.items()}
    for path in trained.values():
        refuse_leaks(Path(path), place.datalists[run.split])
    return {**place.config.generator.inference, **source.overrides, **trained}


def _judge(run: JudgeRun, place: Workplace) -> str:
    return judge_images(
        place.dataset_dir,
        place.folder.of(run.needs[0]),
        place.folder.of(run.id),
        gate=Path(_inference_ids(run, place)[CKPT_IDS["gate"]]),
        device=_device(),
    )


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _generate(run: SetRun, place: Workplace, overrides: Mapping[str, Any]) -> str:
    output = place.folder.of(run.id)
    remark = generate(output, {**overrides, **_common(run, place)}, place.line)
    if not read_origins(output):
        problem = "the gate rejected all images"
        raise DataError(output, problem, "change the set's settings, or train the generator longer")
    return remark


def generate(output_dir: Path, overrides: Mapping[str, Any], line: Sequence[str]) -> str:
    """Run inference.json, or what is left of it.

    Args:
        output_dir: where the images go.
        overrides: its ids, dataset_dir among them.
        line: the command line, for the record.

    Returns:
        What the gate did not let pass, in words; empty if there are as many images as asked for.

    Raises:
        McfError: for bad data, settings or leaks.
        RuntimeError: from MONAI, around an error of the run.
    """
    # Trainings and evaluations have to recognize whom an image shows; the images stay in the study's folder.
    # Validation patients judge the images: the gate knows training patients alone.
    own = {
        "output_dir": str(output_dir),
        "provenance": FULL,
        "gate_rules#validation_widens": False,
    }
    try:
        run_bundle(GENERATOR_BUNDLE, ("inference.json",), {**overrides, **own}, line)
    except Exception as error:
        found = describe(error)
        if found is None or found[1] != IncompleteError.exit_code:
            raise
        return found[0]
    return ""


def _train_and_evaluate(run: ModelRun, place: Workplace) -> str:
    model, arm, folder = place.config.models[run.model], place.config.arms[run.arm], place.folder.of(run.id)
    training, by_slice = folder / TRAINING_FOLDER, run.split.question == BY_SLICE
    synthetic_dir = _synthetic_dir(run, place)
    alone = epochs_alone(arm.pretraining, model)
    settings = {
        **model.overrides,
        **_common(run, place),
        "seed": run.seed,
        "ckpt_dir": str(training),
        "augmentation": arm.augmentation,
        "tumor_share": arm.tumor_share,
        "synthetic_share": arm.synthetic_share,
        "synthetic_dir": None if synthetic_dir is None else str(synthetic_dir),
        # Weights that have seen synthetic tumors alone are not what the arm is about.
        "weights#first_epoch": alone + 1,
        # Early stopping would give the arms different numbers of steps.
        "patience": None,
        **(training_overrides(run.task) if by_slice else {}),
    }
    _pretrain(alone, settings, model.bundle, folder / PRETRAINED_FILE, place.line)
    run_bundle(model.bundle, ("train.json",), settings, place.line)
    evaluate(run, place)
    return REMARK if by_slice else ""


def evaluate(run: ModelRun, place: Workplace) -> None:
    """Evaluate a model that is trained on the test patients of its split.

    Raises:
        LeakageError: its checkpoint knows a patient of an evaluation set.
        McfError: for bad data, or if no epoch of the training was the best.
        RuntimeError: from MONAI, around an error of the run.
    """
    model, folder = place.config.models[run.model], place.folder.of(run.id)
    ckpt, by_slice = _best(folder / TRAINING_FOLDER), run.split.question == BY_SLICE
    if not by_slice:
        refuse_leaks(ckpt, place.datalists[run.split])
    evaluation = {
        **model.overrides,
        **_common(run, place),
        "seed": run.seed,
        "ckpt": str(ckpt),
        "output_dir": str(folder),
        "split": TEST,
        "resamples": _RESAMPLES,
        **(evaluation_overrides(run.task) if by_slice else {}),
    }
    run_bundle(model.bundle, ("train.json", "evaluate.json"), evaluation, place.line)


def _best(training: Path) -> Path:
    """Return the checkpoint of a training's best epoch."""
    ckpt = training / BEST
    if not ckpt.exists():
        problem = f"has no {BEST}: no epoch had a figure that is defined on the validation patients"
        remedy = "give them more tumors: a larger validation_share, or another split_seed"
        raise DataError(training, problem, remedy)
    return ckpt


def epochs_alone(share: float, model: Model) -> int:
    """Return the number of epochs with synthetic tumors alone.

    None without a share, else at least one, and never all: with a single epoch there is none.
    """
    epochs = int(model.overrides["max_epochs"])
    return min(max(round(share * epochs), 1), epochs - 1) if share else 0


def _pretrain(epochs: int, settings: Mapping[str, Any], bundle: str, note: Path, line: Sequence[str]) -> None:
    """Train the first epochs with synthetic tumors alone; the same training then goes on with its own share.

    A training that was cut off later has more epochs behind it and must not pass here again.
    """
    if not epochs or note.exists():
        return
    changed = {"synthetic_share": 1.0, "max_epochs": epochs, "cooldown_epochs": 0}
    run_bundle(bundle, ("train.json",), {**settings, **changed}, line)
    note.write_text(f"{epochs} epochs\n", encoding="utf-8")


def _common(run: Run, place: Workplace) -> dict[str, Any]:
    return {"dataset_dir": str(place.dataset_dir), "datalist": str(place.paths[run.split])}
