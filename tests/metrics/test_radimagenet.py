"""RadImageNet's ResNet-50: what differs from torchvision's."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models import resnet50

from mcf_bundle.metrics.radimagenet import RadImageNetFeatures


def test_convolutions_have_a_bias_and_the_first_one_of_a_block_the_stride() -> None:
    found, plain = RadImageNetFeatures().network, resnet50()
    missing = set(found.state_dict()) ^ set(plain.state_dict())
    convolutions = {name for name, module in plain.named_modules() if isinstance(module, nn.Conv2d)}
    assert missing == {f"{name}.bias" for name in convolutions} | {"fc.weight", "fc.bias"}
    for layer, stride in (("layer1", 1), ("layer2", 2), ("layer3", 2), ("layer4", 2)):
        block = getattr(found, layer)[0]
        assert (block.conv1.stride, block.conv2.stride) == ((stride, stride), (1, 1))
        assert block.downsample[0].stride == (stride, stride)


@torch.no_grad()
def test_channels_are_reversed_and_the_mean_taken_off() -> None:
    module, seen = RadImageNetFeatures(), []
    module.network.conv1.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    red = torch.full((1, 3, 50, 60), -1.0)
    red[:, 0] = 1
    features, logits = module(red)
    assert (features.shape, logits) == ((1, 2048), None)
    assert seen[0].shape == (1, 3, 224, 224)
    torch.testing.assert_close(seen[0][0, :, 7, 7], torch.tensor([-0.406, -0.456, 1 - 0.485]))
