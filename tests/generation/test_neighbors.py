"""Generation with denoisers that see other things than the neighbors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mcf_bundle.networks.checkpoint import hash_file, save_checkpoint
from mcf_bundle.networks.presets import make_denoiser
from mcf_bundle.resources import bundle_root
from tests.generation.bundle_runs import OPEN_GATE, error_of_ours, gate, make_workflow


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a three-channel denoiser with fresh weights."""
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.manual_seed(0)
    weights = make_denoiser("fast", neighbors=False).state_dict()
    save_checkpoint(path, weights, preset="fast", kind="denoiser", patients=[], info={})
    return path


def test_a_denoiser_without_neighbors_makes_images_and_the_run_says_so(
    phantom_cohort: Path, tmp_path: Path, ckpt: Path
) -> None:
    with gate(OPEN_GATE):
        workflow = make_workflow(
            phantom_cohort, tmp_path / "out", neighbors=False, mask=False, ckpt=str(ckpt)
        )
        outcome = workflow.run()
    assert outcome is not None
    assert outcome.written == 2
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["settings"]["neighbors"] is False
    assert all(row.settings["neighbors"] is False for row in workflow.plan.rows)


@pytest.mark.parametrize(("mask", "file"), [(True, "model.pt"), (False, "model_nine_channels.pt")])
def test_both_shipped_denoisers_make_images_and_the_run_says_which(
    phantom_cohort: Path, tmp_path: Path, mask: bool, file: str
) -> None:
    with gate(OPEN_GATE):
        workflow = make_workflow(phantom_cohort, tmp_path / "out", mask=mask)
        outcome = workflow.run()
    assert outcome is not None
    assert outcome.written == 2
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["settings"].get("mask", False) is mask  # not written where false
    assert all(row.settings.get("mask", False) is mask for row in workflow.plan.rows)
    shipped = hash_file(bundle_root("mcf_diffusion") / "models" / file)
    assert workflow.plan.header["checkpoints"]["denoiser"] == shipped


@pytest.mark.parametrize("neighbors", [True, False])
def test_a_denoiser_of_the_other_kind_is_refused(
    phantom_cohort: Path, tmp_path: Path, ckpt: Path, neighbors: bool
) -> None:
    wrong = ckpt if neighbors else bundle_root("mcf_diffusion") / "models" / "model.pt"
    with pytest.raises((RuntimeError, ValueError)) as caught:
        make_workflow(phantom_cohort, tmp_path / "out", neighbors=neighbors, ckpt=str(wrong))
    error = error_of_ours(caught.value)
    assert error.where == str(wrong)
    assert error.problem.startswith("does not fit the network (size mismatch for unet.conv_in")
