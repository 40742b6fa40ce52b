"""The fusion sampler as a MONAI inferer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor, nn

from mcf_bundle.arguments import check_count, check_flag, check_number, check_range, check_share
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
        guidance_interval: (lowest, highest) step at which guidance acts, in [1, T]; None is all steps.
        eta: DDIM's stochasticity.
        keep_outside: hold everything outside the grown mask at the host.
        neighbors: whether the denoiser sees the previous and the next slice.
        mask: whether it sees the mask of the middle slice, after the neighbors.
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
        guidance_interval: Sequence[int] | None = None,
        eta: float = 0.0,
        keep_outside: bool = True,
        neighbors: bool = True,
        mask: bool = False,
        classifier: nn.Module | None = None,
        precision: str = "float32",
    ) -> None:
        super().__init__()
        check_count("start_step", start_step)
        check_count("steps", steps)
        check_number("guidance_scale", guidance_scale, least=0)
        check_share("eta", eta)
        check_flag("keep_outside", keep_outside)
        check_flag("neighbors", neighbors)
        check_flag("mask", mask)
        schedule.time_pairs(start_step, steps, spacing)
        get_fusion(fusion)
        get_precision(precision)
        check_solver(solver, eta)
        interval = _as_interval(guidance_interval, schedule.num_steps)
        if guidance_scale and classifier is None:
            raise ArgumentError("guidance_scale", "guidance needs a classifier", "give classifier_ckpt, or 0")
        self.schedule, self.precision = schedule, precision
        self.neighbors, self.mask = neighbors, mask
        self.settings = SamplerSettings(
            start_step, steps, fusion, solver, spacing, guidance_scale, interval, eta, keep_outside
        )
        self.classifier = None if classifier is None else autocast_call(classifier, precision)

    def describe(self) -> dict[str, Any]:
        """Return every setting as plain values, for the plan; `neighbors` and `mask` where they differ."""
        settings = {**asdict(self.settings), "precision": self.precision}
        settings["guidance_interval"] = list(self.settings.guidance_interval)
        # Plans of denoisers that see the neighbors and no mask keep their keys.
        if not self.neighbors:
            settings["neighbors"] = False
        if self.mask:
            settings["mask"] = True
        return settings

    @classmethod
    def of(
        cls, described: Mapping[str, Any], schedule: NoiseSchedule, classifier: nn.Module | None
    ) -> FusionInferer:
        """Make the sampler that `describe` told of.

        Args:
            described: what it returned; further keys are left alone.
            schedule: the noise schedule.
            classifier: the guidance classifier.

        Raises:
            KeyError: a setting is missing.
        """
        names = {field.name for field in fields(SamplerSettings)} - {"label"}
        settings = {name: described[name] for name in (*sorted(names), "precision")}
        seen = {"neighbors": described.get("neighbors", True), "mask": described.get("mask", False)}
        return cls(schedule, **settings, **seen, classifier=classifier)

    def __call__(  # type: ignore[override]
        self, inputs: FusionBatch, network: nn.Module, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Return the generated middle slices, (B, C, H, W), float32, network range."""
        denoiser = autocast_call(network, self.precision, channels_last=True)
        conditioned = replace(inputs, context=self.condition(inputs))
        return sample_fusion(conditioned, denoiser, self.classifier, self.schedule, self.settings)

    def condition(self, inputs: FusionBatch) -> Tensor | None:
        """Return what the denoiser sees beside the noisy slice, in its order; None if that is all it sees.

        Raises:
            ArgumentError: the denoiser sees the mask and there is none.
        """
        if self.mask and inputs.mask is None:
            raise ArgumentError("inputs", "the batch lacks the mask that the denoiser sees", "give a mask")
        parts = [inputs.context] * self.neighbors + [inputs.mask] * self.mask
        seen = [part for part in parts if part is not None]
        return torch.cat(seen, dim=1) if seen else None


def _as_interval(interval: Sequence[int] | None, num_steps: int) -> tuple[int, int]:
    """Return the steps between which guidance acts; None is all of the schedule's."""
    if interval is None:
        return 1, num_steps
    check_range("guidance_interval", interval, least=1, most=num_steps)
    for step in interval:
        check_count("guidance_interval", step)
    return interval[0], interval[1]
