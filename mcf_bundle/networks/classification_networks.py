"""Classifiers of slices by name, torchvision's: a bundle's JSON and a checkpoint store the name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional
from torchvision import models

from mcf_bundle.arguments import as_path, check_count
from mcf_bundle.errors import ArgumentError, CheckpointError
from mcf_bundle.networks.checkpoint import read_tensors
from mcf_bundle.networks.exportable import CheckpointNetwork

NUM_CLASSES = 2
"""No mask in the slice and tumor, in the order of `Label`."""

CHANNELS_OF_SLICE = 3
"""Channels of one slice, which torchvision's networks are made for."""

SIZE_DIVISOR = 32
"""The networks halve a slice's sides five times."""


class Architecture(NamedTuple):
    """One of torchvision's networks, and where its first and last layers are."""

    make: Callable[..., nn.Module]
    torchvision_name: str
    first: str
    last: str


CLASSIFICATION_NETWORKS: Mapping[str, Architecture] = {
    "resnet18": Architecture(models.resnet18, "resnet18", "conv1", "fc"),
    "resnet34": Architecture(models.resnet34, "resnet34", "conv1", "fc"),
    "resnet152": Architecture(models.resnet152, "resnet152", "conv1", "fc"),
    "densenet121": Architecture(models.densenet121, "densenet121", "features.conv0", "classifier"),
    # Version 2 at width 1.0 (Ma et al. 2018); torchvision has no version 1, which the paper cites.
    "shufflenet": Architecture(models.shufflenet_v2_x1_0, "shufflenet_v2_x1_0", "conv1.0", "fc"),
}
"""Networks by the name that a config gives."""

# torchvision's file of DenseNet has 'norm.1' where its modules are called 'norm1'.
_OLD_DENSENET_KEY = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")


class SliceClassifier(CheckpointNetwork):
    """A network that tells slices with tumor from slices without, at the size that it was trained at.

    Args:
        network: gives two logits of (B, C, H, W).
        name: a key of `CLASSIFICATION_NETWORKS`.
        in_channels: C.
        size: side in pixels of the square at which the network sees a slice: the longer side is resized by
            area, the rest filled with background, as `make_augmentation` does; None keeps the slice.

    Attributes:
        architecture: name, channels and size in one word, which a checkpoint stores.
    """

    def __init__(self, network: nn.Module, name: str, *, in_channels: int, size: int | None = None) -> None:
        super().__init__()
        self.network, self.name, self.in_channels = network, name, in_channels
        self.size, self.size_divisor = size or 0, SIZE_DIVISOR
        self.architecture = f"{name}-{in_channels}-{size or 'full'}"

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of no tumor and tumor.

        Args:
            x: (B, C, H, W), network range; the middle slice's channels first, then its neighbors'.

        Returns:
            (B, 2), not normalized.
        """
        return self.network(x if self.size == 0 else self._fit(x))

    def _fit(self, x: Tensor) -> Tensor:
        longest = max(x.shape[2], x.shape[3])
        if longest != self.size:
            sides = [max(1, (side * self.size + longest // 2) // longest) for side in x.shape[2:]]
            x = functional.interpolate(x, size=sides, mode="area")
        rows, columns = self.size - x.shape[2], self.size - x.shape[3]
        margins = [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2]
        return functional.pad(x, margins, value=-1.0)  # background in the networks' range


def make_classification_network(
    name: str, *, in_channels: int = CHANNELS_OF_SLICE, size: int | None = None
) -> SliceClassifier:
    """Make a classifier with fresh weights.

    Args:
        name: a key of `CLASSIFICATION_NETWORKS`.
        in_channels: 3 for the slice alone, 9 for the slice and both neighbors.
        size: see `SliceClassifier`.

    Raises:
        ArgumentError: there is no network of that name (the message lists them), the channels are those of no
            number of slices, or the size is no number of pixels.
    """
    if name not in CLASSIFICATION_NETWORKS:
        known = ", ".join(CLASSIFICATION_NETWORKS)
        raise ArgumentError("network_name", f"{name!r} does not exist", f"choose one of {known}")
    if size is not None:
        check_count("size", size)
    if in_channels < CHANNELS_OF_SLICE or in_channels % CHANNELS_OF_SLICE:
        problem = f"expected {CHANNELS_OF_SLICE} for each slice, got {in_channels!r}"
        raise ArgumentError("in_channels", problem, f"give a multiple of {CHANNELS_OF_SLICE}")
    architecture = CLASSIFICATION_NETWORKS[name]
    network = architecture.make(weights=None, num_classes=NUM_CLASSES)
    if in_channels != CHANNELS_OF_SLICE:
        _widen_first_layer(network, architecture.first, in_channels)
    return SliceClassifier(network, name, in_channels=in_channels, size=size)


def load_pretrained(network: SliceClassifier, pretrained: str | Path | None) -> SliceClassifier:
    """Start a classifier from torchvision's weights in a file; nothing is downloaded.

    The last layer is left fresh. For nine channels the file's first layer is repeated for each slice and
    divided by three, so that three equal slices give what one gave.

    Args:
        network: changed in place.
        pretrained: file of weights of this network (of ImageNet, or your own in that layout); None changes
            nothing.

    Returns:
        The network.

    Raises:
        CheckpointError: the file is missing, damaged, cannot be read or does not fit.
    """
    if pretrained is None:
        return network
    path, architecture = as_path(pretrained, "pretrained"), CLASSIFICATION_NETWORKS[network.name]
    stored = _read_pretrained(path, architecture)
    weights = {_OLD_DENSENET_KEY.sub(r"\1\2", key): value for key, value in stored.items()}
    first = f"{architecture.first}.weight"
    if first in weights and weights[first].ndim == 4 and weights[first].shape[1] == CHANNELS_OF_SLICE:
        slices = network.in_channels // CHANNELS_OF_SLICE
        weights[first] = weights[first].repeat(1, slices, 1, 1) / slices
    own = network.network.state_dict()
    last = {key: value for key, value in own.items() if key.startswith(f"{architecture.last}.")}
    try:
        network.network.load_state_dict({**weights, **last})
    except RuntimeError as error:
        first_problem = " ".join(str(error).splitlines()[1].split())[:120]
        problem = f"does not fit {network.name} ({first_problem})"
        remedy = "give weights of this network, in torchvision's layout"
        raise CheckpointError(path, problem, remedy) from error
    return network


def _widen_first_layer(network: nn.Module, path: str, channels: int) -> None:
    """Replace the first convolution by one of more input channels, with the fresh weights of a ResNet's."""
    old: Any = network.get_submodule(path)
    new = nn.Conv2d(
        channels, old.out_channels, old.kernel_size, old.stride, old.padding, bias=old.bias is not None
    )
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    parent, _, child = path.rpartition(".")
    setattr(network.get_submodule(parent), child, new)


def _read_pretrained(path: Path, architecture: Architecture) -> dict[str, Tensor]:
    url = models.get_model_weights(architecture.torchvision_name).DEFAULT.url
    if not path.is_file():
        remedy = f"download {url} yourself, or leave pretrained out"
        raise CheckpointError(path, "no such file of weights", remedy)
    content = read_tensors(path, remedy=f"download {url} again", allow_old=True)
    if isinstance(content, dict) and "meta" in content:
        problem = "is a checkpoint of this project, whose patients would be forgotten"
        raise CheckpointError(
            path, problem, "give weights in torchvision's layout, or resume in its ckpt_dir"
        )
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(path, "holds no weights by name", f"give a file such as {url}")
    return content
