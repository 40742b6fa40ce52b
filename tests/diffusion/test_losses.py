from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from monai.losses import GlobalMutualInformationLoss
from torch import nn

from mcf_bundle.diffusion.losses import WeightedLoss, make_noise_loss
from mcf_bundle.errors import ArgumentError


@pytest.mark.parametrize(
    ("name", "expected"),
    # Errors 0.5 and 3: squares 0.25 and 9; absolute 0.5 and 3; Huber 0.5 * 0.25 and 3 - 0.5.
    [("l2", (0.25 + 9) / 2), ("l1", (0.5 + 3) / 2), ("huber", (0.125 + 2.5) / 2)],
)
def test_loss_is_the_mean_over_all_elements(name: str, expected: float) -> None:
    loss = make_noise_loss(name)(torch.tensor([0.5, -3.0]), torch.zeros(2))
    assert loss.item() == pytest.approx(expected)


def test_an_unknown_loss_lists_what_exists() -> None:
    with pytest.raises(ArgumentError, match=r"^loss: 'mse' does not exist; choose one of l2, l1, huber$"):
        make_noise_loss("mse")


PREDICTION, TARGET = torch.tensor([0.5, -3.0]), torch.zeros(2)
TERMS = {"l2": nn.MSELoss(), "l1": nn.L1Loss()}  # 4.625 and 1.75, see above


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (None, 4.625 + 1.75),
        ({"l1": 0.0}, 4.625),
        ({"l2": 2, "l1": -1.0}, 9.25 - 1.75),
    ],
)
def test_a_weighted_loss_is_the_sum_of_its_terms_times_their_weights(
    weights: dict[str, float] | None, expected: float
) -> None:
    assert WeightedLoss(TERMS, weights)(PREDICTION, TARGET).item() == pytest.approx(expected)


def test_one_term_of_weight_one_is_the_term_itself() -> None:
    values = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0))
    prediction, target = values[0].requires_grad_(), values[1]
    alone, weighted = nn.MSELoss()(prediction, target), WeightedLoss({"l2": nn.MSELoss()})(prediction, target)
    assert torch.equal(alone, weighted)
    assert torch.equal(*(torch.autograd.grad(loss, prediction)[0] for loss in (alone, weighted)))


def test_the_terms_of_the_last_call_are_kept_without_weight_and_gradient() -> None:
    loss = WeightedLoss(TERMS, {"l1": 0.5})
    loss(PREDICTION.clone().requires_grad_(), TARGET)
    assert {name: value.item() for name, value in loss.values.items()} == {"l2": 4.625, "l1": 1.75}
    assert not any(value.requires_grad for value in loss.values.values())


@pytest.mark.parametrize(
    ("terms", "weights", "problem"),
    [
        ({}, None, "loss_function#terms: holds no loss"),
        (TERMS, {"l3": 1.0}, "loss_function#weights#l3: belongs to no term; the terms are l2, l1"),
        (TERMS, {"l1": "much"}, "loss_function#weights#l1: expected a number, got 'much'"),
        (TERMS, {"l1": float("nan")}, "loss_function#weights#l1: expected a number, got nan"),
    ],
    ids=["no term", "no such term", "text", "nan"],
)
def test_terms_and_weights_that_do_not_fit_are_named(terms: Any, weights: Any, problem: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        WeightedLoss(terms, weights)
    assert str(caught.value).startswith(problem)


def test_an_overlay_adds_a_term_in_two_lines(tmp_path: Path) -> None:
    """As the docstring says, to the shipped config."""
    train = Path(__file__).parents[2] / "bundles" / "mcf_diffusion" / "configs" / "train.json"
    overlay = tmp_path / "overlay.json"
    overlay.write_text(
        json.dumps(
            {
                "loss_function#terms#mutual_information": {
                    "_target_": "monai.losses.GlobalMutualInformationLoss"
                },
                "loss_function#weights#mutual_information": 0.1,
            }
        )
    )
    loss = ConfigParser(ConfigParser.load_config_files([str(train), str(overlay)])).get_parsed_content(
        "loss_function"
    )
    prediction, target = torch.rand(2, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = nn.MSELoss()(prediction, target) + 0.1 * GlobalMutualInformationLoss()(prediction, target)
    assert loss(prediction, target).item() == pytest.approx(expected.item())
