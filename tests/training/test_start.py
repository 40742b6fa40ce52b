"""A training that starts from an earlier one's weights: they are loaded, and nobody they saw is forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from mcf_bundle.errors import CheckpointError, LeakageError
from mcf_bundle.networks.checkpoint import hash_patient, read_checkpoint, save_checkpoint
from mcf_bundle.networks.presets import make_denoiser
from mcf_bundle.training.start import StartedNetwork, start_network
from mcf_bundle.training.weights import WeightsHandler


def make_checkpoint(folder: Path) -> tuple[Path, nn.Linear]:
    """Write the weights of a training on anna and bert, chosen on carl."""
    network, path = nn.Linear(2, 3), folder / "first.pt"
    people = {"patients": ["anna", "bert"], "validation_patients": ["carl"]}
    save_checkpoint(
        path, network.state_dict(), preset="fast", kind="denoiser", **people, info={}, dtype=torch.float32
    )
    return path, network


def start(path: Path | None, *, validation: str = "dora", test: str = "emil") -> StartedNetwork:
    """Start a new network from a file."""
    people = {"validation_patients": [validation], "test_patients": [test]}
    return start_network(nn.Linear(2, 3), path, preset="fast", kind="denoiser", **people)


def test_weights_are_those_of_the_file(tmp_path: Path) -> None:
    path, first = make_checkpoint(tmp_path)
    started = start(path)
    for found, expected in zip(started.network.parameters(), first.parameters(), strict=True):
        assert torch.equal(found, expected)
        assert found.requires_grad
    assert started.sha256 == read_checkpoint(path).sha256


def test_without_a_file_the_weights_stay_random() -> None:
    assert start(None).checkpoint is None
    assert start(None).sha256 is None


def test_what_it_writes_lists_everybody_whom_either_training_saw(tmp_path: Path) -> None:
    path, _ = make_checkpoint(tmp_path)
    started = start(path)
    handler = WeightsHandler(
        tmp_path / "second",
        started.network,
        preset="fast",
        kind="denoiser",
        patients=["bert", "fred"],
        validation_patients=["dora"],
        info={},
        metric="val_loss",
        lower_is_better=True,
        start=started.checkpoint,
    )
    engine = Engine(lambda engine, batch: None)
    engine.state.metrics["val_loss"], engine.state.epoch = 0.5, 1
    handler(engine)
    found = read_checkpoint(tmp_path / "second" / "model_best.pt")
    assert found.patients == set(map(hash_patient, ["anna", "bert", "fred"]))
    assert found.validation_patients == set(map(hash_patient, ["carl", "dora"]))
    assert found.info["init_ckpt"] == started.sha256


@pytest.mark.parametrize(
    ("people", "message"),
    [
        ({"validation": "anna"}, "trained on patient anna, who belongs to the validation set"),
        ({"test": "bert"}, "trained on patient bert, who belongs to the test set"),
        ({"test": "carl"}, "chosen by its results on patient carl, who belongs to the test set"),
    ],
)
def test_weights_that_know_who_will_judge_them_are_refused(
    tmp_path: Path, people: dict[str, str], message: str
) -> None:
    path, _ = make_checkpoint(tmp_path)
    with pytest.raises(LeakageError, match=message):
        start(path, **people)


def test_who_chose_the_first_epoch_may_choose_again(tmp_path: Path) -> None:
    path, _ = make_checkpoint(tmp_path)
    assert start(path, validation="carl").checkpoint is not None


def test_a_network_that_sees_more_starts_as_the_old_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    old, path = make_denoiser("smoke"), tmp_path / "old.pt"
    for parameter in old.parameters():
        nn.init.normal_(parameter, std=0.1)
    save_checkpoint(
        path, old.state_dict(), preset="smoke", kind="denoiser", patients=[], info={}, dtype=torch.float32
    )
    people: dict[str, list[str]] = {"validation_patients": [], "test_patients": []}
    new = start_network(
        make_denoiser("smoke", mask=True), path, preset="smoke", kind="denoiser", **people
    ).network
    x, mask, time = torch.randn(2, 9, 32, 32), torch.ones(2, 1, 32, 32), torch.tensor([3, 400])
    with torch.no_grad():
        torch.testing.assert_close(new(torch.cat([x, mask], dim=1), time), old(x, time))
    with pytest.raises(CheckpointError, match="does not fit the network"):
        start_network(
            make_denoiser("smoke", neighbors=False), path, preset="smoke", kind="denoiser", **people
        )


def test_weights_of_another_kind_are_refused(tmp_path: Path) -> None:
    path, _ = make_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="holds a denoiser of preset 'fast', not a gate"):
        start_network(
            nn.Linear(2, 3), path, preset="fast", kind="gate", validation_patients=[], test_patients=[]
        )
