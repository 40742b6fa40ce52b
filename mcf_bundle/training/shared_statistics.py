"""Batch normalization over the rows of all processes, on CPUs; torch has it for GPUs."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import torch
from torch import Tensor, nn
from torch.distributed.nn import functional as differentiable


def share_statistics(network: nn.Module, device: str | torch.device) -> nn.Module:
    """Let the batch normalization of a network see the whole batch, of which each process has its rows.

    Weights and buffers keep their names, and weights stay the objects that an optimizer holds. Processes take
    equally many rows, see `rows_of_process`.

    Args:
        network: changed in place, unless it is itself a batch normalization.
        device: where it computes; GPUs get torch's `SyncBatchNorm`.

    Returns:
        The network.
    """
    if torch.device(device).type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    if isinstance(network, nn.BatchNorm2d):
        return SharedBatchNorm2d.of(network)
    for name, child in network.named_children():
        setattr(network, name, share_statistics(child, device))
    return network


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalization whose mean and variance in training are those of all processes' rows.

    Ioffe and Szegedy, Batch Normalization, ICML 2015, Algorithm 1; gradients go through the means of all
    processes.
    """

    @classmethod
    def of(cls, layer: nn.BatchNorm2d) -> SharedBatchNorm2d:
        """Take over the settings, weights and buffers of a layer."""
        made = cls(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
        made.weight, made.bias = layer.weight, layer.bias
        made.running_mean, made.running_var = layer.running_mean, layer.running_var
        made.num_batches_tracked = layer.num_batches_tracked
        return made.train(layer.training)

    def forward(self, images: Tensor) -> Tensor:
        """Normalize (B, C, H, W) by channel."""
        processes = idist.get_world_size()
        if not self.training or processes == 1:
            return super().forward(images)
        wide = images if images.dtype == torch.float64 else images.float()
        mean = differentiable.all_reduce(wide.mean(dim=(0, 2, 3))) / processes
        centered = wide - mean[:, None, None]
        variance = differentiable.all_reduce(centered.square().mean(dim=(0, 2, 3))) / processes
        self._remember(mean.detach(), variance.detach(), processes * images.numel() // images.shape[1])
        scaled = centered * torch.rsqrt(variance + self.eps)[:, None, None]
        if self.affine:
            scaled = scaled * self.weight[:, None, None] + self.bias[:, None, None]
        return scaled.to(images.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics, whose variance is the unbiased one."""
        if not self.track_running_stats:
            return
        tracked: Any = self.num_batches_tracked
        tracked.add_(1)
        share = 1 / float(tracked) if self.momentum is None else self.momentum
        for running, new in ((self.running_mean, mean), (self.running_var, variance * count / (count - 1))):
            running.lerp_(new.to(running.dtype), share)  # type: ignore[union-attr]
