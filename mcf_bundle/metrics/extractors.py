"""Feature extractors by name, each pinned: weights, layer, resizing, type and hash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mcf_bundle.arguments import as_path, check_device
from mcf_bundle.errors import ArgumentError, CheckpointError
from mcf_bundle.metrics.image_arrays import Images, as_images
from mcf_bundle.metrics.inception_v3 import STAGES, InceptionFeatures
from mcf_bundle.metrics.radimagenet import RadImageNetFeatures
from mcf_bundle.networks.checkpoint import hash_file, load_network, read_checkpoint, read_tensors
from mcf_bundle.networks.classifier import NoisyClassifier
from mcf_bundle.networks.presets import make_classifier
from mcf_bundle.resources import bundle_root

BLOCK = 8
"""Images in each network call; the last is filled up, so that features do not depend on the other images."""


@dataclass(frozen=True)
class Extractor:
    """What turns an image into features, in words; two figures compare only if all of it is equal.

    Attributes:
        name: key in `EXTRACTORS`.
        dimension: features of an image; 0 where the weights decide.
        weights: file name, or where it comes from.
        layer: which features.
        resize: what is done to the image first.
        license: terms of the weights.
        url: where they can be had; empty if they come with this package.
        sha256: hash of the file; empty where no checksum is published, then the user gives one.
        dtype: type of computation and features.
    """

    name: str
    dimension: int
    weights: str
    layer: str
    resize: str
    license: str
    url: str = ""
    sha256: str = ""
    dtype: str = "float32"

    def __str__(self) -> str:
        """Return one line for a report: name, size and hash."""
        return f"{self.name} ({self.dimension} features, {self.dtype}, weights {self.sha256[:12]})"


DEFAULT_EXTRACTOR = "gate"

_INCEPTION = Extractor(
    name="inception_v3",
    dimension=2048,
    weights="weights-inception-2015-12-05-6726825d.pth",
    layer="pooled feature map",
    resize="8-bit levels, 299 x 299, bilinear with antialiasing",
    license="Apache-2.0",
    url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)

EXTRACTORS: dict[str, Extractor] = {
    "gate": Extractor(
        name="gate",
        dimension=0,
        weights="models/model_gate.pt of the bundle mcf_diffusion",
        layer="mean and maximum of the last feature map, at step 0, scaled to the length sqrt(D)",
        resize="none; sides in multiples of the network's own",
        license="CC BY-NC-SA 4.0, see the bundle's data_license.txt",
    ),
    **{
        f"inception_v3_{depth}": replace(_INCEPTION, name=f"inception_v3_{depth}", dimension=depth)
        for depth in STAGES
    },
    "radimagenet_resnet50": Extractor(
        name="radimagenet_resnet50",
        dimension=2048,
        weights="RadImageNet-ResNet50_notop.pth",
        layer="pooled last feature map",
        resize="224 x 224, bilinear with antialiasing, channels reversed, mean taken off",
        license="RadImageNet's own terms, see https://github.com/BMEII-AI/RadImageNet",
        url="https://huggingface.co/MONAI/checkpoints/resolve/main/RadImageNet-ResNet50_notop.pth",
    ),
}
"""All extractors; the first one needs no download."""


class GateFeatures(nn.Module):
    """The gate's classifier up to its head, without noise.

    Features are scaled to the length sqrt(D) in every image. Their length is how sure the classifier is, and
    unscaled it drowns everything else: the kernel distance takes its sixth power. So scaled, x . y / D is
    the cosine of two images.

    Args:
        classifier: with its weights; its head is taken off.
    """

    def __init__(self, classifier: NoisyClassifier) -> None:
        super().__init__()
        self.size_divisor, self.dimension = classifier.size_divisor, classifier.head.in_features
        self.head, classifier.head = classifier.head, nn.Identity()  # type: ignore[assignment]
        self.network = classifier
        self.eval()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, D) and logits (B, 2), float32, of (B, 3, H, W), network range [-1, 1]."""
        if any(side % self.size_divisor for side in x.shape[2:]):
            problem = f"sides {tuple(x.shape[2:])} are no multiples of {self.size_divisor}"
            raise ArgumentError("images", problem, "pad or crop the images")
        pooled = self.network(x, torch.zeros(1, dtype=torch.long, device=x.device))
        return functional.normalize(pooled) * self.dimension**0.5, self.head(pooled)


@dataclass(frozen=True, eq=False)
class LoadedExtractor:
    """An extractor that is ready to use.

    Attributes:
        extractor: what it is, with the hash of the file that was loaded.
        network: (B, 3, H, W), float32, network range [-1, 1] -> features and logits.
        device: where it computes.
    """

    extractor: Extractor
    network: nn.Module
    device: torch.device

    @torch.no_grad()
    def __call__(self, images: Images) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Extract features, in fixed blocks: an image's features are the same whatever stands beside it.

        Args:
            images: (N, 3, H, W), network range [-1, 1]; the gate sees brighter pixels as they are, the others
                clip them.

        Returns:
            Features, (N, D), and logits, (N, classes), for the Inception Score; None without a head.

        Raises:
            ArgumentError: see `as_images`, or the images do not have three channels.
        """
        array = as_images("images", images, low=-1, high=1, clip=False)
        if array.shape[1] != 3:
            raise ArgumentError("images", f"expected 3 channels, got {array.shape[1]}", "give whole slices")
        found = []
        for start in range(0, len(array), BLOCK):
            part = array[start : start + BLOCK]
            filled = np.concatenate([part, np.repeat(part[-1:], BLOCK - len(part), 0)])
            output = self.network(torch.from_numpy(filled).to(self.device))
            found.append([None if x is None else x.float().cpu().numpy()[: len(part)] for x in output])
        features, logits = zip(*found, strict=True)
        return np.concatenate(features), None if logits[0] is None else np.concatenate(logits)


def get_extractor(name: str) -> Extractor:
    """Return the description of an extractor.

    Raises:
        ArgumentError: there is none of that name; lists those that exist.
    """
    if name not in EXTRACTORS:
        problem = f"there is no extractor {name!r}"
        raise ArgumentError("extractor", problem, f"choose one of {', '.join(EXTRACTORS)}")
    return EXTRACTORS[name]


def load_extractor(
    name: str = DEFAULT_EXTRACTOR,
    weights: str | Path | None = None,
    *,
    sha256: str | None = None,
    device: torch.device | str = "cpu",
) -> LoadedExtractor:
    """Load an extractor's weights from a local file; nothing is downloaded.

    Args:
        name: key in `EXTRACTORS`.
        weights: the file; None takes the bundle's own for the gate.
        sha256: hash that the file must have; None takes the published one. The shipped gate needs none, since
            it comes with the package.
        device: where to compute.

    Raises:
        ArgumentError: there is no such extractor or device, or a hash is needed and not known.
        CheckpointError: the file is missing, has another hash, or does not fit the network.
    """
    extractor = get_extractor(name)
    check_device(device)
    path = weights_path(extractor, weights)
    found, expected = hash_file(path), (sha256 or extractor.sha256).lower()
    if not expected and extractor.url:
        problem = f"no checksum of {extractor.weights} is published, and none was given"
        raise ArgumentError("sha256", problem, f"if you trust {path}, give its own, {found}")
    if expected and found != expected:
        problem = f"has the SHA-256 {found}, expected {expected}"
        raise CheckpointError(path, problem, f"damaged or another file; {way_to_get(extractor)}")
    network = _BUILDERS[name](path)
    network.requires_grad_(False).to(device)
    pinned = replace(extractor, sha256=found, dimension=extractor.dimension or int(network.dimension))
    return LoadedExtractor(pinned, network, torch.device(device))


def way_to_get(extractor: Extractor) -> str:
    """Return what a user can do to have an extractor's weights."""
    if not extractor.url:
        return f"use {extractor.weights}"
    command = f"python -m mcf_bundle.metrics.download_weights {extractor.name} FOLDER"
    return f"get {extractor.weights} (license: {extractor.license}) with {command}"


def weights_path(extractor: Extractor, weights: str | Path | None) -> Path:
    """Return the file that an extractor's weights are read from.

    Raises:
        CheckpointError: there is none.
    """
    if weights is None and not extractor.url:
        weights = bundle_root("mcf_diffusion") / "models" / "model_gate.pt"
    if weights is None:
        problem = "needs a local file of weights and none was given"
        remedy = f"{way_to_get(extractor)}, then give its path as the extractor's weights"
        raise CheckpointError(extractor.name, problem, remedy)
    path = as_path(weights, "weights")
    if not path.is_file():
        raise CheckpointError(path, "no such file of weights", way_to_get(extractor))
    return path


def _load_gate(path: Path) -> Any:
    preset = read_checkpoint(path).preset
    classifier = make_classifier(preset)
    load_network(classifier, path, preset=preset, kind="gate")
    return GateFeatures(classifier)


def _load_state_dict(make: Callable[[], Any], path: Path) -> Any:
    remedy = "give the extractor's own file"
    weights, module = read_tensors(path, remedy=remedy, allow_old=True), make()
    try:
        module.network.load_state_dict(weights)
    except Exception as error:  # torch raises several types for what is no state_dict or does not fit
        problem = f"cannot be used as weights ({type(error).__name__}: {error})".splitlines()[0]
        raise CheckpointError(path, problem, remedy) from error
    return module


_BUILDERS: dict[str, Callable[[Path], Any]] = {
    "gate": _load_gate,
    **{
        f"inception_v3_{depth}": partial(_load_state_dict, partial(InceptionFeatures, depth))
        for depth in STAGES
    },
    "radimagenet_resnet50": partial(_load_state_dict, RadImageNetFeatures),
}
