"""How a classifier of slices is called on batches of slices and on volumes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mcf_bundle.networks.slice_inferer import SlicewiseInferer


class SlicewiseClassifierInferer(SlicewiseInferer):
    """Call a classifier of slices under autocast, on a volume slice by slice; arguments as in its base."""

    def __call__(self, inputs: Tensor, network: nn.Module, *_: Any, **__: Any) -> Tensor:  # type: ignore[override]
        """Return the logits of each slice, (B, 2) for slices, (B, 2, D) for volumes; float32.

        Args:
            inputs: (B, 3, H, W[, D]) or what the network takes, (B, 9, H, W[, D]), network range.
            network: called as network(slices).
        """
        if inputs.ndim == 4:
            return super().__call__(inputs, network)
        slices = self._with_neighbors(inputs.as_subclass(Tensor)).movedim(-1, 1)
        parts = slices.flatten(0, 1).split(self.batch_size)
        logits = torch.cat(
            [super(SlicewiseClassifierInferer, self).__call__(part, network) for part in parts]
        )
        return logits.unflatten(0, slices.shape[:2]).movedim(1, -1)
