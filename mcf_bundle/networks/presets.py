"""Named architectures, in one place: a bundle's JSON names a preset, a checkpoint stores the name."""

from __future__ import annotations

from typing import Any

from mcf_bundle.arguments import check_flag
from mcf_bundle.errors import ArgumentError
from mcf_bundle.networks.classifier import NoisyClassifier
from mcf_bundle.networks.denoiser import Denoiser

DENOISER_PRESETS: dict[str, dict[str, Any]] = {
    # Tests and dry runs: seconds on a CPU.
    "smoke": {
        "stem": 2,
        "channels": (16, 32),
        "num_res_blocks": 1,
        "attention_levels": (False, False),
        "num_head_channels": 32,
        "norm_num_groups": 8,
    },
    # What a CPU can train and sample at 256 x 256: the work is done at 128 x 128.
    "fast": {
        "stem": 2,
        "channels": (48, 96, 144, 192),
        "num_res_blocks": 1,
        "attention_levels": (False, False, False, False),
        "num_head_channels": 32,
        "norm_num_groups": 16,
    },
    # The paper's network: 32 channels, multipliers 1 1 2 2 4 4, 4 residual blocks a level, 12.28 M
    # parameters.
    "paper": {
        "stem": 1,
        "channels": (32, 32, 64, 64, 128, 128),
        "num_res_blocks": 4,
        "attention_levels": (False, False, False, False, True, True),
        "num_head_channels": 32,
        "norm_num_groups": 32,
    },
}
"""Arguments of `Denoiser` by preset."""

CLASSIFIER_PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {
        "stem": 4,
        "channels": (16, 32),
        "num_res_blocks": (1, 1),
        "attention_levels": (False, False),
        "num_head_channels": 32,
        "norm_num_groups": 8,
    },
    "fast": {
        "stem": 4,
        "channels": (48, 96, 144),
        "num_res_blocks": (1, 1, 1),
        "attention_levels": (False, False, False),
        "num_head_channels": 32,
        "norm_num_groups": 16,
    },
    "paper": {
        "stem": 1,
        "channels": (32, 32, 64, 64, 128, 128),
        "num_res_blocks": (4, 4, 4, 4, 4, 4),
        "attention_levels": (False, False, False, False, True, True),
        "num_head_channels": 32,
        "norm_num_groups": 32,
    },
}
"""Arguments of `NoisyClassifier` by preset."""


def make_denoiser(
    preset: str,
    *,
    image_channels: int = 3,
    neighbors: bool = True,
    mask: bool = False,
    context_channels: int | None = None,
    spatial_dims: int = 2,
) -> Denoiser:
    """Make the noise-predicting network of a preset, with fresh weights.

    Args:
        preset: a key of `DENOISER_PRESETS`.
        image_channels: channels of the image that is noised.
        neighbors: whether the previous and the next slice condition it.
        mask: whether the mask of the image conditions it, after the neighbors.
        context_channels: channels of everything that conditions it, 0 for none; None counts those of
            neighbors and mask.
        spatial_dims: 2 or 3.

    Raises:
        ArgumentError: if the preset does not exist, or `neighbors` or `mask` is neither true nor false.
    """
    check_flag("neighbors", neighbors)
    check_flag("mask", mask)
    if context_channels is None:
        context_channels = 2 * image_channels * neighbors + mask
    return Denoiser(
        spatial_dims, image_channels + context_channels, image_channels, **_preset(DENOISER_PRESETS, preset)
    )


def make_classifier(
    preset: str, *, image_channels: int = 3, num_classes: int = 2, spatial_dims: int = 2
) -> NoisyClassifier:
    """Make the classifier of a preset, with fresh weights; arguments as in `make_denoiser`."""
    return NoisyClassifier(spatial_dims, image_channels, num_classes, **_preset(CLASSIFIER_PRESETS, preset))


def _preset(presets: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    if name not in presets:
        raise ArgumentError("preset", f"{name!r} does not exist", f"choose one of {', '.join(presets)}")
    return presets[name]
