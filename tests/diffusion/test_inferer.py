"""The fusion sampler as an inferer: which settings it takes and tells of, and the precision it runs in."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields, replace
from typing import Any

import pytest
import torch
from monai.inferers import Inferer
from torch import Tensor, nn

from mcf_bundle.diffusion.inferer import FusionInferer
from mcf_bundle.diffusion.sampler import FusionBatch, SamplerSettings, sample_fusion
from mcf_bundle.diffusion.schedule import cosine_schedule
from mcf_bundle.errors import ArgumentError
from mcf_bundle.networks.precision import PRECISIONS, autocast_call, get_precision
from mcf_bundle.networks.presets import make_classifier, make_denoiser

SCHEDULE = cosine_schedule()
INTERVAL = "guidance_interval: expected two numbers >= 1 and <= 1000, the smaller one first"


def randomized(network: nn.Module) -> nn.Module:
    """Give every parameter a random value: a fresh U-Net of MONAI's predicts exactly 0."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


@pytest.fixture(scope="module")
def denoiser() -> nn.Module:
    return randomized(make_denoiser("smoke"))


@pytest.fixture(scope="module")
def classifier() -> nn.Module:
    return randomized(make_classifier("smoke"))


@pytest.fixture(scope="module")
def batch() -> FusionBatch:
    generator = torch.Generator().manual_seed(1)
    host, context = (torch.rand(9, 2, 32, 32, generator=generator) * 2 - 1).transpose(0, 1).split((3, 6), 1)
    contribution, editable = torch.zeros_like(host), torch.zeros(2, 1, 32, 32, dtype=torch.bool)
    contribution[..., 12:20, 12:20], editable[..., 8:24, 8:24] = 0.5, True
    return FusionBatch(host, contribution, context, editable, (7, 8))


class Recorder(nn.Module):
    """A convolution that keeps what it was called with, and what type it computed in."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        self.x, self.timesteps, self.output = x, timesteps, self.layer(x)
        return self.output


# --- Settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start_step": 0}, "start_step: expected a whole number of 1 or more, got 0"),
        ({"start_step": 2.5}, "start_step: expected a whole number of 1 or more, got 2.5"),
        ({"start_step": True}, "start_step: expected a whole number of 1 or more, got True"),
        ({"start_step": 1001}, r"start_step: 1001 is outside \[1, 1000\]"),
        ({"steps": 0}, "steps: expected a whole number of 1 or more, got 0"),
        ({"steps": 301}, r"steps: 301 is outside \[1, start_step = 300\]"),
        ({"fusion": "fusion3"}, "fusion: 'fusion3' does not exist; choose one of .*fusion2"),
        ({"precision": "half"}, "precision: 'half' does not exist; choose one of float32"),
        ({"guidance_scale": -1.0}, "guidance_scale: expected a number >= 0, got -1.0"),
        ({"guidance_scale": math.nan}, "guidance_scale: expected a number >= 0, got nan"),
        ({"guidance_scale": math.inf}, "guidance_scale: expected a number >= 0, got inf"),
        ({"guidance_scale": 1.0}, "guidance_scale: guidance needs a classifier; give classifier_ckpt, or 0"),
        ({"eta": 1.5}, "eta: expected a number >= 0 and <= 1, got 1.5"),
        ({"eta": -0.5}, "eta: expected a number >= 0 and <= 1, got -0.5"),
        ({"eta": math.nan}, "eta: expected a number >= 0 and <= 1, got nan"),
        ({"keep_outside": "no"}, "keep_outside: expected True or False, got 'no'"),
        ({"neighbors": 1}, "neighbors: expected True or False, got 1"),
        ({"mask": 1}, "mask: expected True or False, got 1"),
        ({"solver": "euler"}, "solver: 'euler' does not exist; choose one of ddim, dpm_solver, unipc"),
        ({"solver": "unipc", "eta": 1.0}, "eta: 1.0 with solver 'unipc', which draws no noise"),
        ({"spacing": "karras"}, "spacing: 'karras' does not exist; choose one of uniform"),
        ({"guidance_interval": 100}, f"{INTERVAL}, got 100"),
        ({"guidance_interval": "ab"}, f"{INTERVAL}, got 'ab'"),
        ({"guidance_interval": [300, 200]}, rf"{INTERVAL}, got \[300, 200\]"),
        ({"guidance_interval": [0, 200]}, rf"{INTERVAL}, got \[0, 200\]"),
        ({"guidance_interval": (2000, 3000)}, rf"{INTERVAL}, got \(2000, 3000\)"),
        ({"guidance_interval": [1, 2.5]}, "guidance_interval: expected a whole number of 1 or more, got 2.5"),
    ],
)
def test_a_setting_out_of_its_range_is_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=f"^{message}"):
        FusionInferer(SCHEDULE, **{"start_step": 300, "steps": 10, **settings})


@pytest.mark.parametrize("settings", [{"start_step": 1, "steps": 1}, {"start_step": 1000, "steps": 1000}])
def test_the_ends_of_the_ranges_are_allowed(settings: dict[str, int], classifier: nn.Module) -> None:
    for eta, scale in ((0.0, 0.0), (1.0, 100.0)):
        FusionInferer(SCHEDULE, **settings, eta=eta, guidance_scale=scale, classifier=classifier)


def test_without_an_interval_guidance_acts_at_all_steps_of_the_schedule() -> None:
    described = FusionInferer(cosine_schedule(60), start_step=30, steps=3).describe()
    assert described["guidance_interval"] == [1, 60]


def test_the_description_has_every_setting_as_a_plain_value(classifier: nn.Module) -> None:
    given = {
        "start_step": 250,
        "steps": 5,
        "fusion": "fusion1",
        "solver": "ddim",
        "spacing": "quadratic",
        "guidance_scale": 2.0,
        "guidance_interval": [50, 200],
        "eta": 0.5,
        "keep_outside": False,
        "precision": "bfloat16",
    }
    described = FusionInferer(SCHEDULE, **given, classifier=classifier).describe()
    assert described == {**given, "label": 1}
    assert described.keys() == {field.name for field in fields(SamplerSettings)} | {"precision"}
    assert json.loads(json.dumps(described)) == described


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("neighbors", [True, False])
def test_a_sampler_is_made_again_from_its_description(neighbors: bool, mask: bool) -> None:
    settings = {"start_step": 250, "steps": 5, "guidance_interval": [50, 200], "precision": "bfloat16"}
    described = FusionInferer(SCHEDULE, **settings, neighbors=neighbors, mask=mask).describe()
    assert (described.get("neighbors", True), described.get("mask", False)) == (neighbors, mask)
    again = FusionInferer.of({**described, "blend": "replace"}, SCHEDULE, None)
    assert (again.describe(), again.neighbors, again.mask) == (described, neighbors, mask)


# --- Sampling --------------------------------------------------------------------------------------


def test_it_is_the_sampler_with_its_settings(
    batch: FusionBatch, denoiser: nn.Module, classifier: nn.Module
) -> None:
    settings = SamplerSettings(300, 4, guidance_scale=2.0, eta=0.5, keep_outside=False)
    arguments = {key: value for key, value in asdict(settings).items() if key != "label"}
    inferer = FusionInferer(SCHEDULE, classifier=classifier, **arguments)
    assert isinstance(inferer, Inferer)
    expected = sample_fusion(batch, denoiser, classifier, SCHEDULE, settings)
    torch.testing.assert_close(inferer(batch, denoiser), expected, rtol=0, atol=1e-4)


def test_without_neighbors_the_network_sees_the_noisy_slice_alone(batch: FusionBatch) -> None:
    network = randomized(make_denoiser("smoke", neighbors=False))
    made = FusionInferer(SCHEDULE, start_step=300, steps=2, neighbors=False)(batch, network)
    alone = replace(batch, context=None)
    torch.testing.assert_close(made, FusionInferer(SCHEDULE, start_step=300, steps=2)(alone, network))


@pytest.mark.parametrize("neighbors", [True, False])
def test_the_mask_stands_after_the_neighbors(batch: FusionBatch, neighbors: bool) -> None:
    assert batch.context is not None
    network = randomized(make_denoiser("smoke", neighbors=neighbors, mask=True))
    mask = batch.editable.float()
    inferer = FusionInferer(SCHEDULE, start_step=300, steps=2, neighbors=neighbors, mask=True)
    made = inferer(replace(batch, mask=mask), network)
    joined = torch.cat([batch.context, mask], dim=1) if neighbors else mask
    by_hand = FusionInferer(SCHEDULE, start_step=300, steps=2)(replace(batch, context=joined), network)
    torch.testing.assert_close(made, by_hand)
    other = inferer(replace(batch, mask=1 - mask), network)
    assert (made - other).abs().max() > 1e-3


def test_a_batch_without_the_mask_that_the_denoiser_sees_is_refused(batch: FusionBatch) -> None:
    network = make_denoiser("smoke", mask=True)
    with pytest.raises(ArgumentError, match="inputs: the batch lacks the mask"):
        FusionInferer(SCHEDULE, start_step=300, steps=2, mask=True)(batch, network)


@pytest.mark.parametrize("guidance_scale", [0.0, 1.0])
def test_bfloat16_stays_close_to_float32_and_gives_float32(
    batch: FusionBatch, denoiser: nn.Module, classifier: nn.Module, guidance_scale: float
) -> None:
    full, half = (
        FusionInferer(
            SCHEDULE,
            start_step=300,
            steps=4,
            guidance_scale=guidance_scale,
            classifier=classifier,
            precision=precision,
        )(batch, denoiser)
        for precision in ("float32", "bfloat16")
    )
    assert full.dtype == half.dtype == torch.float32
    assert 0 < (full - half).abs().max() < 0.05
    outside = ~batch.editable.expand_as(full)
    assert torch.equal(full[outside], batch.host[outside])
    assert torch.equal(half[outside], batch.host[outside])


def test_the_classifier_takes_no_part_without_guidance(
    batch: FusionBatch, denoiser: nn.Module, classifier: nn.Module
) -> None:
    with_it, without = (
        FusionInferer(SCHEDULE, start_step=300, steps=2, classifier=network)(batch, denoiser)
        for network in (classifier, None)
    )
    assert torch.equal(with_it, without)


# --- Autocast around a call ------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "dtype"), list(PRECISIONS.items()))
def test_a_call_computes_in_its_precision_and_gives_float32(
    precision: str, dtype: torch.dtype | None
) -> None:
    network, x = Recorder(), torch.randn(2, 3, 8, 8)
    output = autocast_call(network, precision)(x, torch.tensor([4, 9]))
    assert get_precision(precision) is dtype
    assert network.output.dtype == (dtype or torch.float32)
    assert output.dtype == network.x.dtype == torch.float32
    assert network.timesteps.tolist() == [4, 9]


def test_autocast_ends_with_the_call() -> None:
    autocast_call(Recorder(), "bfloat16")(torch.randn(1, 3, 4, 4), torch.tensor([0]))
    assert not torch.is_autocast_enabled("cpu")
    assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.float32


def test_channels_last_is_for_images_and_changes_no_value() -> None:
    network, x = Recorder(), torch.randn(2, 3, 8, 8)
    plain = autocast_call(network, "float32")(x, torch.tensor([0, 0]))
    assert not network.x.is_contiguous(memory_format=torch.channels_last)
    reordered = autocast_call(network, "float32", channels_last=True)(x, torch.tensor([0, 0]))
    assert network.x.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(plain, reordered)
    assert network.layer.weight.is_contiguous(memory_format=torch.channels_last)


def test_channels_last_leaves_volumes_alone() -> None:
    network = make_denoiser("smoke", context_channels=0, spatial_dims=3)
    call = autocast_call(network, "float32", channels_last=True)
    assert call(torch.randn(1, 3, 16, 16, 16), torch.tensor([0])).shape == (1, 3, 16, 16, 16)


def test_an_unknown_precision_is_refused_before_the_call() -> None:
    with pytest.raises(ArgumentError, match="precision: 'double' does not exist"):
        autocast_call(Recorder(), "double")
