"""The fusion sampler as a MONAI inferer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from monai.inferers import Inferer
from torch import Tensor, nn

from mcf_bundle.diffusion.fusion import get_fusion
from mcf_bundle.diffusion.sampler import FusionBatch, SamplerSettings, sample_fusion
from mcf_bundle.diffusion.schedule import NoiseSchedule
from mcf_bundle.diffusion.solvers import check_solver
from mcf_bundle.errors import ArgumentError
from mcf_bundle.networks.precision import autocast_call, get_precision


class FusionInferer(Inferer):
    """Fuse hosts with tumors at step L and denoise them: `sample_fusion` with its settings.

    Args:
        schedule: the noise schedule that the networks were trained with.
        start_step: L.
        steps: calls of the denoiser from L to 0.
        fusion: a key of `FUSIONS`.
        solver: a key of `SOLVERS`.
        spacing: a key of `SPACINGS`: how the times between L and 0 are chosen.
        guidance_scale: w; 0 is no guidance.
        guidance_interval: (lowest, highest) step at which guidance acts.
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
        solver: str = "ddim",
        spacing: str = "uniform",
        guidance_scale: float = 0.0,
        guidance_interval: Sequence[int] = (1, 1000),
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
        schedule.time_pairs(start_step, steps, spacing)
        get_fusion(fusion)
        get_precision(precision)
        if guidance_scale < 0:
            raise ArgumentError(
                "guidance_scale", f"expected 0 or more, got {guidance_scale}", "0 is no guidance"
            )
        if not 0 <= eta <= 1:
            raise ArgumentError("eta", f"expected 0 to 1, got {eta}", "0 is deterministic")
        check_solver(solver, eta)
        interval = _check_interval(guidance_interval)
        if guidance_scale and classifier is None:
            raise ArgumentError("guidance_scale", "guidance needs a classifier", "give classifier_ckpt, or 0")
        self.schedule, self.precision = schedule, precision
        self.settings = SamplerSettings(
            start_step, steps, fusion, solver, spacing, guidance_scale, interval, eta, keep_outside
        )
        self.classifier = None if classifier is None else autocast_call(classifier, precision)

    def describe(self) -> dict[str, Any]:
        """Return every setting as plain values, for the plan."""
        settings = asdict(self.settings)
        settings["guidance_interval"] = list(self.settings.guidance_interval)
        return {**settings, "precision": self.precision}

    def __call__(  # type: ignore[override]
        self, inputs: FusionBatch, network: nn.Module, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Return the generated middle slices, (B, C, H, W), float32, network range."""
        denoiser = autocast_call(network, self.precision, channels_last=True)
        return sample_fusion(inputs, denoiser, self.classifier, self.schedule, self.settings)


def _check_interval(interval: Sequence[int]) -> tuple[int, int]:
    values = tuple(interval) if isinstance(interval, list | tuple) else ()
    if len(values) != 2 or any(isinstance(t, bool) or not isinstance(t, int) for t in values):
        raise ArgumentError("guidance_interval", f"expected two steps, got {interval!r}", "give [1, 1000]")
    lowest, highest = values
    if not 1 <= lowest <= highest:
        raise ArgumentError(
            "guidance_interval", f"{interval!r} holds no step", "give the lower step of 1 or more first"
        )
    return lowest, highest
