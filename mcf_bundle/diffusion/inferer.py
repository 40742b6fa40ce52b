"""The fusion sampler as a MONAI inferer."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor, nn

from mcf_bundle.diffusion.fusion import get_fusion
from mcf_bundle.diffusion.sampler import FusionBatch, Network, SamplerSettings, sample_fusion
from mcf_bundle.diffusion.schedule import NoiseSchedule
from mcf_bundle.errors import ArgumentError

PRECISIONS: dict[str, torch.dtype | None] = {
    "float32": None,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
"""Type that a network computes in, by the name that a config gives; None is the weights' own."""


def get_precision(name: str) -> torch.dtype | None:
    """Return the type of the precision `name`.

    Raises:
        ArgumentError: if it does not exist.
    """
    if name not in PRECISIONS:
        raise ArgumentError("precision", f"{name!r} does not exist", f"choose one of {', '.join(PRECISIONS)}")
    return PRECISIONS[name]


def autocast_call(network: nn.Module, precision: str, *, channels_last: bool = False) -> Network:
    """Wrap a network so that autocast surrounds its call alone, and its output is float32.

    Args:
        network: called as network(x, timesteps).
        precision: a key of `PRECISIONS`.
        channels_last: memory format of 2D inputs; faster forward, slower backward on CPUs.

    Raises:
        ArgumentError: if the precision does not exist.
    """
    dtype = get_precision(precision)

    def call(x: Tensor, timesteps: Tensor) -> Tensor:
        if channels_last and x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, dtype=dtype, enabled=dtype is not None):
            output = network(x, timesteps)
        return output.float()

    return call


class FusionInferer(Inferer):
    """Fuse hosts with tumors at step L and denoise them: `sample_fusion` with its settings.

    Args:
        schedule: the noise schedule that the networks were trained with.
        start_step: L.
        steps: network calls from L to 0.
        fusion: a key of `FUSIONS`.
        guidance_scale: w; 0 is no guidance.
        eta: DDIM's stochasticity.
        keep_outside: hold everything outside the grown mask at the host.
        classifier: the guidance classifier.
        precision: a key of `PRECISIONS`.

    Raises:
        ArgumentError: for settings outside their range, or guidance without a classifier.
    """

    def __init__(
        self,
        schedule: NoiseSchedule,
        *,
        start_step: int,
        steps: int,
        fusion: str = "fusion2",
        guidance_scale: float = 0.0,
        eta: float = 0.0,
        keep_outside: bool = True,
        classifier: nn.Module | None = None,
        precision: str = "float32",
    ) -> None:
        super().__init__()
        for name, value in (("start_step", start_step), ("steps", steps)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise ArgumentError(name, f"expected a whole number, got {value!r}", "correct it")
        for name, number in (("guidance_scale", guidance_scale), ("eta", eta)):
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise ArgumentError(name, f"expected a number, got {number!r}", "correct it")
        if not isinstance(keep_outside, bool):
            raise ArgumentError("keep_outside", f"expected true or false, got {keep_outside!r}", "correct it")
        schedule.time_pairs(start_step, steps)
        get_fusion(fusion)
        get_precision(precision)
        if guidance_scale < 0:
            raise ArgumentError(
                "guidance_scale", f"expected 0 or more, got {guidance_scale}", "0 is no guidance"
            )
        if not 0 <= eta <= 1:
            raise ArgumentError("eta", f"expected 0 to 1, got {eta}", "0 is deterministic")
        if guidance_scale and classifier is None:
            raise ArgumentError("guidance_scale", "guidance needs a classifier", "give classifier_ckpt, or 0")
        self.schedule, self.precision = schedule, precision
        self.settings = SamplerSettings(start_step, steps, fusion, guidance_scale, eta, keep_outside)
        self.classifier = None if classifier is None else autocast_call(classifier, precision)

    def describe(self) -> dict[str, Any]:
        """Return every setting as plain values, for the plan."""
        return {**asdict(self.settings), "precision": self.precision}

    def __call__(  # type: ignore[override]
        self, inputs: FusionBatch, network: nn.Module, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Return the generated middle slices, (B, C, H, W), float32, network range."""
        denoiser = autocast_call(network, self.precision, channels_last=True)
        return sample_fusion(inputs, denoiser, self.classifier, self.schedule, self.settings)
