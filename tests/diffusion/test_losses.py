from __future__ import annotations

import pytest
import torch

from mcf_bundle.diffusion.losses import make_noise_loss
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
