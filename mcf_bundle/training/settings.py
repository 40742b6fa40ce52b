"""Checks of a training run's settings, before anything is read or written."""

from __future__ import annotations

from typing import Any

from mcf_bundle.arguments import as_path, check_count, check_device, check_number, check_whole
from mcf_bundle.errors import ArgumentError
from mcf_bundle.networks.precision import get_precision


def check_training_settings(
    *,
    ckpt_dir: Any,
    learning_rate: Any,
    counts: dict[str, Any],
    cooldown_epochs: Any = 0,
    device: Any = "cpu",
    kind: str = "denoiser",
    max_step: Any = None,
    crop: Any = None,
    size_divisor: int = 1,
    precision: Any = "float32",
) -> None:
    """Refuse settings that would only fail after a while, or pass in silence.

    Args:
        ckpt_dir: where checkpoints go.
        learning_rate: above 0, finite.
        counts: settings that are whole numbers of 1 or more, by name; None stands for a default.
        cooldown_epochs: last epochs, whose learning rate falls; no more than ``max_epochs`` of the counts.
        device: where the network goes.
        kind: what is trained, see `Checkpoint`.
        max_step: largest noise step; the gate judges images without noise, so its is 0.
        crop: side of the training crops, pixels, or None.
        size_divisor: what the network's input sides must be multiples of.
        precision: type that the network computes in, see `PRECISIONS`.

    Raises:
        ArgumentError: names the setting.
    """
    folder = as_path(ckpt_dir, "ckpt_dir")
    if folder.exists() and not folder.is_dir():
        raise ArgumentError("ckpt_dir", f"{folder} is a file", "give a folder")
    check_device(device)
    for name, value in counts.items():
        if value is not None:
            check_count(name, value)
    check_number("learning_rate", learning_rate, above=0)
    check_whole("cooldown_epochs", cooldown_epochs)
    max_epochs = counts.get("max_epochs")
    if max_epochs is not None and cooldown_epochs > max_epochs:
        problem = f"{cooldown_epochs} is more than the {max_epochs} of max_epochs"
        raise ArgumentError("cooldown_epochs", problem, "choose a shorter cooldown, or train longer")
    get_precision(precision)
    if precision == "float16":
        raise ArgumentError("precision", "float16 underflows in training", "choose bfloat16 or float32")
    if kind == "gate" and max_step != 0:
        remedy = "list train_gate.json after other overlays"
        raise ArgumentError("max_step", f"the gate is trained without noise, got {max_step!r}", remedy)
    if crop is not None:
        check_count("crop", crop)
        if crop % size_divisor:
            problem = f"{crop} is no multiple of {size_divisor}, which this network needs"
            raise ArgumentError("crop", problem, f"choose a multiple of {size_divisor}")
