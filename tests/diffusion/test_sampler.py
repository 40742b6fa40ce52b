"""The sampler against an exact denoiser, against MONAI's inferer, and against its own promises."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from monai.inferers import DiffusionInferer
from monai.networks.nets import DiffusionModelUNet
from monai.networks.schedulers import DDIMScheduler, DDPMScheduler
from torch import Tensor, nn

from mcf_bundle.diffusion.sampler import FusionBatch, SampleNoise, SamplerSettings, sample_fusion
from mcf_bundle.diffusion.schedule import NoiseSchedule, cosine_schedule, linear_schedule
from mcf_bundle.networks.presets import make_classifier

SCHEDULE = cosine_schedule()
MEAN, DEVIATION = 0.3, 0.2
"""The images of the exact denoiser are independent Gaussian pixels with this mean and standard deviation."""


class GaussianDenoiser:
    """E[epsilon | x_t] for images of independent pixels N(MEAN, DEVIATION^2)."""

    def __init__(self, schedule: NoiseSchedule = SCHEDULE) -> None:
        self.schedule = schedule

    def __call__(self, x: Tensor, timesteps: Tensor) -> Tensor:
        noisy = x[:, :3]
        alpha_bar = self.schedule.at(timesteps + 1, noisy)
        variance = alpha_bar * DEVIATION**2 + 1 - alpha_bar
        return (1 - alpha_bar).sqrt() * (noisy - alpha_bar.sqrt() * MEAN) / variance


class Recorder:
    """A denoiser that keeps what it was called with."""

    def __init__(self) -> None:
        self.inputs: list[Tensor] = []
        self.timesteps: list[Tensor] = []

    def __call__(self, x: Tensor, timesteps: Tensor) -> Tensor:
        self.inputs.append(x.clone())
        self.timesteps.append(timesteps.clone())
        return torch.tanh(x[:, :3] + 0.1 * x[:, 3:6])


def make_batch(count: int = 3, size: int = 16, *, tumor: float = 0.5) -> FusionBatch:
    """Hosts with a square tumor in the middle, editable with a margin of two pixels."""
    generator = torch.Generator().manual_seed(0)
    host = torch.rand(count, 3, size, size, generator=generator) * 2 - 1
    context = torch.rand(count, 6, size, size, generator=generator) * 2 - 1
    contribution = torch.zeros_like(host)
    contribution[..., 6:10, 6:10] = tumor
    editable = torch.zeros(count, 1, size, size, dtype=torch.bool)
    editable[..., 4:12, 4:12] = True
    return FusionBatch(host, contribution, context, editable, tuple(range(100, 100 + count)))


def select(batch: FusionBatch, order: list[int]) -> FusionBatch:
    tensors = {name: getattr(batch, name)[order] for name in ("host", "contribution", "context", "editable")}
    return FusionBatch(**tensors, seeds=[batch.seeds[i] for i in order])


def gaussian_hosts(count: int = 4, size: int = 128) -> FusionBatch:
    generator = torch.Generator().manual_seed(1)
    host = MEAN + DEVIATION * torch.randn(count, 3, size, size, generator=generator)
    everywhere = torch.ones(count, 1, size, size, dtype=torch.bool)
    return FusionBatch(host, torch.zeros_like(host), host.repeat(1, 2, 1, 1), everywhere, range(count))


def randomized(network: nn.Module) -> nn.Module:
    """Give every parameter a random value: a fresh U-Net of MONAI's predicts exactly 0."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


@pytest.fixture(scope="module")
def unet() -> nn.Module:
    torch.manual_seed(0)
    return randomized(
        DiffusionModelUNet(
            spatial_dims=2,
            in_channels=9,
            out_channels=3,
            channels=(8, 16),
            num_res_blocks=1,
            attention_levels=(False, True),
            num_head_channels=8,
            norm_num_groups=4,
        )
    )


# --- A denoiser that is known exactly -------------------------------------------------------------


@pytest.mark.parametrize(("start_step", "steps"), [(500, 1), (500, 10), (500, 37), (1000, 50), (20, 20)])
def test_samples_follow_the_closed_form_of_a_gaussian(start_step: int, steps: int) -> None:
    """For a Gaussian every DDIM step is linear, so the sample is a known multiple of the start."""
    batch = gaussian_hosts(count=1, size=16)
    settings = SamplerSettings(start_step, steps, keep_outside=False)
    alpha_bar = SCHEDULE.alpha_bar
    noise = SampleNoise(batch.seeds, batch.host)()
    start = alpha_bar[start_step].sqrt() * batch.host + (1 - alpha_bar[start_step]).sqrt() * noise
    factor = torch.ones((), dtype=torch.float64)
    for t, t_next in SCHEDULE.time_pairs(start_step, steps):
        here, there = alpha_bar[t], alpha_bar[t_next]
        variance = here * DEVIATION**2 + 1 - here
        factor *= ((here * there).sqrt() * DEVIATION**2 + ((1 - here) * (1 - there)).sqrt()) / variance
    expected = MEAN + factor * (start - alpha_bar[start_step].sqrt() * MEAN)
    sampled = sample_fusion(batch, GaussianDenoiser(), None, SCHEDULE, settings)
    torch.testing.assert_close(sampled, expected.float(), rtol=0, atol=2e-4)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("start_step", [300, 800])
def test_an_exact_denoiser_brings_samples_back_to_the_gaussian(start_step: int, eta: float) -> None:
    settings = SamplerSettings(start_step, start_step, eta=eta, keep_outside=False)
    sampled = sample_fusion(gaussian_hosts(), GaussianDenoiser(), None, SCHEDULE, settings)
    # 196,608 pixels: the standard error of the mean is 0.0005, that of the deviation 0.16 %.
    assert sampled.mean().item() == pytest.approx(MEAN, abs=0.002)
    assert sampled.std().item() == pytest.approx(DEVIATION, rel=0.01)


def test_more_calls_come_closer_to_the_gaussian() -> None:
    def error(steps: int) -> float:
        settings = SamplerSettings(600, steps, keep_outside=False)
        sampled = sample_fusion(gaussian_hosts(), GaussianDenoiser(), None, SCHEDULE, settings)
        return abs(sampled.std().item() / DEVIATION - 1)

    errors = [error(steps) for steps in (2, 8, 32)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.1 < errors[0]


def test_a_denoiser_that_knows_the_host_restores_it_from_an_empty_contribution() -> None:
    batch = make_batch(tumor=0.0)

    def knows_host(x: Tensor, timesteps: Tensor) -> Tensor:
        alpha_bar = SCHEDULE.at(timesteps + 1, x)
        return (x[:, :3] - alpha_bar.sqrt() * batch.host) / (1 - alpha_bar).sqrt()

    settings = SamplerSettings(400, 20, keep_outside=False)
    sampled = sample_fusion(batch, knows_host, None, SCHEDULE, settings)
    torch.testing.assert_close(sampled, batch.host, rtol=0, atol=1e-5)


# --- MONAI on the same weights --------------------------------------------------------------------


def monai_start(batch: FusionBatch, schedule: NoiseSchedule, start_step: int) -> Tensor:
    noise = SampleNoise(batch.seeds, batch.host)()
    alpha_bar = schedule.at(start_step, batch.host)
    return alpha_bar.sqrt() * (batch.host + batch.contribution) + (1 - alpha_bar).sqrt() * noise


@pytest.mark.parametrize(
    ("monai_name", "start_step", "calls_of_all"),
    [
        ("cosine", 500, 50),
        ("cosine", 400, 10),
        ("cosine", 1000, 20),
        ("linear_beta", 500, 50),
        ("linear_beta", 1000, 20),
        ("linear_beta", 30, 100),
    ],
)
def test_monai_ddim_gives_the_same_images(
    unet: nn.Module, monai_name: str, start_step: int, calls_of_all: int
) -> None:
    """MONAI's step goes T // n back; with this offset its times do too: T, T - T // n, ..., T // n, 0."""
    ours = {"cosine": cosine_schedule, "linear_beta": linear_schedule}[monai_name]()
    stride = 1000 // calls_of_all
    scheduler = DDIMScheduler(1000, monai_name, clip_sample=False, steps_offset=stride - 1)
    scheduler.set_timesteps(calls_of_all)
    scheduler.timesteps = scheduler.timesteps[scheduler.timesteps < start_step]
    steps = len(scheduler.timesteps)
    assert (scheduler.timesteps + 1).tolist() == [t for t, _ in ours.time_pairs(start_step, steps)]
    batch = make_batch()
    expected = DiffusionInferer(scheduler).sample(
        monai_start(batch, ours, start_step), unet, conditioning=batch.context, mode="concat", verbose=False
    )
    sampled = sample_fusion(batch, unet, None, ours, SamplerSettings(start_step, steps, keep_outside=False))
    assert (sampled - batch.host).abs().mean() > 0.01  # the network does something
    torch.testing.assert_close(sampled, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_monai_ddpm_gives_the_same_image_as_eta_one(unet: nn.Module) -> None:
    """One sample's generator gives the numbers that the global one gives from the same seed."""
    schedule, scheduler = linear_schedule(40), DDPMScheduler(40, "linear_beta", clip_sample=False)
    batch = select(make_batch(), [1])
    torch.manual_seed(batch.seeds[0])
    start = monai_start(batch, schedule, 40)
    torch.randn(start.shape)  # the draw that fusion took
    expected = DiffusionInferer(scheduler).sample(
        start, unet, conditioning=batch.context, mode="concat", verbose=False
    )
    settings = SamplerSettings(40, 40, eta=1.0, keep_outside=False)
    sampled = sample_fusion(batch, unet, None, schedule, settings)
    torch.testing.assert_close(sampled, expected, rtol=1e-3, atol=1e-3)


# --- What the network sees ------------------------------------------------------------------------


def test_neighbors_are_never_noised() -> None:
    batch, denoiser = make_batch(), Recorder()
    sample_fusion(batch, denoiser, None, SCHEDULE, SamplerSettings(500, 12, eta=0.5))
    assert len(denoiser.inputs) == 12
    assert all(torch.equal(x[:, 3:], batch.context) for x in denoiser.inputs)
    assert all(not torch.equal(x[:, :3], batch.host) for x in denoiser.inputs)


def test_the_network_receives_t_minus_one() -> None:
    denoiser = Recorder()
    sample_fusion(make_batch(), denoiser, None, SCHEDULE, SamplerSettings(500, 4))
    assert [call.tolist() for call in denoiser.timesteps] == [[t] * 3 for t in (499, 374, 249, 124)]
    assert denoiser.timesteps[0].dtype == torch.int64


# --- Guidance -------------------------------------------------------------------------------------


def bright_is_tumor(x: Tensor, timesteps: Tensor) -> Tensor:
    score = 5 * x.flatten(1).mean(1)
    return torch.stack([-score, score], dim=1)


def probability(classifier: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return classifier(images, torch.zeros(len(images)).long()).softmax(1)[:, 1]


def test_guidance_scale_zero_equals_no_guidance() -> None:
    batch, settings = make_batch(), SamplerSettings(500, 10, guidance_scale=0.0)
    unguided = sample_fusion(batch, GaussianDenoiser(), None, SCHEDULE, settings)
    assert torch.equal(
        sample_fusion(batch, GaussianDenoiser(), bright_is_tumor, SCHEDULE, settings), unguided
    )


@pytest.mark.parametrize("which", ["analytic", "network"])
def test_guidance_raises_the_probability_of_its_class(which: str) -> None:
    torch.manual_seed(0)
    classifier = bright_is_tumor if which == "analytic" else make_classifier("smoke").eval()
    batch = make_batch(size=32)
    for label, sign in ((1, 1), (0, -1)):
        found = [
            probability(
                classifier,
                sample_fusion(
                    batch,
                    GaussianDenoiser(),
                    classifier,
                    SCHEDULE,
                    SamplerSettings(500, 10, guidance_scale=scale, keep_outside=False, label=label),
                ),
            )
            for scale in (0.0, 20.0, 60.0)
        ]
        assert (sign * (found[1] - found[0]) > 0).all()
        assert (sign * (found[2] - found[1]) > 0).all()


# --- What is left alone ---------------------------------------------------------------------------


@pytest.mark.parametrize("fusion", ["fusion1", "fusion1_independent", "fusion2"])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_an_empty_donor_mask_leaves_the_host(fusion: str, eta: float) -> None:
    """Without a tumor there is no contribution and nothing editable: the host comes back bit for bit."""
    batch = make_batch(tumor=0.0)
    batch = replace(batch, editable=torch.zeros_like(batch.editable))
    settings = SamplerSettings(500, 10, fusion=fusion, eta=eta, guidance_scale=3.0)
    assert torch.equal(sample_fusion(batch, Recorder(), bright_is_tumor, SCHEDULE, settings), batch.host)


def test_keep_outside_holds_the_host_exactly_and_only_outside() -> None:
    batch = make_batch()
    sampled = sample_fusion(batch, Recorder(), None, SCHEDULE, SamplerSettings(500, 10))
    outside = ~batch.editable.expand_as(sampled)
    assert torch.equal(sampled[outside], batch.host[outside])
    assert (sampled != batch.host)[~outside].float().mean() > 0.99


def test_keep_outside_shows_the_network_the_host_at_the_noise_of_each_step() -> None:
    batch, denoiser = make_batch(), Recorder()
    sample_fusion(batch, denoiser, None, SCHEDULE, SamplerSettings(500, 5))
    noise = SampleNoise(batch.seeds, batch.host)()
    outside = ~batch.editable.expand_as(noise)
    for x, timesteps in zip(denoiser.inputs, denoiser.timesteps, strict=True):
        alpha_bar = SCHEDULE.at(timesteps + 1, noise)
        expected = alpha_bar.sqrt() * batch.host + (1 - alpha_bar).sqrt() * noise
        torch.testing.assert_close(x[:, :3][outside], expected[outside], rtol=0, atol=1e-6)


def test_without_keep_outside_the_whole_slice_may_change() -> None:
    batch = make_batch()
    sampled = sample_fusion(batch, Recorder(), None, SCHEDULE, SamplerSettings(500, 10, keep_outside=False))
    assert (sampled != batch.host).float().mean() > 0.99


# --- Seeds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_sample_depends_on_its_seed_not_on_its_place(eta: float) -> None:
    batch, settings = make_batch(), SamplerSettings(300, 6, eta=eta, guidance_scale=1.0, keep_outside=False)

    def sample(part: FusionBatch) -> Tensor:
        return sample_fusion(part, GaussianDenoiser(), bright_is_tumor, SCHEDULE, settings)

    together = sample(batch)
    assert torch.equal(sample(batch), together)
    assert torch.equal(sample(select(batch, [2, 0, 1])), together[[2, 0, 1]])
    companions = replace(batch, host=torch.cat([batch.host[:1], torch.zeros_like(batch.host[1:])]))
    assert torch.equal(sample(companions)[0], together[0])


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_another_seed_gives_another_image(eta: float) -> None:
    batch, settings = make_batch(), SamplerSettings(300, 6, eta=eta)
    first = sample_fusion(batch, Recorder(), None, SCHEDULE, settings)
    second = sample_fusion(replace(batch, seeds=(7, 8, 9)), Recorder(), None, SCHEDULE, settings)
    assert all(not torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_global_generator_is_neither_read_nor_moved() -> None:
    batch, settings = make_batch(), SamplerSettings(300, 6, eta=1.0)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = sample_fusion(batch, Recorder(), None, SCHEDULE, settings)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(sample_fusion(batch, Recorder(), None, SCHEDULE, settings), first)


def test_noise_is_standard_normal_and_fresh_at_each_draw() -> None:
    draw = SampleNoise([0, 1], torch.zeros(2, 3, 128, 128))
    first, second = draw(), draw()
    assert first.mean().item() == pytest.approx(0, abs=0.01)
    assert first.std().item() == pytest.approx(1, abs=0.01)
    assert abs(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1].item()) < 0.01
    assert abs(torch.corrcoef(first.flatten(1))[0, 1].item()) < 0.01


# --- Guidance in an interval -----------------------------------------------------------------------


@pytest.mark.parametrize("interval", [(1, 1000), (100, 300), (201, 1000), (1, 99)])
def test_the_classifier_is_called_at_the_steps_of_its_interval_alone(interval: tuple[int, int]) -> None:
    called: list[int] = []

    def classifier(x: Tensor, timesteps: Tensor) -> Tensor:
        called.append(int(timesteps[0]) + 1)
        return x.flatten(1)[:, :2]

    settings = SamplerSettings(400, 8, guidance_scale=1.0, guidance_interval=interval)
    sample_fusion(make_batch(), GaussianDenoiser(), classifier, SCHEDULE, settings)
    expected = [t for t in range(400, 0, -50) if interval[0] <= t <= interval[1]]
    assert called == expected


def test_an_interval_without_a_step_equals_no_guidance() -> None:
    torch.manual_seed(0)
    classifier = randomized(make_classifier("smoke"))
    batch = make_batch(size=32)
    unguided = SamplerSettings(400, 4)
    outside = replace(unguided, guidance_scale=5.0, guidance_interval=(401, 1000))
    with_it = sample_fusion(batch, GaussianDenoiser(), classifier, SCHEDULE, outside)
    assert torch.equal(with_it, sample_fusion(batch, GaussianDenoiser(), None, SCHEDULE, unguided))


@pytest.mark.parametrize("solver", ["dpm_solver", "unipc"])
def test_second_order_solvers_need_fewer_calls_for_the_same_image(solver: str) -> None:
    batch = gaussian_hosts(count=1, size=32)
    every_step = SamplerSettings(300, 300, keep_outside=False)
    few = replace(every_step, steps=6, spacing="logsnr")
    images = [
        sample_fusion(batch, GaussianDenoiser(), None, SCHEDULE, settings)
        for settings in (every_step, few, replace(few, solver=solver))
    ]
    first_order, second_order = ((image - images[0]).abs().mean() for image in images[1:])
    assert second_order < first_order / 3
