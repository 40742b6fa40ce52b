"""Pictures of what the denoiser does with real tumor slices, for TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn
from torch.utils.data import default_collate
from torch.utils.tensorboard import SummaryWriter

from mcf_bundle.data.triplet_dataset import TripletDataset
from mcf_bundle.data.volume import Channel, Label
from mcf_bundle.diffusion.sampler import FusionBatch, SamplerSettings, sample_fusion
from mcf_bundle.diffusion.schedule import NoiseSchedule
from mcf_bundle.errors import ArgumentError
from mcf_bundle.training.inferer import NoisyInferer


class SampleGridHandler:
    """Noise a few validation slices to step L and denoise them again, after each validation.

    A good denoiser gives back the slice with other fine texture. The grid shows FLAIR: the slices above, the
    result below.

    Args:
        writer: TensorBoard's writer; whoever made it closes it.
        network: the averaged denoiser.
        dataset: the validation slices; the first tumor slices are taken.
        schedule: the noise schedule.
        inferer: how the network is called.
        start_step: L.
        steps: network calls.
        count: number of slices.
        condition_keys: what conditions the network, as in `NoisePrepareBatch`; none for an unconditional one.
    """

    def __init__(
        self,
        writer: SummaryWriter,
        network: nn.Module,
        dataset: TripletDataset,
        schedule: NoiseSchedule,
        inferer: NoisyInferer,
        *,
        start_step: int = 300,
        steps: int = 10,
        count: int = 4,
        condition_keys: Sequence[str] = ("context",),
    ) -> None:
        self.writer, self.network, self.dataset, self.schedule = writer, network, dataset, schedule
        if not 1 <= start_step <= schedule.num_steps:
            problem = f"{start_step!r} is outside [1, {schedule.num_steps}]"
            raise ArgumentError("grid_step", problem, "choose a step of the schedule")
        self.settings = SamplerSettings(start_step, min(steps, start_step))
        self.inferer, self.count, self.condition_keys = inferer, count, tuple(condition_keys)

    def attach(self, engine: Engine) -> None:
        """Register with the validation engine, whose epoch is the trainer's."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Draw the grid."""
        self.writer.add_image("slices above, denoised below", self.draw(), engine.state.epoch)
        self.writer.flush()

    def draw(self) -> Tensor:
        """Return the grid, (1, 2 * H, count * W), float32, [0, 1]."""
        tumor = [position for position, label in enumerate(self.dataset.labels) if label == Label.TUMOR]
        chosen = [self.dataset[position] for position in (tumor or range(len(self.dataset)))[: self.count]]
        batch = default_collate(chosen)
        device = next(self.network.parameters()).device
        image = batch["image"].to(device)
        conditions = [batch[key].to(device) for key in self.condition_keys]
        fused = FusionBatch(
            host=image,
            contribution=torch.zeros_like(image),
            context=torch.cat(conditions, dim=1) if conditions else None,
            editable=torch.ones_like(image[:, :1], dtype=torch.bool),
            seeds=range(len(chosen)),
        )
        self.network.eval()
        result = sample_fusion(fused, self._denoise, None, self.schedule, self.settings)
        rows = [torch.cat(list(images[:, Channel.FLAIR]), dim=-1) for images in (image, result)]
        return ((torch.cat(rows, dim=-2) + 1) / 2).clamp(0, 1)[None].cpu()

    def _denoise(self, x: Tensor, timesteps: Tensor) -> Tensor:
        return self.inferer(x, self.network, timesteps=timesteps)
