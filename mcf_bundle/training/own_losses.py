"""One loss for networks that give scores and for those that give their own losses."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class OwnLosses(nn.Module):
    """Compare scores with their target by a loss; sum the losses of a network that has computed them itself.

    Args:
        loss: called as loss(scores, target).
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, prediction: Tensor | Mapping[str, Tensor], target: Tensor) -> Tensor:
        """Return the loss, ().

        Args:
            prediction: scores, or losses by name as torchvision's detectors give them in training.
            target: of the scores; not looked at where there are losses.
        """
        if isinstance(prediction, Mapping):
            return torch.stack(list(prediction.values())).sum()
        return self.loss(prediction, target)
