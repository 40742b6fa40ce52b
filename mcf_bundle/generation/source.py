"""What a generation draws on: training cases, hosts, donors, and real tumors for the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from mcf_bundle.arguments import check_fields, check_instance, check_number
from mcf_bundle.data.case import Case
from mcf_bundle.data.datalist import REAL, Datalist, check_same_patients, check_train_only, make_datalist
from mcf_bundle.data.level import LevelTemplate
from mcf_bundle.data.lgg import Cohort
from mcf_bundle.data.pool import Donor, DonorRules, Host, HostRules, Pool, find_donors, find_hosts
from mcf_bundle.data.splits import TEST, TRAIN, VALIDATION
from mcf_bundle.data.survey import Survey, survey_volumes
from mcf_bundle.errors import PlanError
from mcf_bundle.networks.checkpoint import Checkpoint, hash_patient
from mcf_bundle.networks.known_patients import refuse_known


@dataclass(frozen=True)
class PoolRules:
    """Which slices may be hosts and donors.

    Attributes:
        host: rules for hosts.
        donor: rules for donors.
        min_correlation: least correlation to the level template of a patient whose levels are reliable.
        max_disagreement: largest difference of such a patient's levels from what the head's extent says.

    Raises:
        ArgumentError: a field has another type or lies outside its range.
    """

    host: HostRules = field(default_factory=HostRules)
    donor: DonorRules = field(default_factory=DonorRules)
    min_correlation: float = 0.80
    max_disagreement: float = 0.15

    def __post_init__(self) -> None:
        check_fields(
            self,
            {
                "host": partial(check_instance, kind=HostRules),
                "donor": partial(check_instance, kind=DonorRules),
                "min_correlation": partial(check_number, least=-1, most=1),
                "max_disagreement": partial(check_number, least=0),
            },
        )


class GenerationSource:
    """The training patients of a datalist, measured, with their hosts and donors.

    Validation patients are read for the gate's rejection rate alone; test patients are not read. Slices that
    the datalist leaves out are no hosts, no donors and no real tumors; see `Case.unlisted`.

    Args:
        cohort: all patients that could be read.
        datalist: who trains, validates and tests.
        rules: which slices may be hosts and donors.

    Raises:
        LeakageError: if the datalist was split by slice, or a patient stands in several splits.
        PlanError: if the training patients have no slices with, or none without tumor.
    """

    def __init__(self, cohort: Cohort, datalist: Datalist, rules: PoolRules) -> None:
        self.cohort, self.datalist = cohort, datalist
        self.rules = rules
        self.splits = datalist.patient_splits()
        check_same_patients(cohort, datalist)
        training = [e for e in datalist.entries if e.split == TRAIN and e.root == REAL]
        self.tumor_count = sum(entry.tumor for entry in training)
        self.healthy_count = len(training) - self.tumor_count
        for count, kind in (
            (self.healthy_count, "healthy slices (all have a mask)"),
            (self.tumor_count, "tumor slices"),
        ):
            if not count:
                raise PlanError(
                    cohort.root, f"the training patients have no {kind}", "add patients that have some"
                )

    @cached_property
    def survey(self) -> Survey:
        """Anatomy of the training patients, and their level template."""
        return self._measure(TRAIN, None)

    @property
    def cases(self) -> Mapping[str, Case]:
        """The training patients by name."""
        return {case.patient: case for case in self.survey.cases}

    def validation_cases(self) -> list[Case]:
        """Return the validation patients, measured with the training patients' template."""
        return list(self._measure(VALIDATION, self.survey.template).cases)

    def _measure(self, split: str, template: LevelTemplate | None) -> Survey:
        return survey_volumes(
            [volume for volume in self.cohort.volumes if self.splits.get(volume.patient) == split],
            template,
            min_correlation=self.rules.min_correlation,
            max_disagreement=self.rules.max_disagreement,
        ).restricted(self.datalist.listed_slices())

    @cached_property
    def hosts(self) -> Pool[Host]:
        """Slices that may receive a tumor.

        Raises:
            PlanError: if there are none.
        """
        return self._checked(find_hosts(self.survey.cases, self.rules.host), "host")

    @cached_property
    def donors(self) -> Pool[Donor]:
        """Slices that may lend a tumor.

        Raises:
            PlanError: if there are none.
        """
        return self._checked(find_donors(self.survey.cases, self.rules.donor), "donor")

    def _checked(self, pool: Pool, kind: str) -> Pool:
        if not pool.members:
            worst = ", ".join(f"{rule} {count}" for rule, count in pool.excluded.items() if count)
            problem = f"none of {pool.considered} training slices can be a {kind} ({worst})"
            raise PlanError(self.cohort.root, problem, "add patients, or relax the rules")
        check_train_only(self.datalist, pool.patients)
        return pool


def pinned_patients(
    patients: Sequence[str], checkpoints: Sequence[Checkpoint]
) -> tuple[list[str], list[str]]:
    """Return the patients that a checkpoint was trained on, and further ones that it was chosen on.

    Both are told by the hashes that checkpoints store.
    """
    hashes = {patient: hash_patient(patient) for patient in patients}
    trained = frozenset().union(*(checkpoint.patients for checkpoint in checkpoints))
    chosen = frozenset().union(*(checkpoint.validation_patients for checkpoint in checkpoints)) - trained
    return (
        [patient for patient in patients if hashes[patient] in trained],
        [patient for patient in patients if hashes[patient] in chosen],
    )


def split_around(
    cohort: Cohort, checkpoints: Sequence[Checkpoint], split_seed: int
) -> tuple[Datalist, list[str]]:
    """Split a cohort so that nobody is evaluated on whom a checkpoint knows.

    Patients that a checkpoint was trained on train; those on whom its epoch was chosen are validated on.
    They alone move.

    Returns:
        The datalist, and the patients that were pinned to training for it.
    """
    trained, chosen = pinned_patients([volume.patient for volume in cohort.volumes], checkpoints)
    datalist = make_datalist(cohort, split_seed=split_seed, pinned_to_train=trained)
    entries = tuple(
        replace(entry, split=VALIDATION) if entry.root == REAL and entry.patient in chosen else entry
        for entry in datalist.entries
    )
    return replace(datalist, entries=entries), trained


def check_unseen(datalist: Datalist, checkpoints: Mapping[str, Checkpoint]) -> None:
    """Refuse checkpoints that were trained on a validation or test patient, or chosen on a test patient.

    Raises:
        LeakageError: names the checkpoint and the patient.
    """
    splits = datalist.patient_splits()
    for path, checkpoint in checkpoints.items():
        for evaluated in (VALIDATION, TEST):
            patients = [patient for patient, split in splits.items() if split == evaluated]
            refuse_known(patients, checkpoint, where=path, split=evaluated)
