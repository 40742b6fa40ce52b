"""The Inception v3 of FID: what differs from torchvision's."""

from __future__ import annotations

import pytest
import torch
from torchvision.models.inception import Inception3

from mcf_bundle.metrics.inception_v3 import CLASSES, InceptionFeatures


@pytest.fixture(scope="module")
def network() -> InceptionFeatures:
    torch.manual_seed(0)
    return InceptionFeatures(2048)


@pytest.mark.parametrize("block", ["Mixed_5b", "Mixed_6e", "Mixed_7b"])
def test_averages_leave_out_what_lies_outside_the_image(network: InceptionFeatures, block: str) -> None:
    # torchvision counts zeros around the image, so that its corner pixel of 1 becomes 4/9.
    ones = torch.ones(1, 1, 5, 5)
    assert torch.equal(getattr(network.network, block).pool(ones), ones)


def test_the_last_block_takes_the_maximum(network: InceptionFeatures) -> None:
    image = torch.zeros(1, 1, 5, 5)
    image[..., 2, 2] = 9
    assert network.network.Mixed_7c.pool(image).sum() == 9 * 9
    assert network.network.Mixed_7b.pool(image).sum() == 9


@torch.no_grad()
def test_a_block_differs_from_torchvision_in_the_pooled_branch_alone(network: InceptionFeatures) -> None:
    plain = Inception3(CLASSES, aux_logits=False, init_weights=False).eval()
    plain.load_state_dict(network.network.state_dict())
    x = torch.rand(1, 2048, 5, 5, generator=torch.Generator().manual_seed(0))
    ours, theirs = (net.Mixed_7c(x)[0] for net in (network.network, plain))
    pooled = 192
    assert torch.equal(ours[:-pooled], theirs[:-pooled])
    assert not torch.allclose(ours[-pooled:], theirs[-pooled:])


@torch.no_grad()
@pytest.mark.parametrize("depth", [64, 192, 768, 2048])
def test_each_depth_is_a_mean_over_space_after_its_layers(network: InceptionFeatures, depth: int) -> None:
    seen: list[torch.Tensor] = []
    last = {64: "maxpool1", 192: "maxpool2", 768: "Mixed_6e", 2048: "Mixed_7c"}[depth]
    hook = getattr(network.network, last).register_forward_hook(lambda *given: seen.append(given[2]))
    network.depth = depth
    x = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(0)) * 2 - 1
    features, logits = network(x)
    hook.remove()
    assert features.shape == (1, depth)
    torch.testing.assert_close(features, seen[0].mean((2, 3)))
    assert logits.shape == (1, CLASSES)


@torch.no_grad()
def test_intensities_are_rounded_to_the_levels_of_an_image_file(network: InceptionFeatures) -> None:
    levels = torch.randint(0, 256, (1, 3, 40, 40), generator=torch.Generator().manual_seed(0))
    exact = levels / 127.5 - 1
    network.depth = 64
    assert torch.equal(network(exact)[0], network(exact + 0.3 / 127.5)[0])
    assert torch.equal(network(torch.full_like(exact, 1.0))[0], network(torch.full_like(exact, 1.4))[0])
