"""The denoiser's encoder as a classifier of noisy slices, for guidance and for the gate."""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.nets.diffusion_model_unet import DiffusionModelEncoder
from monai.networks.utils import pixelunshuffle
from torch import Tensor, nn

from mcf_bundle.networks.exportable import ExportableNetwork


class NoisyClassifier(ExportableNetwork):
    """MONAI's `DiffusionModelEncoder` with a head that fits every image size.

    MONAI 1.6.1's encoder ends in a linear layer of 4,096 inputs, which only 64 x 64 images give; here the
    last feature map is averaged and its maximum taken over space (a tumor may be small) before a linear
    layer.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the noisy image.
        out_channels: number of classes.
        stem: side of the blocks of pixels that become channels, as in `Denoiser`.
        **encoder: further arguments of `DiffusionModelEncoder`.
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, out_channels: int, stem: int = 1, **encoder: Any
    ) -> None:
        super().__init__()
        self.spatial_dims, self.stem, self.in_channels = spatial_dims, stem, in_channels
        self.encoder = DiffusionModelEncoder(
            spatial_dims=spatial_dims,
            in_channels=in_channels * stem**spatial_dims,
            out_channels=out_channels,
            **encoder,
        )
        self.width = self.encoder.block_out_channels[-1]
        self.encoder.out = nn.Identity()  # so that it returns its last feature map, flattened
        self.head = nn.Linear(2 * self.width, out_channels)
        self.size_divisor = stem * 2 ** len(self.encoder.block_out_channels)

    def forward(self, x: Tensor, timesteps: Tensor | None = None) -> Tensor:
        """Return the logits of each class.

        Args:
            x: (B, in_channels, H, W[, D]), network range, noised to step t.
            timesteps: (B,) or (1,), t - 1, in [0, T - 1]; None means 0.

        Returns:
            (B, out_channels), not normalized.
        """
        if timesteps is None:
            timesteps = torch.zeros(1, dtype=torch.long, device=x.device)
        x = x if self.stem == 1 else pixelunshuffle(x, self.spatial_dims, self.stem)
        h = self.encoder(x, timesteps.expand(x.shape[0])).unflatten(1, (self.width, -1))
        return self.head(torch.cat([h.mean(2), h.amax(2)], dim=1))
