"""The Inception v3 of FID: TensorFlow's network of 2015 on torchvision's, features of four depths."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.inception import (
    BasicConv2d,
    Inception3,
    InceptionA,
    InceptionAux,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
)

CLASSES = 1008
"""Of TensorFlow's head, among them eight without meaning."""

SIDE = 299

STAGES = {
    64: ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1"),
    192: ("Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
    768: (*(f"Mixed_5{x}" for x in "bcd"), *(f"Mixed_6{x}" for x in "abcde")),
    2048: tuple(f"Mixed_7{x}" for x in "abc"),
}
"""Layers up to each depth; its feature map averaged over space is the feature."""


def _average_inside(x: Tensor) -> Tensor:
    """Average over 3 x 3 pixels, of which those outside the image do not count."""
    return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class _PoolsInside:
    """Replaces the pooled branch of a torchvision block, the last one in its list."""

    branch_pool: nn.Module

    def pool(self, x: Tensor) -> Tensor:
        return _average_inside(x)

    def _forward(self, x: Tensor) -> list[Tensor]:
        others = super()._forward(x)[:-1]  # type: ignore[misc]
        return [*others, self.branch_pool(self.pool(x))]


class _BlockA(_PoolsInside, InceptionA):
    pass


class _BlockC(_PoolsInside, InceptionC):
    pass


class _BlockE(_PoolsInside, InceptionE):
    pass


class _LastBlock(_PoolsInside, InceptionE):
    """The last block takes the maximum where the others average, as TensorFlow's file has it."""

    def pool(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(x, 3, stride=1, padding=1)


class InceptionFeatures(nn.Module):
    """Inception v3 as torchmetrics and torch-fidelity use it for FID, KID and the Inception Score.

    The state_dict of `network` has the keys of their file of weights.

    Args:
        depth: 64, 192, 768 or 2048.
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.network = _make_network()
        self.eval()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and logits.

        Args:
            x: (B, 3, H, W), float32, network range [-1, 1]; rounded to 8-bit levels, as in image files, and
                resized to 299 x 299 (bilinear, with antialiasing, as torchmetrics does by default).

        Returns:
            (B, depth) and (B, 1008), float32. The logits are without bias, as torch-fidelity has them.
        """
        x = ((x.clamp(-1, 1) + 1) * 127.5).round()
        x = functional.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
        x, features = (x - 128) / 128, {}
        for depth, layers in STAGES.items():
            for layer in layers:
                x = getattr(self.network, layer)(x)
            features[depth] = x.mean((2, 3))
        return features[self.depth], features[2048] @ self.network.fc.weight.T


def _make_network() -> Inception3:
    blocks: list[Any] = [BasicConv2d, _BlockA, InceptionB, _BlockC, InceptionD, _BlockE, InceptionAux]
    network = Inception3(CLASSES, aux_logits=False, inception_blocks=blocks, init_weights=False)
    network.Mixed_7c = _LastBlock(2048)
    return network
