from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from mcf_bundle.errors import DataError, StudyError
from mcf_bundle.metrics.case_table import (
    CLASSIFICATION_COLUMNS,
    LEVEL_COLUMNS,
    SEGMENTATION_COLUMNS,
    classification_row,
    write_case_table,
)
from mcf_bundle.study.config import StudyConfig
from mcf_bundle.study.folder import StudyFolder
from mcf_bundle.study.gather import CASES_FILE, VOLUMES_FILE, gather
from mcf_bundle.study.run_cases import RUN_COLUMNS, read_runs
from mcf_bundle.study.runs import ModelRun, list_runs
from mcf_bundle.training.classification_report import LEVEL_CASES_FILE
from tests.study.studies import make_config

COLUMNS = {
    "segmentation": SEGMENTATION_COLUMNS,
    "volumes": SEGMENTATION_COLUMNS,
    "classification": CLASSIFICATION_COLUMNS,
    "levels": LEVEL_COLUMNS,
}
CONFIG = make_config(seeds=[2, 10])
RUNS = list_runs(CONFIG)
MODELS = [run for run in RUNS if isinstance(run, ModelRun)]


def rows_of(run: ModelRun) -> list[dict[str, Any]]:
    """Three cases, not in order; the numbers tell the run."""
    values = [("B", 2), ("A", 10), ("A", 9)]
    if run.task == "classification":
        return [classification_row(1, run.seed / 100, patient=p, slice_number=n) for p, n in values]
    empty = {name: 0.1 if column.kind is float else 1 for name, column in SEGMENTATION_COLUMNS.items()}
    texts = {"empty_policy": "penalize", "unit": "pixel"}
    return [{**empty, **texts, "case": f"{p}_{n}", "patient": p, "slice": n} for p, n in values]


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    """A study whose models are all done."""
    made = StudyFolder(tmp_path)
    for run in MODELS:
        write_case_table(made.of(run.id) / CASES_FILE, rows_of(run), COLUMNS[run.task])
        if run.task == "segmentation":
            volumes = [{**row, "case": row["patient"], "slice": None} for row in rows_of(run)[:2]]
            write_case_table(made.of(run.id) / VOLUMES_FILE, volumes, SEGMENTATION_COLUMNS)
        else:
            levels = [{**row, "leveled": 1, "matched": 0} for row in rows_of(run)]
            write_case_table(made.of(run.id) / LEVEL_CASES_FILE, levels, LEVEL_COLUMNS)
        finish(made, run, CONFIG)
    return made


def finish(folder: StudyFolder, run: ModelRun, config: StudyConfig) -> None:
    folder.finish(run, config, seconds=1.0, whole=True, remark="")


def test_every_case_stands_there_once_with_its_run(folder: StudyFolder) -> None:
    for name, path in gather(RUNS, folder, CONFIG).items():
        task = {"volumes": "segmentation", "levels": "classification"}.get(name, name)
        cases = 2 if name == "volumes" else 3
        with path.open(newline="") as file:
            header, *lines = csv.reader(file)
        assert header == [*RUN_COLUMNS, *COLUMNS[name]]
        assert len(lines) == cases * sum(run.task == task for run in MODELS)
        keys = {(*line[: len(RUN_COLUMNS)], line[header.index("case")]) for line in lines}
        assert len(keys) == len(lines)


def test_rows_are_sorted_by_run_with_seeds_as_numbers_then_patient_and_slice(folder: StudyFolder) -> None:
    path = gather(RUNS, folder, CONFIG)["classification"]
    found = list(read_runs(path, CLASSIFICATION_COLUMNS))
    assert [run.seed for run, _ in found[:2]] == [2, 10]
    assert [run for run, _ in found] == sorted(run for run, _ in found)
    for run, rows in found:
        assert [row["case"] for row in rows] == ["A_9", "A_10", "B_2"]
        assert {row["probability"] for row in rows} == {run.seed / 100}


def test_a_run_that_is_not_done_is_refused(folder: StudyFolder) -> None:
    (folder.of(MODELS[3].id) / "done.json").unlink()
    with pytest.raises(StudyError, match="is not done"):
        gather(RUNS, folder, CONFIG)


def test_results_of_another_configuration_are_refused(folder: StudyFolder) -> None:
    finish(folder, MODELS[0], make_config(split_seed=1, seeds=[2, 10]))
    with pytest.raises(StudyError, match="result of another configuration"):
        gather(RUNS, folder, CONFIG)


def test_a_run_in_the_place_of_another_is_refused(folder: StudyFolder) -> None:
    source, target = (folder.of(run.id) / "done.json" for run in MODELS[:2])
    target.write_bytes(source.read_bytes())
    with pytest.raises(StudyError, match=f"another configuration or run \\({MODELS[0].id}\\)"):
        gather(RUNS, folder, CONFIG)


def test_a_case_that_stands_twice_is_refused(folder: StudyFolder) -> None:
    path = folder.of(MODELS[0].id) / CASES_FILE
    path.write_text(path.read_text() + path.read_text().splitlines()[-1] + "\n")
    with pytest.raises(StudyError, match="case A_9 stands twice in cross_validation/unet/strong"):
        gather(RUNS, folder, CONFIG)


def test_a_run_given_twice_is_refused(folder: StudyFolder) -> None:
    with pytest.raises(StudyError, match="stands twice"):
        gather([*RUNS, MODELS[0]], folder, CONFIG)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n"])
def test_what_is_no_case_table_is_refused(folder: StudyFolder, text: str) -> None:
    (folder.of(MODELS[0].id) / CASES_FILE).write_text(text)
    with pytest.raises(DataError, match="has other columns"):
        gather(RUNS, folder, CONFIG)


@pytest.mark.parametrize("name", [CASES_FILE, VOLUMES_FILE])
def test_a_missing_table_is_refused(folder: StudyFolder, name: str) -> None:
    (folder.of(MODELS[0].id) / name).unlink()
    with pytest.raises(DataError, match="cannot be read"):
        gather(RUNS, folder, CONFIG)
