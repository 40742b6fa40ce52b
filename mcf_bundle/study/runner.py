"""Do what is left of a study, run by run; killed at any moment and started again, it goes on."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mcf_bundle.arguments import as_path
from mcf_bundle.data.kept import kept_between_runs
from mcf_bundle.data.lgg import read_cohort
from mcf_bundle.folder_lock import claimed
from mcf_bundle.run_record import describe_run, device_name
from mcf_bundle.study.config import StudyConfig
from mcf_bundle.study.costs import cost_table
from mcf_bundle.study.execution import Workplace, check_given_checkpoints, check_ids, execute
from mcf_bundle.study.folder import StudyFolder
from mcf_bundle.study.gather import gather
from mcf_bundle.study.judged_images import read_judged
from mcf_bundle.study.learning_curves import learning_curves
from mcf_bundle.study.prediction_pictures import draw_prediction_pictures
from mcf_bundle.study.report import write_report
from mcf_bundle.study.runs import Cost, Run, duration, estimate, left, list_runs
from mcf_bundle.study.splits import make_datalists, write_datalists

logger = logging.getLogger(__name__)


def print_runs(config: StudyConfig, output_dir: Path) -> None:
    """Print all runs of a study with their cost and what is done; nothing is written.

    Raises:
        StudyError: `output_dir` holds results of another configuration.
        DataError: `output_dir` cannot be used.
        ArgumentError: an override names an id that does not exist.
    """
    check_ids(config)
    folder = StudyFolder(as_path(output_dir, "output_dir"))
    folder.check(config)
    runs = list_runs(config)
    sys.stdout.write("\n".join(_table(runs, _costs(runs, folder, config))) + "\n")


def run_study(
    config: StudyConfig, dataset_dir: Path, output_dir: Path, *, line: Sequence[str] = ()
) -> dict[str, Path]:
    """Do the runs that are left, then gather their cases and write the report.

    Several processes that are started on one folder share the runs.

    Args:
        config: the study.
        dataset_dir: the real patients, in the LGG layout.
        output_dir: the study's folder; new, empty, or the same study's.
        line: the command line, for the records.

    Returns:
        The gathered table by task.

    Raises:
        StudyError: a run failed (the message names it), or the folder holds another configuration's results.
        McfError: for bad data, settings or leaks, before the first run.
    """
    started = time.time()
    check_ids(config)
    folder = StudyFolder(as_path(output_dir, "output_dir"))
    folder.check(config)
    cohort = read_cohort(as_path(dataset_dir, "dataset_dir"))
    datalists = make_datalists(cohort, config)
    check_given_checkpoints(config, ((split.name, item) for split, item in datalists.items()))
    folder.open_for(config)
    paths = write_datalists(datalists, folder.splits)
    place = Workplace(config, cohort.root, folder, datalists, paths, tuple(line))
    runs = list_runs(config)
    _do(runs, place)
    with claimed(folder.path, wait=True):
        tables = gather(runs, folder, config)
        _report(tables, place, _provenance(runs, place, started))
    return tables


def _do(runs: Sequence[Run], place: Workplace) -> None:
    """Do the runs that are not done, in order."""

    def do(run: Run) -> str:
        costs = _costs(runs, place.folder, place.config)
        remaining = sum(cost.seconds for cost in costs.values() if cost.source != "done")
        number = runs.index(run) + 1
        logger.info("%d of %d: %s, about %s left", number, len(runs), run.id, duration(remaining))
        return execute(run, place)

    with kept_between_runs():
        place.folder.carry_out(runs, place.config, do, piece="run", whole="study")


def _costs(runs: Sequence[Run], folder: StudyFolder, config: StudyConfig) -> dict[str, Cost]:
    """Return what each run costs."""
    records = _records(runs, folder, config)
    seconds = {name: float(record["seconds"]) for name, record in records.items()}
    return estimate(runs, seconds, [name for name, record in records.items() if not record["whole"]])


def _records(runs: Sequence[Run], folder: StudyFolder, config: StudyConfig) -> dict[str, Mapping[str, Any]]:
    """Return the records of the finished runs by id."""
    return {run.id: record for run in runs if (record := folder.done(run, config)) is not None}


def _table(runs: Sequence[Run], costs: Mapping[str, Cost]) -> list[str]:
    width = max(len(run.id) for run in runs)
    lines = [
        f"{run.id:<{width}}  {duration(costs[run.id].seconds):>12}  {costs[run.id].source}" for run in runs
    ]
    remaining = left(runs, [name for name, cost in costs.items() if cost.source == "done"])
    seconds = sum(costs[run.id].seconds for run in remaining)
    guessed = " (guesses are for two CPU cores)" if any(c.source == "guess" for c in costs.values()) else ""
    lines.append(
        f"{len(runs) - len(remaining)} of {len(runs)} runs done, about {duration(seconds)} left{guessed}"
    )
    return lines


def _provenance(runs: Sequence[Run], place: Workplace, started: float) -> dict[str, Any]:
    """Return the finished runs' records and this start, for the report.

    Seeds and config are the study's, and stand in the report beside this.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    described = describe_run(seed=None, device=device_name(device), started=started)
    start = {name: value for name, value in described.items() if name not in ("seed", "config")}
    return {
        "hash": place.config.hash,
        # The runs of this process had command lines of their own, which it remembers in place of the study's.
        "last_start": {**start, "command_line": list(place.line)},
        "runs": [dict(record) for record in _records(runs, place.folder, place.config).values()],
    }


def _report(tables: Mapping[str, Path], place: Workplace, provenance: Mapping[str, Any]) -> None:
    runs = list_runs(place.config)
    drawn = draw_prediction_pictures(runs, place)
    write_report(
        place.folder.path,
        segmentation_csv=tables.get("segmentation"),
        volumes_csv=tables.get("volumes"),
        classification_csv=tables.get("classification"),
        levels_csv=tables.get("levels"),
        curves=learning_curves(runs, place.folder, place.config),
        pictures=drawn.files,
        images=read_judged(runs, place.folder, place.config),
        costs=cost_table(runs, _records(runs, place.folder, place.config)),
        warnings=drawn.warnings,
        config=place.config,
        provenance=provenance,
    )
