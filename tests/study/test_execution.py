"""Which checkpoints a study takes, and how its trainings are parted."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcf_bundle.data.datalist import Datalist
from mcf_bundle.data.lgg import read_cohort
from mcf_bundle.data.splits import TEST, TRAIN, VALIDATION
from mcf_bundle.errors import DataError, LeakageError
from mcf_bundle.networks.checkpoint import save_checkpoint
from mcf_bundle.study.config import Model
from mcf_bundle.study.execution import Workplace, epochs_alone, evaluate, refuse_leaks
from mcf_bundle.study.folder import StudyFolder
from mcf_bundle.study.runs import ModelRun, list_runs
from mcf_bundle.study.splits import make_datalists, patients_of
from tests.study.studies import make_config


@pytest.fixture(scope="module")
def datalist(phantom_cohort: Path) -> Datalist:
    return next(iter(make_datalists(read_cohort(phantom_cohort), make_config()).values()))


def write_checkpoint(path: Path, patients: list[str], validation: tuple[str, ...] = ()) -> Path:
    save_checkpoint(
        path, {}, preset="smoke", kind="gate", patients=patients, validation_patients=validation, info={}
    )
    return path


def test_a_checkpoint_of_the_training_patients_passes(datalist: Datalist, tmp_path: Path) -> None:
    chosen = tuple(patients_of(datalist, VALIDATION))
    refuse_leaks(write_checkpoint(tmp_path / "a.pt", patients_of(datalist, TRAIN), chosen), datalist)


@pytest.mark.parametrize("split", [VALIDATION, TEST])
def test_a_checkpoint_that_shares_a_patient_with_an_evaluation_set_is_refused(
    datalist: Datalist, tmp_path: Path, split: str
) -> None:
    known = [*patients_of(datalist, TRAIN), patients_of(datalist, split)[-1]]
    with pytest.raises(LeakageError, match=f"trained on patient {known[-1]}, who belongs to the {split} set"):
        refuse_leaks(write_checkpoint(tmp_path / "a.pt", known), datalist)


def test_a_checkpoint_that_was_chosen_on_a_test_patient_is_refused(
    datalist: Datalist, tmp_path: Path
) -> None:
    chosen = (patients_of(datalist, TEST)[0],)
    with pytest.raises(LeakageError, match="chosen by its results on"):
        refuse_leaks(write_checkpoint(tmp_path / "a.pt", patients_of(datalist, TRAIN), chosen), datalist)


def test_a_checkpoint_without_a_list_of_patients_is_refused(datalist: Datalist, tmp_path: Path) -> None:
    with pytest.raises(LeakageError, match="carries no list of the patients"):
        refuse_leaks(write_checkpoint(tmp_path / "a.pt", []), datalist)


@pytest.mark.parametrize(
    ("share", "epochs", "alone"), [(0, 60, 0), (0.5, 60, 30), (0.9, 2, 1), (0.05, 8, 1), (0.5, 1, 0)]
)
def test_an_epoch_is_left_for_the_arm_s_own_share(share: float, epochs: int, alone: int) -> None:
    model = Model("tumor_segmentation", {"epoch_length": 1, "max_epochs": epochs})
    assert epochs_alone(share, model) == alone


def test_a_training_without_a_best_epoch_is_named_with_the_reason(tmp_path: Path) -> None:
    config = make_config()
    run = next(run for run in list_runs(config) if isinstance(run, ModelRun))
    place = Workplace(config, tmp_path, StudyFolder(tmp_path / "study"), {}, {})
    with pytest.raises(DataError, match=r"has no model_best.pt: no epoch had a figure .* validation_share"):
        evaluate(run, place)
