from __future__ import annotations

import pytest
import torch
from torch import nn

from mcf_bundle.diffusion.losses import WeightedLoss
from mcf_bundle.training.loss_scalars import LossScalars


def test_each_term_of_a_weighted_loss_is_shown_beside_the_sum() -> None:
    loss = WeightedLoss({"noise": nn.MSELoss(), "edges": nn.L1Loss()}, {"edges": 0.5})
    total = loss(torch.tensor([0.0, 3.0]), torch.tensor([1.0, 1.0]))  # squares 1 and 4, absolute 1 and 2
    shown = LossScalars(loss)({"loss": total})
    assert shown == pytest.approx({"train_loss": 3.25, "train_loss/noise": 2.5, "train_loss/edges": 1.5})


def test_a_plain_loss_is_shown_alone() -> None:
    assert LossScalars(nn.MSELoss())({"loss": torch.tensor(0.25)}) == {"train_loss": 0.25}
