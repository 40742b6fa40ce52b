"""A study on the phantom, undisturbed and killed; and the runner's rules with runs that do little."""

from __future__ import annotations

import csv
import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mcf_bundle.__main__ import main
from mcf_bundle.data.datalist import Datalist, read_datalist
from mcf_bundle.data.lgg import read_cohort, read_volume
from mcf_bundle.data.splits import TEST, TRAIN, VALIDATION
from mcf_bundle.errors import CheckpointError, DataError, LeakageError, StudyError
from mcf_bundle.folder_lock import claimed
from mcf_bundle.metrics.case_table import classification_row, segmentation_row, write_case_table
from mcf_bundle.networks.checkpoint import hash_patient, read_checkpoint, save_checkpoint
from mcf_bundle.run_record import forget_command, remember_command
from mcf_bundle.study import runner
from mcf_bundle.study.config import Arm, Generator
from mcf_bundle.study.execution import BEST, TRAINING_FOLDER, Workplace, execute
from mcf_bundle.study.folder import StudyFolder
from mcf_bundle.study.gather import CASES_FILE, GATHERED
from mcf_bundle.study.hardware import describe_hardware
from mcf_bundle.study.prediction_pictures import predict
from mcf_bundle.study.predictions import choose_slices
from mcf_bundle.study.runner import print_runs, run_study
from mcf_bundle.study.runs import ModelRun, NetworkRun, Run, SetRun, list_runs
from mcf_bundle.study.splits import make_datalists, patients_of
from tests.long.killing import from_the_start, see_through
from tests.study.studies import make_config, smoke_config

KILLS = 2
TABLES = ("cases_segmentation.csv", "cases_volumes.csv", "cases_classification.csv", "cases_levels.csv")


CONFIG = smoke_config()


slow = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyFolder, float]:
    """A whole study that nobody disturbed, and the seconds that it took."""
    folder, started = StudyFolder(tmp_path_factory.mktemp("study") / "out"), time.monotonic()
    run_study(CONFIG, phantom_cohort, folder.path)
    return folder, time.monotonic() - started


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in TABLES}


def hashes(datalist: Datalist, *splits: str) -> set[str]:
    return {hash_patient(patient) for split in splits for patient in patients_of(datalist, split)}


# --- A whole study -----------------------------------------------------------------------------------


@slow
def test_every_run_is_done_and_every_test_slice_is_scored_once_in_each(
    finished: tuple[StudyFolder, float],
) -> None:
    folder, _ = finished
    runs = list_runs(CONFIG)
    assert all(folder.done(run, CONFIG) is not None for run in runs)
    with (folder.path / TABLES[0]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    for fold in ("0", "1"):
        datalist = read_datalist(folder.splits / f"f{fold}-p100.json")
        expected = {f"{e.patient}_{e.slice}" for e in datalist.entries if e.split == TEST}
        for arm in CONFIG.arms:
            scored = Counter(row["case"] for row in rows if (row["fold"], row["arm"]) == (fold, arm))
            assert scored == Counter(expected)


def test_there_is_a_report_of_the_study(finished: tuple[StudyFolder, float]) -> None:
    folder, _ = finished
    page = (folder.path / "report.html").read_text()
    assert "<html" in page
    assert page.count("data:image/png;base64,") == 1
    assert "No predictions" not in page


def test_predictions_are_shown_as_they_were_scored(
    finished: tuple[StudyFolder, float], phantom_cohort: Path
) -> None:
    folder, _ = finished
    run = next(r for r in list_runs(CONFIG) if isinstance(r, ModelRun) and r.model == "unet")
    test = patients_of(read_datalist(folder.splits / f"{run.split.name}.json"), TEST)
    slices = choose_slices([read_volume(phantom_cohort / name) for name in test], 0)
    masks = predict(folder.of(run.id) / TRAINING_FOLDER / BEST, slices, test)
    with (folder.of(run.id) / CASES_FILE).open(newline="") as file:
        pixels = {row["case"]: int(row["prediction_pixels"]) for row in csv.DictReader(file)}
    for item, mask in zip(slices, masks, strict=True):
        case = f"{item.volume.patient}_{item.volume.slice_numbers[item.index]}"
        assert int(mask.sum()) == pytest.approx(pixels[case], rel=0.01)


def test_a_finished_study_can_be_judged_later(
    finished: tuple[StudyFolder, float], phantom_cohort: Path, tmp_path: Path
) -> None:
    config, folder = replace(CONFIG, judge=["mcf"]), StudyFolder(tmp_path / "out")
    shutil.copytree(finished[0].path, folder.path)
    before = {path: path.read_bytes() for path in folder.path.rglob("done.json")}
    run_study(config, phantom_cohort, folder.path)
    assert [p.parent for p in folder.path.rglob("done.json") if p not in before] == [
        folder.of("judged/mcf/f0-p100")
    ]
    assert all(path.read_bytes() == content for path, content in before.items())
    # Four images are too few to be judged.
    assert "Images of mcf: not judged: " in (folder.path / "report.html").read_text()


def test_no_network_saw_a_patient_of_an_evaluation_set(finished: tuple[StudyFolder, float]) -> None:
    folder, _ = finished
    for run in list_runs(CONFIG):
        if isinstance(run, SetRun):
            continue
        datalist = read_datalist(folder.splits / f"{run.split.name}.json")
        place = folder.of(run.id) / (TRAINING_FOLDER if isinstance(run, ModelRun) else "")
        checkpoint = read_checkpoint(place / BEST)
        assert checkpoint.patients >= hashes(datalist, TRAIN)
        assert not checkpoint.patients & hashes(datalist, VALIDATION, TEST)
        assert checkpoint.validation_patients == hashes(datalist, VALIDATION)


def test_synthetic_slices_show_training_patients_alone(finished: tuple[StudyFolder, float]) -> None:
    folder, _ = finished
    for run in list_runs(CONFIG):
        if isinstance(run, SetRun):
            lines = (folder.of(run.id) / "manifest.jsonl").read_text().splitlines()
            records = [json.loads(line) for line in lines]
            shown = {record[role]["patient"] for record in records for role in ("host", "donor")}
            datalist = read_datalist(folder.splits / f"{run.split.name}.json")
            assert shown
            assert shown <= set(patients_of(datalist, TRAIN))


def test_every_arm_takes_the_same_number_of_steps(finished: tuple[StudyFolder, float]) -> None:
    folder, _ = finished
    steps: dict[str, set[int]] = {}
    for run in list_runs(CONFIG):
        if isinstance(run, ModelRun):
            state = torch.load(folder.of(run.id) / TRAINING_FOLDER / "training_state.pt", weights_only=True)
            record = json.loads((folder.of(run.id) / TRAINING_FOLDER / "run.json").read_text())["runs"][-1]
            assert record["config"]["patience"] is None
            length = record["config"]["epoch_length"]
            steps.setdefault(run.model, set()).add(state["epoch"] * length)
    assert steps == {name: {model.steps} for name, model in CONFIG.models.items()}


@slow
def test_a_study_that_is_killed_again_and_again_ends_with_the_same_cases(
    finished: tuple[StudyFolder, float], phantom_cohort: Path, tmp_path: Path
) -> None:
    folder, seconds = finished
    work = from_the_start(partial(run_study, CONFIG, phantom_cohort, tmp_path / "out"))
    # A third of the time: the machine may be faster now than when it was taken.
    survived = see_through(work, random.Random(0), longest_s=seconds / 3, most_kills=KILLS)
    assert survived.kills > 0
    assert contents(tmp_path / "out") == contents(folder.path)


def test_pretraining_goes_over_into_the_same_training_and_does_not_start_again(
    finished: tuple[StudyFolder, float], phantom_cohort: Path, tmp_path: Path
) -> None:
    arms = {**CONFIG.arms, "strong_composites": Arm("strong", 0.5, "composites", 0.0, pretraining=0.5)}
    config, folder = replace(CONFIG, arms=arms), StudyFolder(tmp_path)
    run = next(r for r in list_runs(config) if isinstance(r, ModelRun) and r.arm == "strong_composites")
    shutil.copytree(finished[0].of(run.needs[0]), folder.of(run.needs[0]))
    folder.of(run.id).mkdir(parents=True)
    datalists = make_datalists(read_cohort(phantom_cohort), config)
    paths = {split: finished[0].splits / f"{split.name}.json" for split in datalists}
    for _ in range(2):
        execute(run, Workplace(config, phantom_cohort, folder, datalists, paths))
    starts = json.loads((folder.of(run.id) / TRAINING_FOLDER / "run.json").read_text())["runs"]
    shares = [item["config"]["synthetic_share"] for item in starts]
    epochs = [(item["resumed_after_epoch"], item["last_epoch"]) for item in starts]
    assert (shares, epochs) == ([1.0, 0.0, 0.0], [(0, 1), (1, 2), (2, 2)])


def test_a_finished_study_runs_nothing_again(
    finished: tuple[StudyFolder, float], phantom_cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = finished
    monkeypatch.setattr(runner, "execute", lambda *_: pytest.fail("a run was done again"))
    before = contents(folder.path)
    run_study(CONFIG, phantom_cohort, folder.path)
    assert contents(folder.path) == before


# --- The runner's rules, with runs that write a case each ------------------------------------------

SMALL = make_config(validation_share=0.25)
FULL_MASK = np.ones((4, 4), bool)
SEGMENTED = partial(segmentation_row, FULL_MASK, FULL_MASK)
CLASSIFIED = partial(classification_row, 1, 0.5)
ROWS: dict[str, Callable[..., dict[str, Any]]] = {
    "segmentation": SEGMENTED,
    "volumes": SEGMENTED,
    "classification": CLASSIFIED,
    "levels": lambda **case: {**CLASSIFIED(**case), "leveled": 1, "matched": 0},
}


def write_cases(run: Run, place: Workplace) -> str:
    """Stand in for a run: one case a test patient in each table that is gathered."""
    if isinstance(run, ModelRun):
        patients = patients_of(place.datalists[run.split], TEST)
        for name, table in GATHERED.items():
            if table.task == run.task:
                number = None if name == "volumes" else 1
                rows = [ROWS[name](patient=patient, slice_number=number) for patient in patients]
                write_case_table(place.folder.of(run.id) / table.source, rows, table.columns)
    return "a remark" if isinstance(run, NetworkRun) else ""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the runs that were done, in place of their work."""
    done: list[str] = []

    def execute(run: Run, place: Workplace) -> str:
        done.append(run.id)
        return write_cases(run, place)

    monkeypatch.setattr(runner, "execute", execute)
    monkeypatch.setattr(runner, "write_report", lambda *_, **__: None)
    return done


def test_runs_are_done_once_in_their_order(phantom_cohort: Path, tmp_path: Path, calls: list[str]) -> None:
    tables = run_study(SMALL, phantom_cohort, tmp_path)
    assert calls == [run.id for run in list_runs(SMALL)]
    assert tables.keys() == GATHERED.keys()
    calls.clear()
    assert run_study(SMALL, phantom_cohort, tmp_path) == tables
    assert calls == []


def test_the_report_gets_the_command_line_and_every_record_with_its_hardware(
    phantom_cohort: Path, tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, Any] = {}
    monkeypatch.setattr(runner, "write_report", lambda _, **given: found.update(given["provenance"]))
    words = ("mcf-bundle", "study", "--scale", "smoke")
    # What a run of the same process was started with is not what the study was started with.
    remember_command(["train"], {"seed": 3})
    run_study(SMALL, phantom_cohort, tmp_path, line=words)
    forget_command()
    assert found["last_start"]["command_line"] == list(words)
    assert not {"seed", "config"} & found["last_start"].keys()
    assert [record["id"] for record in found["runs"]] == [run.id for run in list_runs(SMALL)]
    assert all(record["hardware"] == describe_hardware() for record in found["runs"])


def test_a_run_that_lacks_its_record_is_done_again(
    phantom_cohort: Path, tmp_path: Path, calls: list[str]
) -> None:
    run_study(SMALL, phantom_cohort, tmp_path)
    folder, lost = StudyFolder(tmp_path), list_runs(SMALL)[4]
    (folder.of(lost.id) / "done.json").unlink()
    calls.clear()
    run_study(SMALL, phantom_cohort, tmp_path)
    assert calls == [lost.id]
    record = folder.done(lost, SMALL)
    assert record is not None
    assert record["whole"] is False


def test_a_failed_run_stops_the_study_with_its_id_and_the_next_start_goes_on(
    phantom_cohort: Path, tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    working, failing = runner.execute, list_runs(SMALL)[3].id

    def execute(run: Run, place: Workplace) -> str:
        if run.id == failing:
            try:
                raise DataError("gate.pt", "is damaged", "restore it")
            except DataError as error:
                raise RuntimeError("MONAI's") from error
        return working(run, place)

    monkeypatch.setattr(runner, "execute", execute)
    with pytest.raises(StudyError, match=f"{failing}: the run failed: gate.pt: is damaged; restore it"):
        run_study(SMALL, phantom_cohort, tmp_path)
    assert calls == [run.id for run in list_runs(SMALL)[:3]]
    assert not (tmp_path / TABLES[0]).exists()
    monkeypatch.setattr(runner, "execute", working)
    run_study(SMALL, phantom_cohort, tmp_path)
    assert calls == [run.id for run in list_runs(SMALL)]


def test_an_error_that_is_not_ours_keeps_its_type_and_names_the_run(
    phantom_cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "execute", lambda *_: [][0])
    with pytest.raises(IndexError) as caught:
        run_study(SMALL, phantom_cohort, tmp_path)
    assert list_runs(SMALL)[0].id in caught.value.__notes__[0]


def test_the_results_of_another_configuration_are_refused_and_kept(
    phantom_cohort: Path, tmp_path: Path, calls: list[str]
) -> None:
    run_study(SMALL, phantom_cohort, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    other = replace(SMALL, seeds=[1], split_seed=2)
    for again in (partial(run_study, other, phantom_cohort), partial(print_runs, other)):
        with pytest.raises(StudyError, match=r"another configuration \(other seeds, split_seed\)"):
            again(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()} == before


def test_another_dataset_is_refused(phantom_cohort: Path, tmp_path: Path, calls: list[str]) -> None:
    run_study(SMALL, phantom_cohort, tmp_path / "out")
    shutil.copytree(phantom_cohort, tmp_path / "fewer")
    shutil.rmtree(sorted(path for path in (tmp_path / "fewer").iterdir() if path.is_dir())[0])
    with pytest.raises(DataError, match="was made from other patients"):
        run_study(SMALL, tmp_path / "fewer", tmp_path / "out")


def test_a_folder_with_something_else_is_refused(phantom_cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(DataError, match="holds what no study wrote there: thesis"):
        run_study(SMALL, phantom_cohort, tmp_path)


def test_a_process_leaves_what_another_does_and_takes_what_that_gives_up(
    phantom_cohort: Path, tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, runs = tmp_path / "out", [run.id for run in list_runs(SMALL)]
    needed = next(run.needs[0] for run in list_runs(SMALL) if run.needs)
    waiting = {needed}
    for run in list_runs(SMALL):
        waiting |= {run.id} if waiting.intersection(run.needs) else set()
    with ExitStack() as others:
        others.enter_context(claimed(out / ".claims" / needed))

        def give_up(_: float) -> None:
            # Everything is done but what the other process holds and what waits for it.
            assert {name for name in runs if name not in calls} == waiting
            others.close()

        monkeypatch.setattr("mcf_bundle.study.folder.time.sleep", give_up)
        run_study(SMALL, phantom_cohort, out)
    assert sorted(calls) == sorted(runs)
    assert calls.index(needed) < min(calls.index(name) for name in waiting - {needed})


def test_a_run_that_another_process_finished_meanwhile_is_not_made_again(
    phantom_cohort: Path, tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = list_runs(SMALL)[0]

    @contextmanager
    def claimed_too_late(folder: Path, **options: bool) -> Iterator[None]:
        if folder.as_posix().endswith(f"/.claims/{first.id}"):
            StudyFolder(tmp_path).of(first.id).mkdir(parents=True, exist_ok=True)
            StudyFolder(tmp_path).finish(first, SMALL, seconds=1, whole=True, remark="")
        with claimed(folder, **options):
            yield

    monkeypatch.setattr("mcf_bundle.study.folder.claimed", claimed_too_late)
    with suppress(DataError):  # nothing was measured in the first run
        run_study(SMALL, phantom_cohort, tmp_path)
    assert calls
    assert first.id not in calls


def test_a_dry_run_lists_runs_costs_and_what_is_done_and_writes_nothing(
    phantom_cohort: Path, tmp_path: Path, calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    print_runs(SMALL, tmp_path / "out")
    lines = capsys.readouterr().out.splitlines()
    runs = list_runs(SMALL)
    assert [line.split()[0] for line in lines[:-1]] == [run.id for run in runs]
    assert all(line.endswith("guess") for line in lines[:-1])
    assert lines[-1].startswith(f"0 of {len(runs)} runs done, about ")
    assert not (tmp_path / "out").exists()
    run_study(SMALL, phantom_cohort, tmp_path / "out")
    capsys.readouterr()
    print_runs(SMALL, tmp_path / "out")
    lines = capsys.readouterr().out.splitlines()
    assert all(line.endswith("done") for line in lines[:-1])
    assert lines[-1] == f"{len(runs)} of {len(runs)} runs done, about 0 s left"


def test_the_command_reads_a_study_of_the_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--config", "studies/lgg", "--dataset_dir", "x", "--output_dir", str(tmp_path / "out")]
    main(["study", *words, "--scale", "smoke", "--dry_run"])
    assert "segmentation/unet/strong_mcf/f1-p100/s0" in capsys.readouterr().out


def test_a_checkpoint_that_the_config_names_is_judged_before_the_first_run(
    phantom_cohort: Path, tmp_path: Path, calls: list[str]
) -> None:
    everybody = [path.name for path in phantom_cohort.iterdir() if path.is_dir()]
    given = tmp_path / "gate.pt"
    save_checkpoint(given, {}, preset="smoke", kind="gate", patients=everybody, info={})
    config = replace(SMALL, generator=Generator(inference={"gate_ckpt": str(given)}))
    with pytest.raises(LeakageError, match="was trained on patient"):
        run_study(config, phantom_cohort, tmp_path / "out")
    missing = replace(SMALL, generator=Generator(inference={"gate_ckpt": str(tmp_path / "no.pt")}))
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        run_study(missing, phantom_cohort, tmp_path / "out")
    assert calls == []
    assert not (tmp_path / "out").exists()
