"""The order of the training samples, a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Sampler

from mcf_bundle.arguments import check_count
from mcf_bundle.errors import ArgumentError


class EpochSampler(Sampler[int]):
    """Draw a fixed number of samples an epoch; a resumed run sees the order that an undisturbed one sees.

    Args:
        labels: class of each sample.
        num_samples: samples an epoch; None means as many as there are.
        class_shares: share of each class in an epoch, where a class without samples leaves its share to the
            others; None visits all samples equally often.
        seed: seed of the order.

    Raises:
        ArgumentError: if there are no samples of any class with a positive share.
    """

    def __init__(
        self,
        labels: Sequence[int],
        *,
        num_samples: int | None = None,
        class_shares: Sequence[float] | None = None,
        seed: int = 0,
    ) -> None:
        if not labels:
            raise ArgumentError(
                "dataset", "has no training samples", "check the split and the rules for slices"
            )
        if any(share < 0 for share in class_shares or ()):
            problem = f"shares of the classes are {tuple(class_shares or ())}"
            raise ArgumentError("tumor_share", problem, "choose a share in [0, 1]")
        if num_samples is not None:
            check_count("epoch_length", num_samples)
        self.labels = torch.tensor(list(labels))
        self.num_samples = num_samples or len(labels)
        self.class_shares = None if class_shares is None else self._present(class_shares)
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration gives."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        """Yield positions of samples."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        if self.class_shares is None:
            return iter(_shuffled(torch.arange(len(self.labels)), self.num_samples, generator).tolist())
        parts: list[Tensor] = []
        for label, share in enumerate(self.class_shares):
            count = round(self.num_samples * sum(self.class_shares[: label + 1])) - sum(
                len(part) for part in parts
            )
            if share > 0:
                parts.append(_shuffled((self.labels == label).nonzero()[:, 0], count, generator))
        order = torch.cat(parts)
        return iter(order[torch.randperm(len(order), generator=generator)].tolist())

    def _present(self, shares: Sequence[float]) -> tuple[float, ...]:
        """Spread the shares of absent classes over the others."""
        kept = [share if (self.labels == label).any() else 0.0 for label, share in enumerate(shares)]
        if sum(kept) <= 0:
            raise ArgumentError(
                "dataset", "has no training samples of the wanted classes", "check masks and split"
            )
        return tuple(share / sum(kept) for share in kept)


def _shuffled(positions: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Repeat shuffled passes over the positions until there are `count`."""
    passes = [
        positions[torch.randperm(len(positions), generator=generator)]
        for _ in range(-(-count // len(positions)))
    ]
    return torch.cat([*passes, positions[:0]])[:count]
