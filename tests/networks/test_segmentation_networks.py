"""The segmenters: by name, for slices of any size, SegNet's pooling positions, Mask R-CNN's instances."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import vgg16_bn

from mcf_bundle.errors import ArgumentError
from mcf_bundle.networks.fitted import FittedNetwork
from mcf_bundle.networks.mask_rcnn import MaskRcnnSegmenter, instances
from mcf_bundle.networks.segmentation_networks import (
    MAKERS,
    SEGMENTATION_PRESETS,
    make_segmentation_network,
    network_of_architecture,
)
from mcf_bundle.networks.segnet import SegNet


@pytest.mark.parametrize(("name", "channels"), list(product(MAKERS, (3, 9))))
def test_a_network_gives_two_scores_a_pixel_for_any_size(name: str, channels: int) -> None:
    network = make_segmentation_network(name, preset="smoke", in_channels=channels).eval()
    with torch.no_grad():
        scores = network(torch.zeros(2, channels, 50, 70))
    assert scores.shape == (2, 2, 50, 70)
    assert scores.isfinite().all()
    assert network.architecture == f"{name}-smoke-{channels}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "vnet"}, "network_name: 'vnet' does not exist; choose one of unet, segnet, mask_rcnn"),
        (
            {"name": "unet", "preset": "huge"},
            "preset: 'huge' does not exist; choose one of smoke, fast, paper",
        ),
        ({"name": "unet", "size": 0}, "size: expected a whole number of 1 or more"),
    ],
)
def test_an_unknown_network_lists_what_exists(arguments: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make_segmentation_network(**arguments)


@pytest.mark.parametrize("size", [None, 32])
@pytest.mark.parametrize("channels", [3, 9])
def test_a_network_is_made_again_from_its_architecture(channels: int, size: int | None) -> None:
    network = make_segmentation_network("segnet", preset="smoke", in_channels=channels, size=size)
    again = network_of_architecture(network.architecture)
    assert (again.architecture, again.size) == (network.architecture, network.size)
    again.load_state_dict(network.state_dict())


@pytest.mark.parametrize("architecture", ["unet", "unet-fast", "unet-fast-x", "unet-fast-3-64-1", "a-fast-3"])
def test_no_network_is_made_from_another_name(architecture: str) -> None:
    with pytest.raises(ArgumentError):
        network_of_architecture(architecture)


def test_every_network_has_the_same_presets() -> None:
    assert SEGMENTATION_PRESETS.keys() == MAKERS.keys()
    assert len({tuple(presets) for presets in SEGMENTATION_PRESETS.values()}) == 1


# --- Any size --------------------------------------------------------------------------------------


class Recorder(nn.Module):
    """Give FLAIR for both classes and remember what came."""

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return x[:, [1, 1]]


def test_what_is_filled_up_is_background_and_cut_off_again() -> None:
    inner = Recorder()
    x = torch.rand(1, 3, 30, 33)
    scores = FittedNetwork(inner, "x", size_divisor=16)(x)
    assert inner.seen.shape == (1, 3, 32, 48)
    assert (inner.seen[:, :, 30:] == -1).all()
    assert (inner.seen[:, :, :, 33:] == -1).all()
    assert torch.equal(scores, x[:, [1, 1]])


def test_a_size_is_that_of_the_longer_side() -> None:
    inner = Recorder()
    x = torch.full((1, 3, 40, 80), 0.25)
    scores = FittedNetwork(inner, "x", size_divisor=4, size=20)(x)
    assert inner.seen.shape == (1, 3, 12, 20)
    assert (inner.seen[:, :, :10] == 0.25).all()
    assert scores.shape == (1, 2, 40, 80)
    assert torch.allclose(scores, torch.tensor(0.25))


def test_the_default_network_becomes_torchscript_that_fits_every_size() -> None:
    network = make_segmentation_network("unet", preset="smoke", size=24).eval()
    scripted = torch.jit.script(network)
    for sides in ((24, 24), (50, 31)):
        x = torch.rand(1, 3, *sides)
        assert torch.allclose(scripted(x), network(x), atol=1e-6)


def test_a_whole_checkpoint_is_taken_for_its_weights() -> None:
    one, other = (make_segmentation_network("unet", preset="smoke") for _ in range(2))
    other.load_state_dict({"model": one.state_dict(), "meta": {}})
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


# --- SegNet ----------------------------------------------------------------------------------------


def test_segnet_s_encoder_is_vgg16_s() -> None:
    def shapes(module: nn.Module) -> list[torch.Size]:
        return [m.weight.shape for m in module.modules() if isinstance(m, nn.Conv2d)]

    assert shapes(SegNet(3, 2).encoder) == shapes(vgg16_bn(weights=None).features)


def test_segnet_s_decoder_mirrors_its_encoder() -> None:
    network = SegNet(3, 2, base_channels=2)
    for down, up in zip(reversed(network.encoder[1:]), network.decoder[:-1], strict=True):
        first, last = ([m for m in part if isinstance(m, nn.Conv2d)] for part in (down, up))
        assert len(first) == len(last)
        assert (first[0].in_channels, first[-1].out_channels) == (last[-1].out_channels, last[0].in_channels)


def test_segnet_puts_values_back_where_they_were_pooled() -> None:
    """Without convolutions a pixel that is the largest of its 32 x 32 block survives, in its own place."""
    network = SegNet(1, 1, base_channels=1)
    for stage in (*network.encoder, *network.decoder):
        for index in range(len(stage)):
            stage[index] = nn.Identity()
    network.classifier = nn.Identity()  # type: ignore[assignment]
    x = torch.rand(1, 1, 64, 64)
    peaks = {(5, 17): 3.0, (31, 32): 4.0, (60, 1): 5.0, (32, 63): 6.0}
    for (row, column), value in peaks.items():
        x[0, 0, row, column] = value
    expected = torch.zeros_like(x)
    for (row, column), value in peaks.items():
        expected[0, 0, row, column] = value
    assert torch.equal(network(x), expected)


# --- Mask R-CNN ------------------------------------------------------------------------------------


def test_instances_are_the_connected_parts_with_boxes_around_their_pixels() -> None:
    mask = torch.zeros(20, 30)
    mask[2:5, 3:9] = 1
    mask[10, 20] = 1
    mask[11, 21] = 1  # touches at a corner
    found = instances(mask)
    assert found["boxes"].tolist() == [[3, 2, 9, 5], [20, 10, 22, 12]]
    assert found["labels"].tolist() == [1, 1]
    assert torch.equal(found["masks"].amax(0).float(), mask)


def test_an_empty_mask_has_no_instance() -> None:
    found = instances(torch.zeros(8, 9))
    assert found["boxes"].shape == (0, 4)
    assert found["masks"].shape == (0, 8, 9)


class FoundInstances(nn.Module):
    """A detector that always finds the same."""

    def __init__(self, masks: Tensor) -> None:
        super().__init__()
        self.masks = masks

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        return [{"masks": self.masks} for _ in images]


def test_instances_are_merged_to_one_mask() -> None:
    network = MaskRcnnSegmenter(3, blocks=(1, 1, 1, 1), fpn_channels=16).eval()
    masks = torch.zeros(2, 1, 6, 6)
    masks[0, 0, 1, 1], masks[1, 0, 1, 1], masks[1, 0, 4, 4], masks[0, 0, 2, 2] = 0.6, 0.9, 0.7, 0.4
    network.detector = FoundInstances(masks)  # type: ignore[assignment]
    scores = network(torch.zeros(1, 3, 6, 6))
    assert scores.softmax(1)[0, 1, 1, 1].item() == pytest.approx(0.9)
    assert scores.argmax(1).nonzero().tolist() == [[0, 1, 1], [0, 4, 4]]
    network.detector = FoundInstances(masks[:0])  # type: ignore[assignment]
    assert not network(torch.zeros(1, 3, 6, 6)).argmax(1).any()


@pytest.mark.parametrize("tumors", [0, 1], ids=["no tumor at all", "one slice with tumor"])
def test_mask_rcnn_trains_on_its_own_losses_also_without_tumor(tumors: int) -> None:
    network = make_segmentation_network("mask_rcnn", preset="smoke", size=64).train()
    assert network.takes_masks
    mask = torch.zeros(2, 1, 50, 60)
    mask[:tumors, :, 10:30, 20:40] = 1
    losses = network(torch.rand(2, 3, 50, 60), mask)
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    assert total.isfinite()
    assert {"loss_mask", "loss_classifier", "loss_objectness"} <= losses.keys()
    assert all(parameter.grad is not None for parameter in network.parameters()), "for parallel training"


def test_mask_rcnn_without_a_mask_says_what_it_needs() -> None:
    network = make_segmentation_network("mask_rcnn", preset="smoke").train()
    with pytest.raises(ArgumentError, match=r"call it with \(image, mask\)"):
        network(torch.zeros(1, 3, 32, 32))
