"""A network from its checkpoint alone: the architecture by its preset, the channels by its weights."""

from __future__ import annotations

from pathlib import Path

from mcf_bundle.errors import CheckpointError
from mcf_bundle.networks.checkpoint import read_checkpoint
from mcf_bundle.networks.classifier import NoisyClassifier
from mcf_bundle.networks.denoiser import Denoiser
from mcf_bundle.networks.presets import CLASSIFIER_PRESETS, DENOISER_PRESETS, make_classifier, make_denoiser

_FIRST, _LAST = "unet.conv_in.conv.weight", "unet.out.2.conv.weight"
_FIRST_OF_CLASSIFIER, _LAST_OF_CLASSIFIER = "encoder.conv_in.conv.weight", "head.weight"


def load_stored_network(path: Path) -> Denoiser | NoisyClassifier:
    """Build the network that a checkpoint's weights belong to, whatever its conditioning, and load them.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        CheckpointError: if the file cannot be read, its preset does not exist here, or its weights do not fit
            the preset.
    """
    checkpoint = read_checkpoint(path)
    weights, is_denoiser = checkpoint.weights, checkpoint.kind == "denoiser"
    presets = DENOISER_PRESETS if is_denoiser else CLASSIFIER_PRESETS
    first, last = (_FIRST, _LAST) if is_denoiser else (_FIRST_OF_CLASSIFIER, _LAST_OF_CLASSIFIER)
    if checkpoint.preset not in presets:
        problem = f"is of the preset {checkpoint.preset!r}, which does not exist here"
        raise CheckpointError(path, problem, f"this version knows {', '.join(presets)}")
    if not {first, last} <= weights.keys():
        raise CheckpointError(path, f"lacks {first} or {last}", "give a model.pt of a bundle")
    spatial_dims = weights[first].ndim - 2
    block = presets[checkpoint.preset]["stem"] ** spatial_dims
    inputs, outputs = weights[first].shape[1] // block, len(weights[last])
    network = (
        make_denoiser(
            checkpoint.preset,
            image_channels=outputs // block,
            context_channels=inputs - outputs // block,
            spatial_dims=spatial_dims,
        )
        if is_denoiser
        else make_classifier(
            checkpoint.preset, image_channels=inputs, num_classes=outputs, spatial_dims=spatial_dims
        )
    )
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        problem = f"does not fit its preset {checkpoint.preset!r}"
        raise CheckpointError(path, problem, "use the version of mcf_bundle that wrote it") from error
    return network.eval()
