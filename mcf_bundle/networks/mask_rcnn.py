"""torchvision's Mask R-CNN as a segmenter of slices: instances in training, one mask in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.models.detection import MaskRCNN, maskrcnn_resnet50_fpn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.resnet import BasicBlock
from torchvision.ops import masks_to_boxes

from mcf_bundle.errors import ArgumentError

ANCHOR_SIDES = (8, 16, 32, 64, 128)
"""Sides of the anchors by level, pixels: a quarter of torchvision's, whose images are 800 pixels large."""

ASPECT_RATIOS = (0.5, 1.0, 2.0)

TUMOR = 1
"""Class of an instance; torchvision keeps 0 for the background."""


class MaskRcnnSegmenter(nn.Module):
    """Mask R-CNN (He et al., ICCV 2017) with one class, from random weights; slices keep their size.

    Args:
        in_channels: channels of the image.
        blocks: residual blocks of each of the four stages of a ResNet of basic blocks, such as (2, 2, 2, 2)
            for ResNet18; None takes torchvision's own ResNet50.
        fpn_channels: width of the feature pyramid below such a ResNet; ResNet50's has 256.
        min_score: instances with less are left out of the mask.
        rois: regions of interest that a training image is judged by; torchvision takes 512. Four times as
            many are proposed in training and twice as many in use, about as in torchvision.
    """

    size_divisor = 32

    def __init__(
        self,
        in_channels: int,
        *,
        blocks: Sequence[int] | None = None,
        fpn_channels: int = 256,
        min_score: float = 0.5,
        rois: int = 512,
    ) -> None:
        super().__init__()
        settings: dict[str, Any] = {
            "num_classes": 2,
            "image_mean": [0.0] * in_channels,
            "image_std": [1.0] * in_channels,
            "rpn_anchor_generator": AnchorGenerator(
                tuple((side,) for side in ANCHOR_SIDES), (ASPECT_RATIOS,) * len(ANCHOR_SIDES)
            ),
            "box_score_thresh": min_score,
            "box_batch_size_per_image": rois,
            "rpn_post_nms_top_n_train": 4 * rois,
            "rpn_post_nms_top_n_test": 2 * rois,
            "_skip_resize": True,
        }
        if blocks is None:
            self.detector = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, **settings)
        else:
            self.detector = MaskRCNN(_pyramid(list(blocks), fpn_channels), **settings)
        body = self.detector.backbone.body
        body.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(body.conv1.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor | dict[str, Tensor]:
        """Return the losses in training, and the scores of each pixel otherwise.

        Args:
            x: (B, in_channels, H, W).
            mask: (B, 1, H, W), 0 or 1, of a training batch; empty masks are legal.

        Returns:
            In training: the five losses of torchvision by name, (). In evaluation: (B, 2, H, W), logarithms
            of the probabilities of background and tumor, the latter the highest of all instances.

        Raises:
            ArgumentError: it trains without a mask.
        """
        if not self.training:
            return torch.stack([_merge(found["masks"]) for found in self.detector(list(x))])
        if mask is None:
            raise ArgumentError("mask", "Mask R-CNN trains on its own losses", "call it with (image, mask)")
        return self.detector(list(x), [instances(item[0]) for item in mask])


def instances(mask: Tensor) -> dict[str, Tensor]:
    """Return the connected parts of a mask as torchvision's detection targets.

    Args:
        mask: (H, W), 0 or 1; pixels that touch at a corner are connected.

    Returns:
        `boxes` (N, 4) float32, x0 y0 x1 y1 with the far side exclusive; `labels` (N,) int64; `masks` (N, H,
        W) uint8; N is 0 for an empty mask.
    """
    parts, count = ndimage.label(mask.detach().cpu().numpy() > 0.5, np.ones((3, 3)))
    found = torch.from_numpy(parts)[None] == torch.arange(1, count + 1)[:, None, None]
    boxes = masks_to_boxes(found) + torch.tensor([0.0, 0.0, 1.0, 1.0])
    labels = torch.full((count,), TUMOR, dtype=torch.int64)
    targets = {"boxes": boxes, "labels": labels, "masks": found.to(torch.uint8)}
    return {name: value.to(mask.device) for name, value in targets.items()}


def _merge(masks: Tensor) -> Tensor:
    """Merge the instances of an image, (N, 1, H, W) probabilities, to (2, H, W) log-probabilities."""
    nothing = masks.new_zeros(1, *masks.shape[1:])
    tumor = torch.cat([nothing, masks]).amax(0).float().clamp(1e-4, 1 - 1e-4)
    return torch.cat([1 - tumor, tumor]).log()


def _pyramid(blocks: list[int], channels: int) -> BackboneWithFPN:
    """Make a feature pyramid on a ResNet of basic blocks."""
    layers = {f"layer{stage}": str(stage - 1) for stage in range(1, 5)}
    return BackboneWithFPN(ResNet(BasicBlock, blocks), layers, [64, 128, 256, 512], channels)
