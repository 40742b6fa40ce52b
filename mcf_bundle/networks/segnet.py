"""SegNet: an encoder and a decoder that puts values back where the encoder's pooling found them."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

VGG16_STAGES = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))
"""Width of each convolution of VGG16 in multiples of the first one's, stage by stage."""


class SegNet(nn.Module):
    """The network of Badrinarayanan, Kendall and Cipolla (PAMI 2017), with the encoder of VGG16.

    Thirteen convolutions with batch normalization and five poolings, mirrored in the decoder: each unpooling
    writes a value to the position that held the maximum, and 0 elsewhere. The last convolution is the
    classifier's alone.

    Args:
        in_channels: channels of the image.
        out_channels: number of classes.
        base_channels: width of the first convolution, 64 in the paper; 4 of them train on a CPU.
    """

    size_divisor = 2 ** len(VGG16_STAGES)

    def __init__(self, in_channels: int, out_channels: int, base_channels: int = 64) -> None:
        super().__init__()
        widths = [[base_channels * width for width in stage] for stage in VGG16_STAGES]
        inputs = [in_channels, *(stage[-1] for stage in widths[:-1])]
        self.encoder = nn.ModuleList(
            _convolutions([first, *stage]) for first, stage in zip(inputs, widths, strict=True)
        )
        # A decoder stage ends in the width of the encoder's stage before it.
        outputs = [base_channels, *inputs[1:]]
        self.decoder = nn.ModuleList(
            _convolutions([*reversed(stage), last])
            for last, stage in zip(reversed(outputs[1:]), reversed(widths[1:]), strict=True)
        )
        self.decoder.append(_convolutions([widths[0][-1], base_channels]))
        self.classifier = nn.Conv2d(base_channels, out_channels, 3, padding=1)
        self.pool = nn.MaxPool2d((2, 2), return_indices=True)
        self.unpool = nn.MaxUnpool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of each class.

        Args:
            x: (B, in_channels, H, W); H and W are multiples of 32.

        Returns:
            (B, out_channels, H, W), not normalized.
        """
        positions: list[Tensor] = []
        for stage in self.encoder:
            x, position = self.pool(stage(x))
            positions.append(position)
        for stage in self.decoder:
            x = stage(self.unpool(x, positions.pop()))
        return self.classifier(x)


def _convolutions(widths: list[int]) -> nn.Sequential:
    """3 x 3 convolutions of these widths, from the first to the last, each with normalization and ReLU."""
    layers: list[nn.Module] = []
    for first, last in pairwise(widths):
        layers += [
            nn.Conv2d(first, last, 3, padding=1, bias=False),
            nn.BatchNorm2d(last),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
