"""The noise-predicting U-Net, with conditioning by channels and an optional space-to-depth stem."""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.nets import DiffusionModelUNet
from monai.networks.utils import pixelshuffle, pixelunshuffle
from torch import Tensor

from mcf_bundle.errors import ArgumentError
from mcf_bundle.networks.exportable import ExportableNetwork


class Denoiser(ExportableNetwork):
    """MONAI's `DiffusionModelUNet` on blocks of `stem` x `stem` pixels.

    The stem moves each block of pixels into the channel axis before the U-Net and back after it (space to
    depth): a network that does its work at half or a quarter of the resolution, exactly invertible at both
    ends. With `stem` = 1 this is the plain U-Net, and its state_dict differs only in the prefix ``unet.``.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the noisy image and of everything concatenated to it.
        out_channels: channels of the noisy image.
        stem: side of a block in pixels, 1 or more.
        **unet: further arguments of `DiffusionModelUNet`.
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, out_channels: int, stem: int = 1, **unet: Any
    ) -> None:
        super().__init__()
        self.spatial_dims, self.stem = spatial_dims, stem
        self.in_channels, self.out_channels = in_channels, out_channels
        block = stem**spatial_dims
        self.unet = DiffusionModelUNet(
            spatial_dims=spatial_dims,
            in_channels=in_channels * block,
            out_channels=out_channels * block,
            **unet,
        )
        self.size_divisor = stem * 2 ** (len(self.unet.block_out_channels) - 1)

    def example_inputs(self) -> tuple[Tensor, Tensor]:
        """Return x and timesteps, see `ExportableNetwork`.

        Raises:
            ArgumentError: if the U-Net has cross-attention, whose context is no input of an exported file.
        """
        if self.unet.with_conditioning:
            problem = "has cross-attention, and an exported file has no input for its context"
            raise ArgumentError("network", problem, "call it from Python")
        return super().example_inputs()

    def forward(self, x: Tensor, timesteps: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """Predict the noise in the first `out_channels` channels of `x`.

        Args:
            x: (B, in_channels, H, W[, D]), network range; noisy image first, then what conditions it. Sides
                are multiples of `size_divisor`.
            timesteps: (B,) or (1,), t - 1 for step t of the schedule, in [0, T - 1]; None means 0.
            context: (B, N, cross_attention_dim), for a U-Net with cross-attention (`with_conditioning`); else
                None.

        Returns:
            (B, out_channels, H, W[, D]), estimate of epsilon.

        Raises:
            ValueError: by MONAI, if there is a context and no cross-attention.
        """
        if timesteps is None:
            timesteps = torch.zeros(1, dtype=torch.long, device=x.device)
        timesteps = timesteps.expand(x.shape[0])
        if self.stem == 1:
            return self.unet(x, timesteps, context)
        blocks = pixelunshuffle(x, self.spatial_dims, self.stem)
        return pixelshuffle(self.unet(blocks, timesteps, context), self.spatial_dims, self.stem)
