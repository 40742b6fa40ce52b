"""What a study compares: arms, synthetic sets, models, seeds, folds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from mcf_bundle.arguments import check_count, check_fields, check_number, check_seed, check_share, check_whole
from mcf_bundle.data.augmentation import AUGMENTATIONS
from mcf_bundle.errors import ArgumentError
from mcf_bundle.study.measures import CLASSIFICATION_MEASURES, COMPARABLE, SEGMENTATION_MEASURES
from mcf_bundle.study.own_ids import check_overrides_of
from mcf_bundle.study.synthetic_sets import SET_KINDS

SCALES = ("smoke", "cpu", "paper")
"""Sizes of a study: phantoms in minutes, real slices on a CPU, full size on a GPU."""

TASKS: Mapping[str, str] = {"tumor_segmentation": "segmentation", "tumor_classification": "classification"}
"""What the models of a bundle do, by the bundle."""

METRICS: Mapping[str, tuple[str, ...]] = {
    "segmentation": tuple(name for name in SEGMENTATION_MEASURES if name in COMPARABLE),
    "classification": tuple(name for name in CLASSIFICATION_MEASURES if name in COMPARABLE),
}
"""What the primary comparison may be about, by task."""

NETWORKS = ("denoiser", "classifier", "gate")
"""What a generation needs trained, in this order."""

CKPT_IDS: Mapping[str, str] = {
    "denoiser": "ckpt",
    "classifier": "classifier_ckpt",
    "gate": "gate_ckpt",
}
"""Id of inference.json that names each network's checkpoint."""

GENERATED, FOLDER = "generated", "folder"
KINDS = (GENERATED, *SET_KINDS, FOLDER)
"""How a synthetic set can be made; a folder comes from a generator of somebody else."""

LEFT_OUT = PATIENTS, TUMORS = ("patients", "tumors")
"""What a fraction can leave out: training patients, or their tumors alone while healthy slices stay."""

SPLIT_FIELD = "{split}"
"""What the name of the split takes the place of in a folder's path."""


@dataclass(frozen=True)
class Arm:
    """What a model is trained on, and how its slices are changed.

    Attributes:
        augmentation: a key of `AUGMENTATIONS`.
        tumor_share: share of tumor slices in an epoch; None takes them as frequent as they come.
        synthetic: name of the set that trains beside the real slices; None for none.
        synthetic_share: share of synthetic slices among the tumor slices; None as they come, 1 leaves real
            tumors out.
        pretraining: share of the optimizer steps, at the beginning, in which all tumor slices are synthetic;
            `synthetic_share` holds for the rest.
    """

    augmentation: str
    tumor_share: float | None
    synthetic: str | None = None
    synthetic_share: float | None = None
    pretraining: float = 0.0

    def __post_init__(self) -> None:
        check_known("Arm.augmentation", self.augmentation, AUGMENTATIONS)
        for name in ("tumor_share", "synthetic_share"):
            if getattr(self, name) is not None:
                check_share(f"Arm.{name}", getattr(self, name))
        check_number("Arm.pretraining", self.pretraining, least=0, below=1)
        if self.synthetic is None and (self.synthetic_share is not None or self.pretraining):
            field_name = "pretraining" if self.pretraining else "synthetic_share"
            raise ArgumentError(f"Arm.{field_name}", "there is no synthetic set", "name one as synthetic")


@dataclass(frozen=True)
class SyntheticSet:
    """How synthetic slices are made, or where they are.

    Attributes:
        kind: one of `KINDS`.
        of: name of the generated set whose rows a derived one repeats; None for the other kinds.
        overrides: ids of inference.json for a generated set; `seed` alone for a derived one; none for a
            folder.
        denoiser: ids of train.json that this set's denoiser is trained with on top of the generator's; none
            shares the denoiser with the other sets.
        path: of a folder, see `given_set`, with `SPLIT_FIELD` in it: each fold and fraction has its own. None
            for the other kinds.
    """

    kind: str
    of: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    denoiser: Mapping[str, Any] = field(default_factory=dict)
    path: str | None = None

    def __post_init__(self) -> None:
        check_known("SyntheticSet.kind", self.kind, KINDS)
        derived = self.kind in SET_KINDS
        if derived and self.of is None:
            problem = "the generated set is missing"
            raise ArgumentError("SyntheticSet.of", problem, "name a set of kind 'generated'")
        if not derived and self.of is not None:
            raise ArgumentError(
                "SyntheticSet.of", f"a set of kind {self.kind!r} is of no other", "leave it out"
            )
        check_overrides_of("SyntheticSet.overrides", self.overrides, "inference")
        check_overrides_of("SyntheticSet.denoiser", self.denoiser, "network")
        if self.kind != GENERATED:
            for name in self.overrides:
                check_known("SyntheticSet.overrides", name, ("seed",) if derived else ())
            if self.denoiser:
                raise ArgumentError(
                    "SyntheticSet.denoiser", f"{self.kind} trains no denoiser", "leave it out"
                )
        self._check_path()

    def _check_path(self) -> None:
        where = "SyntheticSet.path"
        if self.kind != FOLDER:
            if self.path is not None:
                raise ArgumentError(
                    where, f"a set of kind {self.kind!r} is made by the study", "leave it out"
                )
            return
        check_text(where, self.path)
        if SPLIT_FIELD not in str(self.path):
            problem = f"{self.path!r} is the same for all splits: who trains in one is tested in another"
            raise ArgumentError(where, problem, f"write {SPLIT_FIELD} where the name of the split stands")


@dataclass(frozen=True)
class Model:
    """A network that is trained in every arm.

    Attributes:
        bundle: a key of `TASKS`.
        overrides: ids of its train.json, the same in every arm; `epoch_length` and `max_epochs` among them.
    """

    bundle: str
    overrides: Mapping[str, Any]

    def __post_init__(self) -> None:
        check_known("Model.bundle", self.bundle, TASKS)
        check_overrides_of("Model.overrides", self.overrides, "model")
        for name in ("epoch_length", "max_epochs"):
            # Left to the bundle, the number of steps would grow with the slices of an arm.
            if name not in self.overrides:
                problem = f"{name} is missing: every arm takes the same number of steps"
                raise ArgumentError("Model.overrides", problem, f"set {name}")
            check_count(f"Model.{name}", self.overrides[name])

    @property
    def task(self) -> str:
        """What it does: segmentation or classification."""
        return TASKS[self.bundle]

    @property
    def steps(self) -> int:
        """Optimizer steps of a training."""
        return int(self.overrides["epoch_length"] * self.overrides["max_epochs"])


@dataclass(frozen=True)
class Primary:
    """The one comparison that is fixed before the test patients are opened.

    Attributes:
        model: whose results.
        arm: what is hoped to help.
        against: what it is compared with.
        metric: one of `METRICS` of the model's task.
    """

    model: str
    arm: str
    against: str
    metric: str


@dataclass(frozen=True)
class Generator:
    """Overrides of what makes the synthetic sets, by config file.

    Attributes:
        denoiser: ids of train.json.
        classifier: ids of train_classifier.json.
        gate: ids of train_classifier.json with train_gate.json.
        inference: ids of inference.json for every generated set.
    """

    denoiser: Mapping[str, Any] = field(default_factory=dict)
    classifier: Mapping[str, Any] = field(default_factory=dict)
    gate: Mapping[str, Any] = field(default_factory=dict)
    inference: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in NETWORKS:
            check_overrides_of(f"Generator.{name}", getattr(self, name), "network")
        check_overrides_of("Generator.inference", self.inference, "inference")


@dataclass(frozen=True)
class SliceSplit:
    """What is trained on a split by slice too, which leaks, to show how much that flatters.

    Attributes:
        models: names of models.
        arms: names of arms without synthetic slices.
        seeds: of the trainings, among the study's.
    """

    models: Sequence[str]
    arms: Sequence[str]
    seeds: Sequence[int]


@dataclass(frozen=True)
class StudyConfig:
    """A study at one scale.

    Attributes:
        name: of the study.
        scale: a member of `SCALES`.
        folds: number of cross-validation folds over all patients; or the test patients of each, by name.
        validation_share: share of a fold's other patients that choose the epoch.
        split_seed: seed of every split.
        seeds: of the models' trainings.
        fractions: shares of the training patients, largest first; 1.0 is all of them.
        left_out: member of `LEFT_OUT`: what the other training patients are without.
        institutions: codes of institutions that are left out in turn, with all others training.
        arms: by name, in the order of the report.
        sets: synthetic sets by name, those that an arm uses.
        models: by name, in the order of the report.
        generator: how the generators are trained.
        primary: the comparison that counts.
        slice_split: what is trained on a split by slice beside the folds; None for nothing.
        judge: generated sets whose images are judged, in the first fold with all data.
    """

    name: str
    scale: str
    folds: int | Sequence[Sequence[str]]
    validation_share: float
    split_seed: int
    seeds: Sequence[int]
    fractions: Sequence[float]
    arms: Mapping[str, Arm]
    sets: Mapping[str, SyntheticSet]
    models: Mapping[str, Model]
    generator: Generator
    primary: Primary
    left_out: str = PATIENTS
    institutions: Sequence[str] = ()
    slice_split: SliceSplit | None = None
    judge: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_fields(
            self,
            {
                "validation_share": partial(check_number, above=0, below=1),
                "split_seed": check_seed,
                "folds": _check_folds,
                "seeds": partial(check_list, check=check_seed),
                "fractions": partial(check_list, check=partial(check_number, above=0, most=1)),
                "left_out": partial(check_known, known=LEFT_OUT),
            },
        )
        if self.left_out == TUMORS and min(self.fractions) == 1:
            problem = f"every fraction is 1, so no patient would be without {TUMORS}"
            raise ArgumentError("StudyConfig.left_out", problem, "give a fraction below 1, or leave it out")
        if self.institutions:
            check_list("StudyConfig.institutions", self.institutions, check=check_text)
        for name, arm in self.arms.items():
            if arm.synthetic is not None:
                check_known(f"StudyConfig.arms.{name}.synthetic", arm.synthetic, self.sets)
        generated = [name for name, item in self.sets.items() if item.kind == GENERATED]
        for name, item in self.sets.items():
            if item.of is not None:
                check_known(f"StudyConfig.sets.{name}.of", item.of, generated)
        if self.judge:
            check_list("StudyConfig.judge", self.judge, check=partial(check_known, known=generated))
        self._check_primary()
        if self.slice_split is not None:
            self._check_slice_split(self.slice_split)

    def _check_slice_split(self, asked: SliceSplit) -> None:
        where = "StudyConfig.slice_split"
        check_list(f"{where}.models", asked.models, check=partial(check_known, known=self.models))
        check_list(f"{where}.arms", asked.arms, check=partial(check_known, known=self.arms))
        check_list(f"{where}.seeds", asked.seeds, check=check_seed)
        for name in asked.arms:
            if self.arms[name].synthetic is not None:
                problem = f"{name!r} has synthetic slices: a generator must know no patient who is tested"
                raise ArgumentError(f"{where}.arms", problem, "name arms of real slices alone")
        if strange := [seed for seed in asked.seeds if seed not in self.seeds]:
            problem = f"{strange[0]} is none of the study's seeds, so nothing by patient stands beside it"
            raise ArgumentError(f"{where}.seeds", problem, "choose of the study's")
        if not isinstance(self.folds, int) or 1.0 not in self.fractions:
            problem = "it stands beside numbered folds with all training patients, which are not there"
            raise ArgumentError(where, problem, "give folds as a number, and 1.0 among the fractions")

    @property
    def fold_count(self) -> int:
        """Number of cross-validation folds."""
        return self.folds if isinstance(self.folds, int) else len(self.folds)

    def _check_primary(self) -> None:
        check_known("StudyConfig.primary.model", self.primary.model, self.models)
        for name in ("arm", "against"):
            check_known(f"StudyConfig.primary.{name}", getattr(self.primary, name), self.arms)
        if self.primary.arm == self.primary.against:
            problem = f"{self.primary.arm!r} is compared with itself"
            raise ArgumentError("StudyConfig.primary.against", problem, "name another arm")
        metrics = METRICS[self.models[self.primary.model].task]
        check_known("StudyConfig.primary.metric", self.primary.metric, metrics)

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values, with the keys of the fields.

        Keys that came later are left out where they change nothing: without a split by slice, where fractions
        leave patients out, and the path of a set that has none.
        """
        content: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        if self.slice_split is None:
            del content["slice_split"]
        if self.left_out == PATIENTS:
            del content["left_out"]
        for name, item in self.sets.items():
            if item.path is None:
                del content["sets"][name]["path"]
        return content

    @property
    def identity(self) -> dict[str, Any]:
        """What the results depend on: `as_json` without `judge`, which adds runs and changes none."""
        return {name: value for name, value in self.as_json().items() if name != "judge"}

    @property
    def hash(self) -> str:
        """SHA-256 of `identity`, hexadecimal: what tells results of one configuration from another's."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()


def check_known(name: str, value: Any, known: Iterable[str]) -> None:
    """Refuse a name that does not exist; the message lists those that do.

    Raises:
        ArgumentError: names what came.
    """
    names = list(known)
    if not isinstance(value, str) or value not in names:
        remedy = f"choose one of {', '.join(names)}" if names else "there is none"
        raise ArgumentError(name, f"{value!r} does not exist", remedy)


def check_text(name: str, value: Any) -> None:
    """Refuse what is no text, or an empty one.

    Raises:
        ArgumentError: says what came.
    """
    if not isinstance(value, str) or not value:
        raise ArgumentError(name, f"expected text, got {value!r}", "correct it")


def check_list(name: str, values: Any, *, check: Callable[[str, Any], None]) -> None:
    """Refuse what is no list of different values of a kind.

    Raises:
        ArgumentError: for no list, an empty one, a value twice, or from `check`.
    """
    if not isinstance(values, list | tuple) or not values:
        raise ArgumentError(name, f"expected a list, got {values!r}", "write [value, ...]")
    for value in values:
        check(name, value)
        if list(values).count(value) > 1:
            raise ArgumentError(name, f"{value!r} stands there twice", "keep one of them")


def _check_folds(name: str, folds: Any) -> None:
    if not isinstance(folds, list | tuple):
        check_whole(name, folds, least=2)
        return
    if len(folds) < 2:
        raise ArgumentError(name, f"{len(folds)} fold is no cross-validation", "name two or more")
    owner: dict[str, int] = {}
    for number, patients in enumerate(folds):
        check_list(f"{name}[{number}]", patients, check=check_text)
        for patient in patients:
            if patient in owner:
                problem = f"folds {owner[patient]} and {number} overlap: both test {patient}"
                raise ArgumentError(name, problem, "test each patient in one fold")
            owner[patient] = number
