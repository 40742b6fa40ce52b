"""One training at a time in a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcf_bundle.errors import BusyError
from mcf_bundle.folder_lock import check_unclaimed, claimed
from mcf_bundle.training.run_alone import run_alone


class TrainerStub:
    """What `run_alone` needs of a trainer."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.run = work


def test_the_folder_is_taken_while_the_trainer_runs_and_given_back(tmp_path: Path) -> None:
    folder, seen = tmp_path / "new" / "run", []

    def work() -> None:
        with pytest.raises(BusyError, match=f"process {os.getpid()} on "):
            check_unclaimed(folder)
        seen.append(folder.is_dir())

    run_alone(TrainerStub(work), str(folder))  # type: ignore[arg-type]
    assert seen == [True]
    assert list(folder.iterdir()) == []


def test_a_second_training_does_nothing_and_names_the_first(tmp_path: Path) -> None:
    started: list[int] = []
    with claimed(tmp_path), pytest.raises(BusyError, match="another job works in it"):
        run_alone(TrainerStub(lambda: started.append(1)), tmp_path)  # type: ignore[arg-type]
    assert not started


def test_an_error_gives_the_folder_back(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        run_alone(TrainerStub(lambda: 1 // 0), tmp_path)  # type: ignore[arg-type]
    check_unclaimed(tmp_path)
