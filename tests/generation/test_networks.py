"""What a generation says of the networks that it was given."""

from __future__ import annotations

import pytest

from mcf_bundle.generation.networks import LEAST_AUC, classifier_warnings


@pytest.mark.parametrize("auc", [0.33, 0.5, float("nan")])
@pytest.mark.parametrize(("role", "words"), [("gate", "judges"), ("classifier", "guides")])
def test_a_classifier_that_guesses_is_warned_of(role: str, words: str, auc: float) -> None:
    described = {"denoiser": {"val_loss": 0.04}, "gate": {"val_auc": 0.97}, "classifier": {"val_auc": 0.98}}
    described[role]["val_auc"] = auc
    (warning,) = classifier_warnings(described)
    assert warning.startswith(
        f"The {role} that {words} the images had a validation AUC of {auc:.2f} in training"
    )


def test_a_classifier_that_tells_or_that_nobody_measured_is_not() -> None:
    assert not classifier_warnings({"gate": {"val_auc": LEAST_AUC}, "classifier": {}, "denoiser": {}})
    assert not classifier_warnings({"gate": {}}), "without guidance there is no classifier"
