"""A training stops after so many validations without improvement, also across a resume."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ignite.engine import Engine, Events

from mcf_bundle.errors import ArgumentError
from mcf_bundle.training.early_stopping import EarlyStopHandler
from mcf_bundle.training.resume import ResumeHandler


class Validator(Engine):
    """Gives the next of the scores at each validation."""

    def __init__(self, scores: Sequence[float]) -> None:
        super().__init__(lambda engine, batch: None)
        self.scores = scores

    def validate(self, trainer: Engine) -> None:
        self.state.epoch = trainer.state.epoch
        self.state.metrics = {"dice": self.scores[trainer.state.epoch - 1]}


def train(
    scores: Sequence[float], *, every: int = 1, folder: object = None, epochs: int = 20, **settings
) -> int:
    """Return the epoch after which the training ended."""
    trainer, validator = Engine(lambda engine, batch: None), Validator(scores)
    trainer.add_event_handler(Events.EPOCH_COMPLETED(every=every), validator.validate)
    handler = EarlyStopHandler(validator, "dice", **settings)  # type: ignore[arg-type]
    handler.attach(trainer)
    if folder is not None:
        ResumeHandler(folder, {"early_stop": handler}, {}).attach(trainer)  # type: ignore[arg-type]
    trainer.run([0], max_epochs=epochs)
    return trainer.state.epoch


RISING_THEN_FLAT = [0.1, 0.2, 0.3, *[0.3] * 17]


@pytest.mark.parametrize(("patience", "last"), [(1, 4), (3, 6), (None, 20)])
def test_it_stops_when_patience_is_used_up(patience: int | None, last: int) -> None:
    assert train(RISING_THEN_FLAT, patience=patience) == last


def test_lower_may_be_better() -> None:
    assert train([-score for score in RISING_THEN_FLAT], patience=2, lower_is_better=True) == 5
    assert train([-score for score in RISING_THEN_FLAT], patience=2) == 3


def test_patience_counts_validations_and_not_epochs() -> None:
    assert train(RISING_THEN_FLAT, every=2, patience=2) == 8


@pytest.mark.parametrize("interrupted", [1, 4, 5])
def test_a_resumed_run_stops_where_an_undisturbed_one_does(interrupted: int, tmp_path) -> None:
    assert train(RISING_THEN_FLAT, patience=3, folder=tmp_path, epochs=interrupted) == interrupted
    assert train(RISING_THEN_FLAT, patience=3, folder=tmp_path) == 6
    assert train(RISING_THEN_FLAT, patience=3, folder=tmp_path) == 6, "what has stopped stays stopped"
    assert train(RISING_THEN_FLAT, patience=5, folder=tmp_path) == 8, "unless its patience grows"


@pytest.mark.parametrize("patience", [0, -1, 2.5])
def test_a_bad_patience_is_refused(patience: float) -> None:
    with pytest.raises(ArgumentError, match="patience"):
        train(RISING_THEN_FLAT, patience=patience)
