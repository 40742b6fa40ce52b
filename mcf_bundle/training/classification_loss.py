"""Losses of a classifier of slices, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from monai.losses import FocalLoss
from torch import Tensor, nn

from mcf_bundle.errors import ArgumentError

FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
"""Weight of tumor (no tumor has the rest to 1) and exponent, as Lin et al. found best."""


class SliceFocalLoss(nn.Module):
    """Focal loss of two classes, the mean over cases of -alpha_t (1 - p_t)^gamma log p_t.

    Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, Eq. 5, with p the softmax of the two logits:
    the sigmoid of their difference. MONAI's `FocalLoss` on that difference is exact; with `use_softmax` it
    takes the mean over cases and classes, which is half of it.

    Args:
        alpha: weight of class 1 (tumor), in [0, 1].
        gamma: exponent; 0 leaves the weighted cross entropy.
    """

    def __init__(self, alpha: float = FOCAL_ALPHA, gamma: float = FOCAL_GAMMA) -> None:
        super().__init__()
        self.focal = FocalLoss(alpha=alpha, gamma=gamma)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss, ().

        Args:
            logits: (B, 2).
            label: (B,), int64, 0 or 1.
        """
        return self.focal(logits[:, 1:] - logits[:, :1], label[:, None].float())


CLASSIFICATION_LOSSES: Mapping[str, Callable[[], nn.Module]] = {
    "focal": SliceFocalLoss,
    "cross_entropy": nn.CrossEntropyLoss,
}
"""Losses by the name that a config gives."""


def make_classification_loss(name: str) -> nn.Module:
    """Make the loss `name`, averaged over the cases of a batch.

    Raises:
        ArgumentError: if the name does not exist.
    """
    if name not in CLASSIFICATION_LOSSES:
        known = ", ".join(CLASSIFICATION_LOSSES)
        raise ArgumentError("loss", f"{name!r} does not exist", f"choose one of {known}")
    return CLASSIFICATION_LOSSES[name]()
