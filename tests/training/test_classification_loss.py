from __future__ import annotations

import pytest
import torch
from monai.losses import FocalLoss
from torch.nn import functional

from mcf_bundle.errors import ArgumentError
from mcf_bundle.training.classification_loss import SliceFocalLoss, make_classification_loss

LABEL = torch.tensor([0, 1, 1, 0, 1])
LOGITS = torch.randn(5, 2, generator=torch.Generator().manual_seed(0)) * 3


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.5, 0.0), (0.75, 5.0)])
def test_the_focal_loss_is_the_closed_form_of_lin_et_al(alpha: float, gamma: float) -> None:
    """FL = -alpha_t (1 - p_t)^gamma log p_t, with p the softmax of two classes; mean over cases."""
    p_t = LOGITS.double().softmax(1).gather(1, LABEL[:, None])[:, 0]
    alpha_t = torch.where(LABEL == 1, alpha, 1 - alpha).double()
    expected = (-alpha_t * (1 - p_t) ** gamma * p_t.log()).mean()
    loss = SliceFocalLoss(alpha, gamma)(LOGITS, LABEL)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_monai_s_focal_loss_with_softmax_is_half_of_it() -> None:
    """Why it is not used as it comes: its mean counts both classes of each case (MONAI 1.6.1)."""
    softmax = FocalLoss(to_onehot_y=True, use_softmax=True, alpha=0.25, gamma=2.0)(LOGITS, LABEL[:, None])
    assert softmax.item() == pytest.approx(SliceFocalLoss()(LOGITS, LABEL).item() / 2, rel=1e-5)


def test_the_default_is_the_paper_s_and_without_focus_it_is_half_the_cross_entropy() -> None:
    torch.testing.assert_close(
        make_classification_loss("focal")(LOGITS, LABEL), SliceFocalLoss(0.25, 2.0)(LOGITS, LABEL)
    )
    entropy = functional.cross_entropy(LOGITS, LABEL)
    torch.testing.assert_close(make_classification_loss("cross_entropy")(LOGITS, LABEL), entropy)
    torch.testing.assert_close(SliceFocalLoss(0.5, 0.0)(LOGITS, LABEL), entropy / 2)


def test_certain_and_wrong_is_finite() -> None:
    loss = SliceFocalLoss()(torch.tensor([[100.0, -100.0]]), torch.tensor([1]))
    assert loss.item() == pytest.approx(0.25 * 200)


def test_an_unknown_loss_is_refused_with_those_that_exist() -> None:
    with pytest.raises(
        ArgumentError, match="loss: 'dice' does not exist; choose one of focal, cross_entropy"
    ):
        make_classification_loss("dice")
