"""The ResNet-50 of RadImageNet: Keras's network, on torchvision's layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet50

SIDE = 224

BATCH_NORM_EPSILON = 1.001e-5
"""Keras's."""

MEAN = (0.406, 0.456, 0.485)
"""Of blue, green, red in [0, 1]; Keras's preprocessing for this network has no standard deviation."""


class RadImageNetFeatures(nn.Module):
    """RadImageNet's ResNet-50 without its head, as converted from Keras for MONAI.

    Unlike torchvision's, its convolutions have a bias, and a block of stride 2 takes it in its first
    convolution. The state_dict of `network` has the keys of MONAI's file of weights.
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.network = _make_network()
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.eval()

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """Return features, the last feature map averaged over space.

        Args:
            x: (B, 3, H, W), float32, network range [-1, 1]; resized to 224 x 224 (bilinear, with
                antialiasing), channels in reverse order, RadImageNet's mean taken off.

        Returns:
            (B, 2048), float32, and no logits.
        """
        x = (x.clamp(-1, 1) + 1) / 2
        x = functional.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
        return self.network(x.flip(1) - self.mean), None


def _make_network() -> nn.Module:
    network = resnet50()
    network.fc = nn.Identity()
    for layer in (network.layer2, network.layer3, network.layer4):
        layer[0].conv1.stride, layer[0].conv2.stride = layer[0].conv2.stride, layer[0].conv1.stride
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.bias = nn.Parameter(torch.zeros(module.out_channels))
        elif isinstance(module, nn.BatchNorm2d):
            module.eps = BATCH_NORM_EPSILON
    return network
