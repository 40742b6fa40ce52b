from __future__ import annotations

import math

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from mcf_bundle.errors import ArgumentError
from mcf_bundle.training.ema import EmaHandler


def constant(value: float) -> nn.Module:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, value)
    return network


def test_the_average_of_a_jump_has_a_closed_form() -> None:
    """What is left of 0 after n updates towards 1: the product of (1 + i) / (10 + i) = 1 / C(n + 9, 9)."""
    network = constant(0.0)
    ema = EmaHandler(network, decay=0.999)
    nn.init.constant_(network.weight, 1.0)
    for updates in range(1, 30):
        ema(Engine(lambda engine, batch: None))
        expected = 1 - 1 / math.comb(updates + 9, 9)
        assert ema.average.weight.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("decay", [-0.1, 1.0, 2])
def test_a_decay_that_is_no_share_is_refused(decay: float) -> None:
    with pytest.raises(ArgumentError, match=r"ema_decay: expected a number in \[0, 1\)"):
        EmaHandler(constant(0.0), decay)


def test_the_decay_stops_rising_at_its_value() -> None:
    network = constant(0.0)
    ema = EmaHandler(network, decay=0.25)
    nn.init.constant_(network.weight, 1.0)
    for _ in range(5):
        ema(Engine(lambda engine, batch: None))
    left = 1 / 10 * 2 / 11 * 0.25**3
    assert ema.average.weight.item() == pytest.approx(1 - left, abs=1e-7)


def test_the_average_copies_what_is_no_float_and_takes_no_gradient() -> None:
    network = nn.BatchNorm2d(2)
    ema = EmaHandler(network)
    for _ in range(3):
        network(torch.randn(4, 2, 3, 3))
    ema(Engine(lambda engine, batch: None))
    assert ema.average.num_batches_tracked.item() == 3
    assert not any(parameter.requires_grad for parameter in ema.average.parameters())
    assert not ema.average.training


# --- The other handlers ----------------------------------------------------------------------------
