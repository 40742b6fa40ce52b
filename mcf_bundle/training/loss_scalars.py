"""What TensorBoard shows of a training step."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


class LossScalars:
    """Pick the scalars of a training step: the loss, and each term of a `WeightedLoss`.

    Args:
        loss_function: the trainer's loss.
    """

    def __init__(self, loss_function: nn.Module) -> None:
        self.loss_function = loss_function

    def __call__(self, output: Mapping[str, Tensor]) -> dict[str, float]:
        """Return `train_loss`, and `train_loss/<term>` without its weight.

        Args:
            output: the trainer's output, with the key `loss`.
        """
        terms: Mapping[str, Tensor] = getattr(self.loss_function, "values", {})
        scalars = {f"train_loss/{name}": value.item() for name, value in terms.items()}
        return {"train_loss": output["loss"].item(), **scalars}
