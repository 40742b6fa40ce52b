"""What a training step is fed: noised images, steps, conditioning and the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from monai.engines import PrepareBatch
from torch import Tensor

from mcf_bundle.arguments import check_count
from mcf_bundle.diffusion.noising import add_noise
from mcf_bundle.diffusion.schedule import NoiseSchedule
from mcf_bundle.errors import ArgumentError


class NoisePrepareBatch(PrepareBatch):
    """Noise the images of a batch to random steps (Eq. 1) and hand the engine input, target and conditioning.

    One class serves the nine-channel denoiser (`condition_keys` = ["context"]), a mask-conditioned model
    (["mask"]), an unconditional one ([]) and the classifier of noisy slices (`target` = "label").

    Args:
        schedule: the noise schedule.
        image_key: what is noised, (B, C, H, W[, D]) float32, network range.
        condition_keys: tensors that are handed on without noise, concatenated along the channels.
        target: "noise" for a denoiser, "label" for a classifier.
        min_step: smallest step drawn; 0 also draws images without noise.
        max_step: largest step drawn; None means T. A sampler that starts at step L needs no larger one.
        crop: side of a square cut out around a random place of each batch, pixels; None keeps whole images.
            Crops make early epochs cheaper.
        mirror: flip each image left to right with probability one half.
        seed: seed of the noise; with `set_epoch` the noise of an epoch does not depend on what was drawn
            before.
    """

    def __init__(
        self,
        schedule: NoiseSchedule,
        *,
        image_key: str = "image",
        condition_keys: Sequence[str] = ("context",),
        target: Literal["noise", "label"] = "noise",
        min_step: int = 1,
        max_step: int | None = None,
        crop: int | None = None,
        mirror: bool = True,
        seed: int = 0,
    ) -> None:
        self.schedule, self.image_key, self.condition_keys = schedule, image_key, tuple(condition_keys)
        self.target, self.min_step = target, min_step
        self.max_step = schedule.num_steps if max_step is None else max_step
        self.crop, self.mirror, self.seed = crop, mirror, seed
        if not 0 <= min_step <= self.max_step <= schedule.num_steps:
            order = f"0 <= min_step <= max_step <= {schedule.num_steps}"
            problem = f"expected {order}, got {min_step} and {self.max_step}"
            raise ArgumentError("max_step", problem, "correct min_step and max_step")
        if crop is not None:
            check_count("crop", crop)
        self.generator = torch.Generator()
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Restart the random numbers, so that a resumed run draws what an undisturbed one draws."""
        self.generator.manual_seed(self.seed * 1_000_003 + epoch)

    def __call__(
        self,
        batchdata: dict[str, Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor, tuple[()], dict[str, Tensor]]:
        """Return (noised images, target, (), keyword arguments of the inferer).

        Random numbers are drawn on the CPU, so that they are the same on every device.
        """
        tensors = self._augment([batchdata[key] for key in (self.image_key, *self.condition_keys)])
        clean = tensors[0]
        steps = torch.randint(self.min_step, self.max_step + 1, (len(clean),), generator=self.generator)
        noise = torch.randn(clean.shape, generator=self.generator)
        noised = add_noise(clean, noise, self.schedule.at(steps, clean))
        target = noise if self.target == "noise" else batchdata["label"]
        arguments = {"timesteps": (steps - 1).clamp(min=0)}
        if self.condition_keys:
            arguments["condition"] = torch.cat(tensors[1:], dim=1)
        moved = {
            key: value.to(device, non_blocking=non_blocking, **kwargs) for key, value in arguments.items()
        }
        return (
            noised.to(device, non_blocking=non_blocking, **kwargs),
            target.to(device, non_blocking=non_blocking, **kwargs),
            (),
            moved,
        )

    def _augment(self, tensors: list[Tensor]) -> list[Tensor]:
        if self.mirror:
            flips = torch.rand(len(tensors[0]), generator=self.generator) < 0.5
            flips = flips.reshape(-1, *[1] * (tensors[0].ndim - 1))
            tensors = [torch.where(flips, tensor.flip(3), tensor) for tensor in tensors]
        if self.crop is not None:
            sides = tensors[0].shape[2:]
            if self.crop > min(sides):
                raise ArgumentError(
                    "crop", f"{self.crop} is larger than a slice's side, {min(sides)}", "crop less"
                )
            # Heads fill the middle of a slice: starts between an eighth and seven eighths of the free margin.
            starts = [
                int((side - self.crop) * (0.125 + 0.75 * torch.rand((), generator=self.generator).item()))
                for side in sides
            ]
            for axis, start in enumerate(starts, start=2):
                tensors = [tensor.narrow(axis, start, self.crop) for tensor in tensors]
        return tensors
