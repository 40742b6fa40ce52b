from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ignite.engine import Engine, Events
from torch import nn

from mcf_bundle.errors import ArgumentError
from mcf_bundle.networks.checkpoint import hash_patient, read_checkpoint
from mcf_bundle.run_record import describe_code
from mcf_bundle.training.weights import WeightsHandler


def constant(value: float) -> nn.Module:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, value)
    return network


@pytest.mark.parametrize(("lower_is_better", "best_epoch"), [(True, 2), (False, 1)])
def test_best_and_last_weights_follow_the_validation(
    tmp_path: Path, lower_is_better: bool, best_epoch: int
) -> None:
    network = constant(0.0)
    engine = Engine(lambda engine, batch: None)
    handler = WeightsHandler(
        tmp_path,
        network,
        preset="smoke",
        kind="denoiser",
        patients=["TCGA_CS_1"],
        validation_patients=["TCGA_CS_2"],
        info={"split_seed": 0},
        metric="val_loss",
        lower_is_better=lower_is_better,
    )
    handler.attach(engine)
    for epoch, value in enumerate((0.5, 0.25, 0.375), start=1):
        nn.init.constant_(network.weight, float(epoch))
        engine.state.metrics["val_loss"], engine.state.epoch = value, epoch
        engine.fire_event(Events.COMPLETED)
    best, last = (read_checkpoint(tmp_path / f"model_{which}.pt") for which in ("best", "last"))
    assert (best.weights["weight"].item(), last.weights["weight"].item()) == (best_epoch, 3)
    assert (best.info["epoch"], last.info["epoch"]) == (best_epoch, 3)
    assert last.info["val_loss"] == 0.375
    assert last.info["split_seed"] == 0


def test_no_epoch_before_the_first_is_best_and_a_resumed_training_keeps_to_it(tmp_path: Path) -> None:
    story: dict[str, Any] = {"preset": "smoke", "kind": "segmenter", "info": {}, "metric": "val_dice"}
    story |= {"patients": (), "validation_patients": (), "lower_is_better": False, "first_epoch": 3}
    state: dict[str, Any] = {}
    found: list[int | None] = []
    for epoch, dice in enumerate((0.9, 0.8, 0.5, 0.6, 0.4), start=1):
        handler = WeightsHandler(tmp_path, constant(float(epoch)), **story)
        if state:
            handler.load_state_dict(state)
        engine = Engine(lambda engine, batch: None)
        handler.attach(engine)
        engine.state.metrics["val_dice"], engine.state.epoch = dice, epoch
        engine.fire_event(Events.COMPLETED)
        state, best = handler.state_dict(), tmp_path / "model_best.pt"
        found.append(read_checkpoint(best).info["epoch"] if best.exists() else None)
    assert found == [None, None, 3, 4, 4]


@pytest.mark.parametrize("first_epoch", [0, 1.5, True])
def test_a_first_epoch_that_is_none_is_refused(tmp_path: Path, first_epoch: Any) -> None:
    story: dict[str, Any] = {"preset": "smoke", "kind": "segmenter", "info": {}, "metric": "val_dice"}
    story |= {"patients": (), "validation_patients": (), "lower_is_better": False}
    with pytest.raises(ArgumentError, match="first_epoch: expected a whole number of 1 or more"):
        WeightsHandler(tmp_path, constant(0.0), **story, first_epoch=first_epoch)


def test_weights_know_who_chose_them_and_what_made_them(tmp_path: Path) -> None:
    engine = Engine(lambda engine, batch: None)
    WeightsHandler(
        tmp_path,
        constant(0.0),
        preset="smoke",
        kind="gate",
        patients=["TCGA_CS_1"],
        validation_patients=["TCGA_CS_2", "TCGA_CS_3"],
        info={},
        metric="auc",
        lower_is_better=False,
    ).attach(engine)
    engine.state.metrics["auc"] = 0.5
    engine.fire_event(Events.COMPLETED)
    last = read_checkpoint(tmp_path / "model_last.pt")
    assert last.patients == {hash_patient("TCGA_CS_1")}
    assert last.validation_patients == {hash_patient("TCGA_CS_2"), hash_patient("TCGA_CS_3")}
    assert describe_code().items() <= last.record.items()
    assert last.record.keys() - describe_code().keys() == {"device", "num_threads"}


def test_without_a_comparable_metric_there_is_no_best(tmp_path: Path) -> None:
    engine = Engine(lambda engine, batch: None)
    story: dict[str, Any] = {"preset": "smoke", "kind": "gate", "info": {}}
    story |= {"patients": (), "validation_patients": ()}
    WeightsHandler(tmp_path, constant(0.0), **story, metric="auc", lower_is_better=False).attach(engine)
    engine.state.metrics["auc"] = float("nan")
    engine.fire_event(Events.COMPLETED)
    assert [path.name for path in tmp_path.iterdir()] == ["model_last.pt"]
