"""Two processes with their halves of a batch against one process with all of it, in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import ignite.distributed as idist
import pytest
import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn

from mcf_bundle.networks.classification_networks import make_classification_network
from mcf_bundle.training.distributed import WholeBatchLoss, parallel_network
from mcf_bundle.training.shared_statistics import SharedBatchNorm2d, share_statistics

STEPS, ROWS, RATE = 3, 4, 0.001
TOLERANCE = 1e-11

MakeBatch = Callable[[int], tuple[Tensor, Tensor]]


def make_network() -> nn.Module:
    """Return a small network with batch normalization, affine and not, in a row and nested."""
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), nn.ReLU())
    return nn.Sequential(
        inner, nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3, momentum=None), nn.Conv2d(3, 2, 1)
    ).double()


def make_resnet() -> nn.Module:
    """Return a classifier whose gradients fill several buffers of DistributedDataParallel."""
    torch.manual_seed(0)
    return make_classification_network("resnet18", in_channels=3, size=32).double()


def make_batch(step: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(ROWS, 3, 9, 9, generator=generator, dtype=torch.float64)
    return images, (torch.rand(ROWS, 1, 5, 5, generator=generator) > 0.6).double()


def make_labeled_batch(step: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(ROWS, 3, 32, 32, generator=generator, dtype=torch.float64)
    return images, torch.tensor([0, 1, 1, 0])


def make_loss() -> nn.Module:
    return DiceCELoss(to_onehot_y=True, softmax=True, batch=True)


CASES = {
    "small": (make_network, make_batch, make_loss),
    "resnet18": (make_resnet, make_labeled_batch, nn.CrossEntropyLoss),
}
"""Makers of a network, of the batch of a step, and of a loss."""


def train(
    network: nn.Module, called: nn.Module, loss_function: nn.Module, mine: slice, batch: MakeBatch
) -> dict[str, Tensor]:
    """Train some steps; return the weights, and the loss of each step."""
    optimizer, losses = torch.optim.SGD(network.parameters(), RATE), []
    for step in range(STEPS):
        images, targets = batch(step)
        optimizer.zero_grad()
        loss = loss_function(called(images[mine]), targets[mine])
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return {**copy.deepcopy(network.state_dict()), "losses": torch.stack(losses)}


def work(rank: int, folder: str, case: str, channels_last: bool) -> None:
    make, batch, loss = CASES[case]
    network = make()
    wrapped = parallel_network(network, "cpu", channels_last=channels_last)
    if channels_last:
        wrapped.to(memory_format=torch.channels_last)  # as `autocast_call` does before each call
    half = ROWS // 2
    found = train(network, wrapped, WholeBatchLoss(loss()), slice(rank * half, (rank + 1) * half), batch)
    torch.save(found, Path(folder) / f"{rank}.pt")


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("channels_last", [False, True])
def test_two_processes_train_as_one_does_to_the_last_digits(
    tmp_path: Path, case: str, channels_last: bool
) -> None:
    make, batch, loss = CASES[case]
    network = make()
    expected = train(network, network, loss(), slice(None), batch)
    with idist.Parallel(backend="gloo", nproc_per_node=2, start_method="fork") as parallel:
        parallel.run(work, str(tmp_path), case, channels_last)
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert torch.allclose(found[name], value, rtol=0, atol=TOLERANCE), name


def test_a_process_alone_keeps_torch_s_layer_s_numbers() -> None:
    plain = make_network()
    shared = share_statistics(copy.deepcopy(plain), "cpu")
    images = make_batch(0)[0]
    for training in (True, False):
        assert torch.equal(shared.train(training)(images), plain.train(training)(images))
    assert shared.state_dict().keys() == plain.state_dict().keys()


def test_weights_stay_the_optimizer_s() -> None:
    network = make_network()
    before = dict(network.named_parameters())
    shared = share_statistics(network, "cpu")
    assert shared is network
    assert all(value is before[name] for name, value in shared.named_parameters())
    assert sum(isinstance(module, SharedBatchNorm2d) for module in shared.modules()) == 2


def test_a_lone_loss_is_the_plain_one() -> None:
    images, masks = make_batch(0)
    scores = images[:, :2, 2:7, 2:7]
    assert torch.equal(WholeBatchLoss(make_loss())(scores, masks), make_loss()(scores, masks))
