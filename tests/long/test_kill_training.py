"""Training, killed again and again: all that it leaves is that of a run that nobody disturbed, bit by bit."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigWorkflow

from tests.bundles.config_files import ROOT
from tests.bundles.training_runs import differences
from tests.long.killing import Work, duration_of, from_the_start, see_through

pytestmark = pytest.mark.long

KILLS, KILLS_A_RUN = 15, 5
CONFIGS = ("bundles/mcf_diffusion/configs/train.json", "configs/presets/smoke.json")


def training(dataset_dir: Path, ckpt_dir: Path) -> Work:
    """Return a short training of the smallest network, one state an epoch."""

    def train() -> None:
        workflow = ConfigWorkflow(
            [str(ROOT / name) for name in CONFIGS],
            logging_file=False,
            dataset_dir=str(dataset_dir),
            ckpt_dir=str(ckpt_dir),
            device=torch.device("cpu"),
            max_epochs=4,
            epoch_length=4,
            batch_size=2,
            val_interval=2,
        )
        workflow.initialize()
        workflow.run()
        workflow.finalize()

    return from_the_start(train)


STATES = ("training_state.pt", "training_state_previous.pt")
STATE_PARTS = {"network", "optimizer", "ema", "weights", "rng", "epoch", "identity"}


def left_by(ckpt_dir: Path) -> dict[str, Any]:
    """Return the content of both training states and of both checkpoints, by file."""
    paths = sorted(ckpt_dir.glob("*.pt"))
    assert {path.name for path in paths} == {*STATES, "model_last.pt", "model_best.pt"}
    return {path.name: torch.load(path, weights_only=True) for path in paths}


def test_training_survives_being_killed_at_any_moment(phantom_cohort: Path, tmp_path: Path) -> None:
    seconds = duration_of(training(phantom_cohort, tmp_path / "whole"))
    expected, dice = left_by(tmp_path / "whole"), random.Random(0)
    assert all(expected[name].keys() == STATE_PARTS for name in STATES)
    killed = runs = 0
    while killed < KILLS:
        ckpt_dir = tmp_path / f"run_{runs}"
        found = see_through(
            training(phantom_cohort, ckpt_dir),
            dice,
            longest_s=seconds,
            most_kills=min(KILLS_A_RUN, KILLS - killed),
        )
        assert differences(left_by(ckpt_dir), expected) == []
        killed, runs = killed + found.kills, runs + 1
    print(f"\n{killed} kills in {runs} runs of {seconds:.1f} s, {runs} of {runs} left the same")
