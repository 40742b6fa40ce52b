from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.block_size import BlockSize
from mcf_bundle.generation.gate_fit import TumorProbability


class Device:
    """A call whose memory suffices for a number of items."""

    def __init__(self, most: int) -> None:
        self.most, self.calls = most, list[tuple[int, int]]()

    def __call__(self, part: Sequence[int], size: int) -> list[int]:
        self.calls.append((len(part), size))
        if size > self.most:
            raise torch.OutOfMemoryError
        return [10 * item for item in part]


@pytest.mark.parametrize(
    ("most", "calls"),
    [
        (8, [(5, 5), (2, 5)]),
        (2, [(5, 5), (2, 2), (2, 2), (2, 2), (1, 2)]),
        (1, [(5, 5), (2, 2), *[(1, 1)] * 7]),
    ],
)
def test_every_item_has_its_value_in_order_whatever_fits(most: int, calls: list[tuple[int, int]]) -> None:
    device, block = Device(most), BlockSize(5, on_oom="halve")
    assert block.split(range(7), device) == [0, 10, 20, 30, 40, 50, 60]
    assert device.calls == calls
    assert block.full == 5


def test_what_did_not_fit_once_is_not_tried_again() -> None:
    device, block = Device(2), BlockSize(4, on_oom="halve")
    block.split(range(4), device)
    block.split(range(4), device)
    assert [size for _, size in device.calls] == [4, 2, 2, 2, 2]


def test_nothing_gives_no_call() -> None:
    device = Device(0)
    assert BlockSize(4).split([], device) == []
    assert device.calls == []


def test_other_errors_pass() -> None:
    def fail(*_: object) -> list[int]:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        BlockSize(4, on_oom="halve").split([1], fail)


@pytest.mark.parametrize("on_oom", ["shrink", "", None, True])
def test_another_word_is_refused(on_oom: str) -> None:
    with pytest.raises(ArgumentError, match="on_oom: expected 'stop' or 'halve'"):
        BlockSize(4, on_oom=on_oom)


class Small(nn.Module):
    """A classifier that runs out of memory with more than two images; its first pixel decides."""

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        if len(x) > 2:
            raise torch.OutOfMemoryError
        return torch.stack([torch.zeros(len(x)), x[:, 0, 0, 0]], 1)


def test_the_gate_s_classifier_shares_the_block_and_halves_it_too() -> None:
    block = BlockSize(4, on_oom="halve")
    images = [np.full((3, 4, 4), value, np.float32) for value in (0.1, 0.5, 0.9)]
    probability = TumorProbability(Small(), precision="float32", block=block, device=torch.device("cpu"))
    assert probability(images) == pytest.approx([1 / (1 + np.exp(1 - 2 * v)) for v in (0.1, 0.5, 0.9)])
    assert block.size == 2
