"""The record of a training in its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events

from mcf_bundle.errors import DataError
from mcf_bundle.training.run_file import RunFileHandler

CPU = torch.device("cpu")


def runs(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "run.json").read_text())["runs"]


def train(folder: Path, epochs: int, *, first_epoch: int = 0, fail_at: int | None = None) -> None:
    """Run an engine of empty epochs; one that is resumed starts after `first_epoch`."""

    def step(engine: Engine, batch: int) -> None:
        if engine.state.epoch == fail_at:
            raise KeyError("stopped")

    engine = Engine(step)
    engine.add_event_handler(Events.STARTED, lambda: setattr(engine.state, "epoch", first_epoch))
    RunFileHandler(folder, seed=7, device=CPU).attach(engine)
    engine.run([0], max_epochs=epochs)


def test_a_training_is_recorded_before_its_first_step(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        train(tmp_path / "run", 3, fail_at=1)
    (entry,) = runs(tmp_path / "run")
    assert (entry["resumed_after_epoch"], entry["last_epoch"], entry["max_epochs"]) == (0, 0, 3)
    assert (entry["seed"], entry["device"], entry["command_line"]) == (7, "cpu", None)


def test_a_training_that_is_killed_says_how_far_it_came(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        train(tmp_path, 5, fail_at=4)
    assert [entry["last_epoch"] for entry in runs(tmp_path)] == [3]


def test_a_resumed_training_adds_an_entry(tmp_path: Path) -> None:
    train(tmp_path, 2)
    (first,) = runs(tmp_path)
    train(tmp_path, 5, first_epoch=2)
    assert runs(tmp_path)[0] == first
    assert [(entry["resumed_after_epoch"], entry["last_epoch"]) for entry in runs(tmp_path)] == [
        (0, 2),
        (2, 5),
    ]


@pytest.mark.parametrize("content", ["{", "[]", '{"plan_id": "0"}', '{"runs": 3}'])
def test_another_file_of_that_name_is_not_overwritten(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(DataError, match=r"run\.json: is no record of trainings .*; move it away"):
        train(tmp_path, 1)
    assert (tmp_path / "run.json").read_text() == content
