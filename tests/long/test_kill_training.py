"""Training, killed again and again: the weights are those of a run that nobody disturbed, bit by bit."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow

from tests.bundles.config_files import ROOT
from tests.long.killing import duration_of, see_through

pytestmark = pytest.mark.long

KILLS, KILLS_A_RUN = 15, 5
CONFIGS = ("bundles/mcf_diffusion/configs/train.json", "configs/presets/smoke.json")


def training(dataset_dir: Path, ckpt_dir: Path) -> Callable[[], None]:
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

    return train


def weights_of(ckpt_dir: Path) -> dict[str, torch.Tensor]:
    """Return every tensor of the state and of both checkpoints, by file and name."""
    found = {}
    for name in ("training_state.pt", "model_last.pt", "model_best.pt"):
        content = torch.load(ckpt_dir / name, weights_only=True)
        state = content["model"] if "model" in content else content["network"]
        found |= {f"{name} {key}": value for key, value in state.items()}
    return found


def test_training_survives_being_killed_at_any_moment(phantom_cohort: Path, tmp_path: Path) -> None:
    seconds = duration_of(training(phantom_cohort, tmp_path / "whole"))
    expected, dice = weights_of(tmp_path / "whole"), random.Random(0)
    killed = runs = 0
    while killed < KILLS:
        ckpt_dir = tmp_path / f"run_{runs}"
        found = see_through(
            training(phantom_cohort, ckpt_dir),
            dice,
            longest_s=seconds,
            most_kills=min(KILLS_A_RUN, KILLS - killed),
        )
        weights = weights_of(ckpt_dir)
        assert weights.keys() == expected.keys()
        assert all(torch.equal(weights[name], expected[name]) for name in expected)
        killed, runs = killed + found.kills, runs + 1
    print(f"\n{killed} kills in {runs} runs of {seconds:.1f} s, {runs} of {runs} ended with the same weights")
