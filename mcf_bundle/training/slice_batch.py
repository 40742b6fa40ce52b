"""What a segmenter or classifier of slices is fed: one slice, or the slice with its neighbors."""

from __future__ import annotations

from typing import Any, Literal

import torch
from monai.engines import PrepareBatch
from torch import Tensor

from mcf_bundle.networks.slice_inferer import CHANNELS_OF_SLICE, input_channels


class SlicePrepareBatch(PrepareBatch):
    """Hand the engine the slices and their target from a batch of `TripletDataset`.

    Args:
        input_slices: 1 for the image, 3 for image and context joined, in this order.
        target: key of the target: `mask` for a segmenter, `label` for a classifier.
        hand_over_mask: whether the network gets the mask too, as one that computes its own losses needs it.

    Raises:
        ArgumentError: there is no input of that many slices.
    """

    def __init__(
        self,
        input_slices: int = 1,
        target: Literal["mask", "label"] = "mask",
        *,
        hand_over_mask: bool = False,
    ) -> None:
        self.keys = ("image", "context")[: 1 + (input_channels(input_slices) > CHANNELS_OF_SLICE)]
        self.target, self.hand_over_mask = target, hand_over_mask

    def __call__(
        self,
        batchdata: dict[str, Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor, tuple[()], dict[str, Tensor]]:
        """Return (slices (B, 3 or 9, H, W), target, (), keyword arguments of the inferer)."""

        def move(value: Tensor) -> Tensor:
            return value.to(device, non_blocking=non_blocking, **kwargs)

        inputs = torch.cat([batchdata[key] for key in self.keys], dim=1)
        named = {"mask": move(batchdata["mask"])} if self.hand_over_mask else {}
        return move(inputs), move(batchdata[self.target]), (), named
