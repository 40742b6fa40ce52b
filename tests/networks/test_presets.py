from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from mcf_bundle.errors import ArgumentError
from mcf_bundle.networks.checkpoint import save_checkpoint
from mcf_bundle.networks.presets import CLASSIFIER_PRESETS, DENOISER_PRESETS, make_classifier, make_denoiser

MODEL_FILE_LIMIT = 25_000_000
"""Bytes that a model file of a bundle may have."""


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_denoiser_and_classifier_have_the_same_presets() -> None:
    assert DENOISER_PRESETS.keys() == CLASSIFIER_PRESETS.keys() == {"smoke", "fast", "paper"}


@pytest.mark.parametrize("preset", sorted(DENOISER_PRESETS))
def test_a_preset_maps_nine_channels_to_three(preset: str) -> None:
    network = make_denoiser(preset).eval()
    size = network.size_divisor
    with torch.no_grad():
        assert network(torch.randn(1, 9, size, size), torch.tensor([1])).shape == (1, 3, size, size)
    assert 256 % size == 0


def test_without_neighbors_the_denoiser_sees_the_noisy_slice_alone() -> None:
    network = make_denoiser("smoke", neighbors=False)
    assert (network.in_channels, network.out_channels) == (3, 3)
    assert make_denoiser("smoke", neighbors=False, context_channels=1).in_channels == 4
    with pytest.raises(ArgumentError, match="neighbors: expected True or False, got 'no'"):
        make_denoiser("smoke", neighbors="no")  # type: ignore[arg-type]


@pytest.mark.parametrize("preset", sorted(CLASSIFIER_PRESETS))
def test_a_preset_classifies(preset: str) -> None:
    network = make_classifier(preset).eval()
    size = network.size_divisor
    with torch.no_grad():
        assert network(torch.randn(1, 3, size, size), torch.tensor([1])).shape == (1, 2)
    assert 256 % size == 0


def test_presets_work_in_three_dimensions_and_without_conditioning() -> None:
    network = make_denoiser("smoke", image_channels=1, context_channels=0, spatial_dims=3).eval()
    classifier = make_classifier("smoke", image_channels=1, num_classes=3, spatial_dims=3).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 1, 8, 8, 8), torch.tensor([1])).shape == (1, 1, 8, 8, 8)
        assert classifier(torch.randn(1, 1, 16, 16, 16), torch.tensor([1])).shape == (1, 3)


def test_the_paper_s_network_has_its_number_of_parameters() -> None:
    assert parameters(make_denoiser("paper")) / 1e6 == pytest.approx(12.28, abs=0.005)


@pytest.mark.parametrize("make", [make_denoiser, make_classifier])
@pytest.mark.parametrize("preset", ["fast", "paper"])
def test_float16_weights_fit_the_limit_of_a_model_file(
    tmp_path: Path, make: Callable[[str], nn.Module], preset: str
) -> None:
    weights = make(preset).state_dict()
    save_checkpoint(
        tmp_path / "model.pt", weights, preset=preset, kind="denoiser", patients=["a"] * 110, info={}
    )
    assert (tmp_path / "model.pt").stat().st_size < MODEL_FILE_LIMIT


def test_two_networks_of_a_preset_share_no_settings() -> None:
    make_denoiser("smoke")
    assert make_denoiser("smoke").unet.block_out_channels == DENOISER_PRESETS["smoke"]["channels"]


@pytest.mark.parametrize("make", [make_denoiser, make_classifier])
def test_an_unknown_preset_lists_what_exists(make: Callable[[str], nn.Module]) -> None:
    with pytest.raises(
        ArgumentError, match=r"^preset: 'papre' does not exist; choose one of smoke, fast, paper$"
    ):
        make("papre")
