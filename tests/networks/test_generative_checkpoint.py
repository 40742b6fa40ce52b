"""Checkpoints written by the package monai-generative itself, and what fits no network."""

from __future__ import annotations

import contextlib
import io
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import DiffusionModelUNet
from torch import nn

from mcf_bundle.errors import ArgumentError, CheckpointError
from mcf_bundle.networks.denoiser import Denoiser
from mcf_bundle.networks.generative_checkpoint import load_generative_checkpoint

SMALL: dict[str, Any] = {"num_res_blocks": 1, "norm_num_groups": 8}
CHANNELS = (16, 32, 32)
PLAIN: dict[str, Any] = {"attention_levels": (False, False, True), "num_head_channels": 8}
ARCHITECTURES = [
    pytest.param(
        {
            "attention_levels": levels,
            "num_head_channels": heads,
            "with_conditioning": cross,
            "cross_attention_dim": 12 if cross else None,
            "resblock_updown": updown,
        },
        id=f"{''.join('.a'[level] for level in levels)}-{heads}-{cross=}-{updown=}",
    )
    for levels, heads, cross, updown in product(
        [(False, False, False), (False, False, True), (True, True, True)],
        [8, 16, (16, 8, 32)],
        [False, True],
        [False, True],
    )
]


def randomized(network: nn.Module) -> nn.Module:
    """Give every parameter random values; fresh networks predict exactly 0, and would agree on anything."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


def theirs(spatial_dims: int = 2, **architecture: Any) -> nn.Module:
    nets = pytest.importorskip("generative.networks.nets")
    made = nets.DiffusionModelUNet(spatial_dims, 9, 3, num_channels=CHANNELS, **SMALL, **architecture)
    return randomized(made)


def ours(spatial_dims: int = 2, **architecture: Any) -> Denoiser:
    return Denoiser(spatial_dims, 9, 3, channels=CHANNELS, **SMALL, **architecture).eval()


def largest_difference(network: nn.Module, other: nn.Module, context_dim: int | None, dims: int = 2) -> float:
    """Compare two networks in float64, where rounding hides nothing."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 9, *(8, 12, 4)[:dims], generator=generator, dtype=torch.float64)
    context = None if context_dim is None else torch.randn(2, 5, context_dim, generator=generator).double()
    with torch.no_grad():
        one, two = (net.double()(x, torch.tensor([3, 700]), context) for net in (network, other))
    assert one.abs().max() > 0.01
    return float((one - two).abs().max())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_denoiser_gives_the_outputs_of_monai_generative(
    architecture: dict[str, Any], tmp_path: Path
) -> None:
    original, loaded = theirs(**architecture), ours(**architecture)
    torch.save(original.state_dict(), tmp_path / "model.pt")
    load_generative_checkpoint(loaded, tmp_path / "model.pt")
    assert largest_difference(original, loaded, architecture["cross_attention_dim"]) < 1e-9


def test_volumes_agree_too(tmp_path: Path) -> None:
    original, loaded = theirs(3, **PLAIN), ours(3, **PLAIN)
    torch.save(original.state_dict(), tmp_path / "model.pt")
    load_generative_checkpoint(loaded, tmp_path / "model.pt")
    assert largest_difference(original, loaded, None, dims=3) < 1e-9


def test_single_precision_agrees_to_a_millionth(tmp_path: Path) -> None:
    original, loaded = theirs(**PLAIN), ours(**PLAIN)
    torch.save(original.state_dict(), tmp_path / "model.pt")
    load_generative_checkpoint(loaded, tmp_path / "model.pt")
    x, timesteps = torch.randn(2, 9, 16, 16), torch.tensor([3, 700])
    with torch.no_grad():
        torch.testing.assert_close(loaded(x, timesteps), original(x, timesteps), rtol=1e-5, atol=1e-6)


def test_monai_1_6_1_s_own_loader_changes_the_outputs() -> None:
    """Why there is a loader here: it applies a layer that monai-generative holds and never applies."""
    original, loaded = theirs(**PLAIN), ours(**PLAIN)
    with contextlib.redirect_stdout(io.StringIO()):
        loaded.unet.load_old_state_dict(dict(original.state_dict()))
    assert largest_difference(original, loaded, None) > 0.01


def test_a_network_without_the_unused_layer_loads_too(tmp_path: Path) -> None:
    original, loaded = theirs(**PLAIN), ours(**PLAIN, include_fc=False)
    torch.save(original.state_dict(), tmp_path / "model.pt")
    load_generative_checkpoint(loaded, tmp_path / "model.pt")
    assert largest_difference(original, loaded, None) < 1e-9


def test_weights_of_monai_s_own_network_load_as_they_are(tmp_path: Path) -> None:
    original = randomized(DiffusionModelUNet(2, 9, 3, channels=CHANNELS, **SMALL, **PLAIN))
    loaded = ours(**PLAIN)
    torch.save(original.state_dict(), tmp_path / "model.pt")
    load_generative_checkpoint(loaded, tmp_path / "model.pt")
    assert largest_difference(original, loaded, None) == 0


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (lambda weights: {"epoch": 3, "diffusion": weights}, None),
        (lambda weights: {"ema": dict.fromkeys(weights, torch.zeros(1)), "model": weights}, "model"),
        (lambda weights: {f"module.{name}": value for name, value in weights.items()}, None),
    ],
    ids=["among other entries", "by its key", "of a parallel run"],
)
def test_weights_are_found_in_the_usual_files(content: Any, key: str | None, tmp_path: Path) -> None:
    original, loaded = theirs(**PLAIN), ours(**PLAIN)
    torch.save(content(original.state_dict()), tmp_path / "model.pt")
    load_generative_checkpoint(loaded, tmp_path / "model.pt", key)
    assert largest_difference(original, loaded, None) < 1e-9


def old_weights(**changes: Any) -> dict[str, torch.Tensor]:
    """Weights in monai-generative's names without its package: MONAI's, renamed by hand."""
    weights = ours(attention_levels=(False,) * 3, num_head_channels=8).unet.state_dict()
    renamed = {
        name.replace("attention.attn.out_proj", "attention.proj_attn")
        .replace("attention.attn.", "attention.")
        .replace("postconv", "conv"): value
        for name, value in weights.items()
    }
    return {**renamed, **changes}


@pytest.mark.parametrize(
    ("content", "key", "problem"),
    [
        ({"conv_in.conv.weight": torch.zeros(1)}, None, "fits neither .* lacks .*, does not need 0"),
        (old_weights(spare=torch.zeros(1)), None, r"lacks 0, does not need 1 \(spare, ...\)"),
        (old_weights(**{"out.2.conv.bias": torch.zeros(4)}), None, r"out.2.conv.bias is \(4,\), .* \(3,\)"),
        ({"a": old_weights(), "b": old_weights()}, None, "holds 2 dictionaries of tensors; .*holds 'a', 'b'"),
        ({"epoch": 3}, None, "holds 0 dictionaries"),
        ([torch.zeros(1)], None, "holds 0 dictionaries"),
        (
            {"a": old_weights(), "epoch": 1},
            "b",
            "holds 0 dictionaries of tensors under 'b'; .* it holds 'a', 'epoch'",
        ),
    ],
    ids=["missing", "unknown", "shape", "two", "none", "list", "key"],
)
def test_what_fits_neither_network_is_refused_and_changes_nothing(
    content: Any, key: str | None, problem: str, tmp_path: Path
) -> None:
    network = ours(attention_levels=(False,) * 3, num_head_channels=8)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=problem):
        load_generative_checkpoint(network, tmp_path / "model.pt", key)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_damaged_or_absent_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match=r"model\.pt: cannot be read"):
        load_generative_checkpoint(ours(**PLAIN), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_generative_checkpoint(ours(**PLAIN), tmp_path / "none.pt")


def test_a_network_of_blocks_is_refused(tmp_path: Path) -> None:
    network = Denoiser(2, 9, 3, 2, channels=CHANNELS, **SMALL, **PLAIN)
    with pytest.raises(ArgumentError, match="stem 2"):
        load_generative_checkpoint(network, tmp_path / "model.pt")
