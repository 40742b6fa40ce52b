"""How a network of slices is called on batches of slices and on volumes, in training and in use."""

from __future__ import annotations

from typing import Any

import torch
from monai.inferers import Inferer, SliceInferer
from monai.utils import convert_to_dst_type
from torch import Tensor, nn

from mcf_bundle.arguments import check_count
from mcf_bundle.data.triplets import context_indices
from mcf_bundle.errors import ArgumentError
from mcf_bundle.networks.precision import autocast_call, get_precision

CHANNELS_OF_SLICE = 3
"""Pre-contrast T1, FLAIR, post-contrast T1."""

INPUT_SLICES = (1, 3)
"""Slices that a network may see: the slice alone, or with the previous and the next one."""


def input_channels(input_slices: int) -> int:
    """Return the channels of a network's input.

    Raises:
        ArgumentError: there is no input of that many slices.
    """
    if input_slices not in INPUT_SLICES:
        problem = f"expected one of {', '.join(map(str, INPUT_SLICES))}, got {input_slices!r}"
        raise ArgumentError("input_slices", problem, "1 is the slice alone, 3 adds both neighbors")
    return CHANNELS_OF_SLICE * input_slices


class SlicewiseInferer(Inferer):
    """Call a network of slices under autocast; a volume goes through MONAI's SliceInferer, slice by slice.

    Args:
        input_slices: 1 for the slice alone, 3 for the slice and its neighbors as nine channels, in the order
            of `TripletDataset`: image, previous, next. A slice without neighbors stands in for them itself.
        precision: a key of `PRECISIONS`: autocast around the network call.
        channels_last: memory format of input and weights.
        batch_size: slices of a volume in each call.

    Raises:
        ArgumentError: an argument is outside its range.
    """

    def __init__(
        self,
        input_slices: int = 1,
        precision: str = "float32",
        *,
        channels_last: bool = False,
        batch_size: int = 8,
    ) -> None:
        super().__init__()
        self.channels = input_channels(input_slices)
        get_precision(precision)
        check_count("batch_size", batch_size)
        self.precision, self.channels_last, self.batch_size = precision, channels_last, batch_size

    def __call__(self, inputs: Tensor, network: nn.Module, mask: Tensor | None = None, **_: Any) -> Any:  # type: ignore[override]
        """Return the network's output in float32.

        Args:
            inputs: (B, 3, H, W[, D]) or what the network takes, (B, 9, H, W), network range; a volume's last
                axis counts its slices.
            network: called as network(slices), or network(slices, mask) where there is a mask.
            mask: (B, 1, H, W) for a network that computes its own losses.
        """
        call = autocast_call(network, self.precision, channels_last=self.channels_last)
        slices = self._with_neighbors(inputs)
        if slices.ndim == 5:
            volumes = SliceInferer(2, roi_size=(-1, -1), sw_batch_size=self.batch_size)
            return volumes(slices, call)
        plain = slices.as_subclass(Tensor)
        if mask is not None:
            return call(plain, mask)
        output = call(plain)
        return convert_to_dst_type(output, inputs)[0] if output.ndim == inputs.ndim else output

    def _with_neighbors(self, x: Tensor) -> Tensor:
        if x.shape[1] == self.channels:
            return x
        if x.shape[1] != CHANNELS_OF_SLICE:
            problem = f"expected {CHANNELS_OF_SLICE} or {self.channels} channels, got shape {tuple(x.shape)}"
            raise ArgumentError("image", problem, "give pre-contrast T1, FLAIR and post-contrast T1")
        if x.ndim == 4:
            return torch.cat([x, x, x], dim=1)
        count = x.shape[-1]
        neighbors = [context_indices(index, count, 1) for index in range(count)]
        return torch.cat([x, *(x[..., list(column)] for column in zip(*neighbors, strict=True))], dim=1)
