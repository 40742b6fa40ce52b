"""A 2D network for slices of any size: brought to what the network takes, the scores brought back."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from mcf_bundle.arguments import check_count
from mcf_bundle.networks.exportable import CheckpointNetwork


class FittedNetwork(CheckpointNetwork):
    """Call a network on slices that are resized and padded as it needs, and give scores of the slices' size.

    Args:
        network: gives one score a pixel and class, (B, C', H, W), for sides that `size_divisor` divides.
        architecture: its name, which a checkpoint stores.
        size_divisor: what the sides must be multiples of; the rest is filled with background.
        size: the longer side in pixels at which the network sees a slice, resized by area; None keeps it.

    Attributes:
        takes_masks: whether it is trained by its own losses, as `network(slices, mask)`.

    Raises:
        ArgumentError: the size is no number of pixels.
    """

    takes_masks = False

    def __init__(
        self, network: nn.Module, architecture: str, *, size_divisor: int, size: int | None = None
    ) -> None:
        super().__init__()
        if size is not None:
            check_count("size", size)
        self.network, self.architecture, self.size_divisor = network, architecture, size_divisor
        self.size = 0 if size is None else size

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of each pixel.

        Args:
            x: (B, C, H, W), network range; H and W are free.

        Returns:
            (B, C', H, W), not normalized; class 0 is background.
        """
        resized = self._resize(x, "area")
        scores = self.network(self._pad(resized, -1.0))
        scores = scores[:, :, : resized.shape[2], : resized.shape[3]]
        if scores.shape[2:] != x.shape[2:]:
            scores = functional.interpolate(scores, size=x.shape[2:], mode="bilinear")
        return scores

    def _resize(self, x: Tensor, mode: str) -> Tensor:
        longest = max(x.shape[2], x.shape[3])
        if self.size == 0 or longest == self.size:
            return x
        sides = [max(1, (side * self.size + longest // 2) // longest) for side in x.shape[2:]]
        return functional.interpolate(x, size=sides, mode=mode)

    def _pad(self, x: Tensor, value: float) -> Tensor:
        """Fill up below and to the right; the background of images is -1."""
        missing = [-x.shape[2] % self.size_divisor, -x.shape[3] % self.size_divisor]
        return functional.pad(x, [0, missing[1], 0, missing[0]], value=value)


class FittedDetector(FittedNetwork):
    """`FittedNetwork` of a network that is trained by its own losses from the masks."""

    takes_masks = True

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor | dict[str, Tensor]:  # type: ignore[override]
        """Return the losses by name where a mask is given, else the scores as `FittedNetwork` does.

        Args:
            x: (B, C, H, W), network range.
            mask: (B, 1, H, W), 0 or 1; may be empty.
        """
        if mask is None:
            return super().forward(x)
        fitted = self._pad(self._resize(x, "area"), -1.0)
        return self.network(fitted, self._pad(self._resize(mask, "nearest-exact"), 0.0))
