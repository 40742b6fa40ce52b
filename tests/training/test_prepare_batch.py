from __future__ import annotations

import pytest
import torch
from monai.inferers import DiffusionInferer
from monai.networks.schedulers import DDPMScheduler
from torch import Tensor

from mcf_bundle.diffusion.noising import estimate_clean
from mcf_bundle.diffusion.schedule import cosine_schedule, linear_schedule
from mcf_bundle.networks.denoiser import Denoiser
from mcf_bundle.training.inferer import NoisyInferer
from mcf_bundle.training.prepare_batch import NoisePrepareBatch

SCHEDULE = cosine_schedule()


def make_batch(count: int = 4, size: int = 16, spatial_dims: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    sides = [size] * spatial_dims
    return {
        "image": torch.rand(count, 3, *sides, generator=generator) * 2 - 1,
        "context": torch.rand(count, 6, *sides, generator=generator) * 2 - 1,
        "mask": (torch.rand(count, 1, *sides, generator=generator) > 0.5).float(),
        "label": torch.arange(count) % 2,
    }


def test_the_target_is_the_noise_in_the_image() -> None:
    batch = make_batch()
    noised, noise, args, arguments = NoisePrepareBatch(SCHEDULE, mirror=False)(batch)
    assert args == ()
    clean = estimate_clean(noised, noise, SCHEDULE.at(arguments["timesteps"] + 1, noised))
    late = SCHEDULE.alpha_bar[arguments["timesteps"] + 1] < 0.01
    torch.testing.assert_close(clean[~late], batch["image"][~late], rtol=0, atol=1e-5)


def test_neighbors_are_handed_on_without_noise() -> None:
    batch = make_batch()
    _, _, _, arguments = NoisePrepareBatch(SCHEDULE, mirror=False)(batch)
    assert torch.equal(arguments["condition"], batch["context"])


@pytest.mark.parametrize(
    ("keys", "channels"), [((), None), (("mask",), 1), (("context",), 6), (("context", "mask"), 7)]
)
def test_conditioning_is_named_by_its_keys(keys: tuple[str, ...], channels: int | None) -> None:
    _, _, _, arguments = NoisePrepareBatch(SCHEDULE, condition_keys=keys)(make_batch())
    assert ("condition" in arguments) == (channels is not None)
    if channels is not None:
        assert arguments["condition"].shape[1] == channels


def test_a_classifier_s_target_is_the_label() -> None:
    batch = make_batch()
    _, target, _, arguments = NoisePrepareBatch(SCHEDULE, target="label", condition_keys=())(batch)
    assert torch.equal(target, batch["label"])
    assert arguments.keys() == {"timesteps"}


@pytest.mark.parametrize(("min_step", "max_step"), [(1, 5), (0, 2), (400, 400), (1, None)])
def test_steps_stay_in_their_range_and_reach_its_ends(min_step: int, max_step: int | None) -> None:
    batch = {key: value[:1].expand(4000, *value.shape[1:]) for key, value in make_batch(1, 1).items()}
    prepare = NoisePrepareBatch(SCHEDULE, min_step=min_step, max_step=max_step, mirror=False)
    timesteps = prepare(batch)[3]["timesteps"]
    assert timesteps.dtype == torch.int64
    assert timesteps.min() == pytest.approx(max(min_step - 1, 0), abs=0 if max_step else 5)
    assert timesteps.max() == pytest.approx((max_step or 1000) - 1, abs=0 if max_step else 5)


def test_step_zero_leaves_the_image_without_noise() -> None:
    batch = {key: value.repeat(16, *[1] * (value.ndim - 1)) for key, value in make_batch().items()}
    prepare = NoisePrepareBatch(SCHEDULE, min_step=0, max_step=1, mirror=False)
    noised, _, _, arguments = prepare(batch)
    untouched = (noised == batch["image"]).flatten(1).all(1)
    assert 16 < untouched.sum() < 48
    assert not arguments["timesteps"].any()


def test_an_epoch_s_noise_depends_on_seed_and_epoch_alone() -> None:
    batch = make_batch()

    def draw(seed: int, epoch: int, warm_up: int = 0) -> Tensor:
        prepare = NoisePrepareBatch(SCHEDULE, seed=seed)
        for _ in range(warm_up):
            prepare(batch)
        torch.rand(3)  # the global generator takes no part
        prepare.set_epoch(epoch)
        return prepare(batch)[0]

    assert torch.equal(draw(0, 3), draw(0, 3, warm_up=2))
    assert not torch.equal(draw(0, 3), draw(0, 4))
    assert not torch.equal(draw(0, 3), draw(1, 3))


def test_batches_of_an_epoch_differ() -> None:
    prepare, batch = NoisePrepareBatch(SCHEDULE), make_batch()
    assert not torch.equal(prepare(batch)[1], prepare(batch)[1])


def test_mirroring_flips_image_and_conditioning_together() -> None:
    batch = make_batch(64)
    batch["context"] = batch["image"].repeat(1, 2, 1, 1)
    noised, noise, _, arguments = NoisePrepareBatch(SCHEDULE, max_step=100)(batch)
    clean = estimate_clean(noised, noise, SCHEDULE.at(arguments["timesteps"] + 1, noised))
    flipped = arguments["condition"][:, :3]
    torch.testing.assert_close(clean, flipped, rtol=0, atol=1e-5)
    kept = (flipped == batch["image"]).flatten(1).all(1)
    mirrored = (flipped == batch["image"].flip(-1)).flatten(1).all(1)
    assert (kept ^ mirrored).all()
    assert 16 < mirrored.sum() < 48


def test_crops_are_windows_of_all_tensors_at_the_same_place() -> None:
    size, crop = 64, 32
    rows, columns = torch.meshgrid(torch.arange(float(size)), torch.arange(float(size)), indexing="ij")
    places = torch.stack([rows, columns, rows], 0)[None]
    batch = {"image": places, "context": places.repeat(1, 2, 1, 1)}
    prepare = NoisePrepareBatch(SCHEDULE, crop=crop, mirror=False)
    starts = set()
    for _ in range(20):
        noised, noise, _, arguments = prepare(batch)
        condition = arguments["condition"]
        assert noised.shape == noise.shape == (1, 3, crop, crop)
        top, left = int(condition[0, 0, 0, 0]), int(condition[0, 1, 0, 0])
        assert torch.equal(condition[:, :3], places[..., top : top + crop, left : left + crop])
        assert torch.equal(condition[:, 3:], condition[:, :3])
        starts.add((top, left))
    assert len(starts) > 10


def test_volumes_are_noised_like_slices() -> None:
    noised, noise, _, arguments = NoisePrepareBatch(SCHEDULE)(make_batch(2, 8, spatial_dims=3))
    assert noised.shape == noise.shape == (2, 3, 8, 8, 8)
    assert arguments["condition"].shape == (2, 6, 8, 8, 8)


def test_a_training_step_equals_monai_s_inferer_on_the_same_noise() -> None:
    torch.manual_seed(0)
    network = Denoiser(
        2,
        9,
        3,
        channels=(8, 16),
        num_res_blocks=1,
        attention_levels=(False, False),
        num_head_channels=8,
        norm_num_groups=4,
    )
    with torch.no_grad():
        for parameter in network.parameters():  # a fresh network predicts exactly 0
            parameter.add_(0.05 * torch.randn_like(parameter))
    batch = make_batch()
    noised, noise, _, arguments = NoisePrepareBatch(linear_schedule(), mirror=False)(batch)
    ours = NoisyInferer()(noised, network, **arguments)
    theirs = DiffusionInferer(DDPMScheduler(1000, "linear_beta"))(
        batch["image"], network, noise, arguments["timesteps"], condition=batch["context"], mode="concat"
    )
    assert ours.abs().mean() > 0.01
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
