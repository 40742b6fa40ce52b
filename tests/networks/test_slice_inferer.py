"""Networks of slices on batches of slices and on volumes."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor, nn

from mcf_bundle.errors import ArgumentError
from mcf_bundle.networks.slice_inferer import SlicewiseInferer, input_channels


class Channels(nn.Module):
    """Give two chosen channels of the input."""

    def __init__(self, *channels: int) -> None:
        super().__init__()
        self.channels = list(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.channels]


def test_a_volume_is_its_slices() -> None:
    volume, network = torch.rand(2, 3, 8, 9, 5), Channels(0, 2)
    found = SlicewiseInferer(batch_size=2)(volume, network)
    assert torch.equal(found, volume[:, [0, 2]])


def test_each_slice_of_a_volume_comes_with_its_neighbors() -> None:
    volume = torch.rand(1, 3, 8, 9, 5)
    previous, following = ([0, 0, 1, 2, 3], [1, 2, 3, 4, 4])
    found = SlicewiseInferer(3)(volume, Channels(4, 7))
    assert torch.equal(found[:, 0], volume[:, 1][..., previous])
    assert torch.equal(found[:, 1], volume[:, 1][..., following])


def test_a_slice_that_comes_alone_is_its_own_neighbor() -> None:
    x = torch.rand(2, 3, 8, 9)
    assert torch.equal(SlicewiseInferer(3)(x, Channels(4, 7)), x[:, [1, 1]])


def test_a_prepared_triplet_is_taken_as_it_is() -> None:
    x = torch.rand(2, 9, 8, 9)
    assert torch.equal(SlicewiseInferer(3)(x, Channels(4, 7)), x[:, [4, 7]])


@pytest.mark.parametrize("depth", [(), (3,)], ids=["picture", "volume"])
def test_geometry_goes_along(depth: tuple[int, ...]) -> None:
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64))
    x = MetaTensor(torch.rand(1, 3, 8, 9, *depth), affine=affine)
    found = SlicewiseInferer()(x, Channels(0, 1))
    assert isinstance(found, MetaTensor)
    assert torch.equal(found.affine, affine)


def test_bfloat16_comes_back_as_float32() -> None:
    network = nn.Conv2d(3, 2, 1)
    x = torch.rand(1, 3, 8, 9)
    found = SlicewiseInferer(precision="bfloat16")(x, network)
    assert found.dtype == torch.float32
    assert 0 < (found - network(x)).abs().max() < 0.02


@pytest.mark.parametrize("slices", [0, 2, 9, None])
def test_another_number_of_slices_is_refused(slices: int) -> None:
    with pytest.raises(ArgumentError, match="input_slices: expected one of 1, 3"):
        input_channels(slices)


def test_other_channels_are_refused() -> None:
    with pytest.raises(ArgumentError, match="expected 3 or 9 channels, got shape"):
        SlicewiseInferer(3)(torch.zeros(1, 4, 8, 8), Channels(0, 1))


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ArgumentError, match="precision"):
        SlicewiseInferer(precision="float8")
