"""Segmenters by name and preset, in one place: a bundle's JSON names them, a checkpoint stores the name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from monai.networks.nets import UNet
from torch import nn

from mcf_bundle.errors import ArgumentError
from mcf_bundle.networks.fitted import FittedDetector, FittedNetwork
from mcf_bundle.networks.mask_rcnn import MaskRcnnSegmenter
from mcf_bundle.networks.segnet import SegNet

NUM_CLASSES = 2
"""Background and FLAIR abnormality, in this order."""

SEGMENTATION_PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "unet": {
        "smoke": {"channels": (8, 16, 32), "num_res_units": 0},
        "fast": {"channels": (32, 64, 128, 256, 320), "num_res_units": 2},
        # The widths of Ronneberger's network.
        "paper": {"channels": (64, 128, 256, 512, 1024), "num_res_units": 2},
    },
    "segnet": {
        "smoke": {"base_channels": 4},
        "fast": {"base_channels": 16},
        "paper": {"base_channels": 64},
    },
    "mask_rcnn": {
        "smoke": {"blocks": (1, 1, 1, 1), "fpn_channels": 16, "rois": 16},
        "fast": {"blocks": (2, 2, 2, 2), "fpn_channels": 64, "rois": 64},
        "paper": {},
    },
}
"""Arguments of each network by preset."""


def make_segmentation_network(
    name: str, *, preset: str = "fast", in_channels: int = 3, size: int | None = None
) -> FittedNetwork:
    """Make a segmenter with fresh weights.

    Args:
        name: a key of `SEGMENTATION_PRESETS`: `unet` (MONAI's), `segnet`, `mask_rcnn` (torchvision's).
        preset: width and depth, `smoke`, `fast` or `paper`.
        in_channels: 3 for one slice, 9 for the slice and its neighbors.
        size: see `FittedNetwork`.

    Returns:
        A network from (B, in_channels, H, W), network range, to scores (B, 2, H, W), background first.

    Raises:
        ArgumentError: there is no network or preset of that name; the message lists what there is.
    """
    for key, value, known in (
        ("network_name", name, MAKERS),
        ("preset", preset, SEGMENTATION_PRESETS["unet"]),
    ):
        if value not in known:
            raise ArgumentError(key, f"{value!r} does not exist", f"choose one of {', '.join(known)}")
    network = MAKERS[name](in_channels, **SEGMENTATION_PRESETS[name][preset])
    fitted = FittedDetector if isinstance(network, MaskRcnnSegmenter) else FittedNetwork
    divisor = network.size_divisor if not isinstance(network, UNet) else 2 ** len(network.strides)
    architecture = "-".join(map(str, (name, preset, in_channels, *([size] if size else []))))
    return fitted(network, architecture, size_divisor=divisor, size=size)


def network_of_architecture(architecture: str) -> FittedNetwork:
    """Make the network whose `architecture` a checkpoint stores, with fresh weights.

    Args:
        architecture: such as `unet-fast-3-128`: name, preset, channels and, unless it is none, size.

    Raises:
        ArgumentError: it is no architecture of this module.
    """
    name, _, rest = architecture.partition("-")
    preset, _, numbers = rest.partition("-")
    counts = numbers.split("-")
    if len(counts) > 2 or not all(count.isdecimal() for count in counts):
        remedy = "expected name, preset, channels and size, such as unet-fast-3-128"
        raise ArgumentError("architecture", f"{architecture!r} is no segmenter's", remedy)
    in_channels, size = int(counts[0]), int(counts[1]) if counts[1:] else None
    return make_segmentation_network(name, preset=preset, in_channels=in_channels, size=size)


def _unet(in_channels: int, channels: tuple[int, ...], num_res_units: int) -> nn.Module:
    return UNet(
        spatial_dims=2,
        in_channels=in_channels,
        out_channels=NUM_CLASSES,
        channels=channels,
        strides=(2,) * (len(channels) - 1),
        num_res_units=num_res_units,
    )


def _segnet(in_channels: int, base_channels: int) -> nn.Module:
    return SegNet(in_channels, NUM_CLASSES, base_channels)


MAKERS: Mapping[str, Callable[..., Any]] = {
    "unet": _unet,
    "segnet": _segnet,
    "mask_rcnn": MaskRcnnSegmenter,
}
"""Makers by name."""
