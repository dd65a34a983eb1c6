"""The stack of 3 x 3 convolutions that VGG networks are made of, with the layer numbers of the public weight files."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


def vgg_stack(in_channels: int, blocks: Sequence[Sequence[int]]) -> nn.Sequential:
    """Return blocks of convolution - ReLU, each block ended by a maximum over 2 x 2.

    Parameters
    ----------
    in_channels : int
    blocks : sequence of sequences of int
        Channels of the convolutions of every block.

    References
    ----------
    Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition (2015).
    """
    layers: list[nn.Module] = []
    for block in blocks:
        for channels in block:
            layers += [nn.Conv2d(in_channels, channels, kernel_size=3, padding=1), nn.ReLU()]
            in_channels = channels
        layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    return nn.Sequential(*layers)


@torch.no_grad()
def initialise(network: nn.Module, seed: int) -> None:
    """Draw all weights anew (He et al. 2015), so that activations neither vanish nor explode; biases become 0."""
    generator = torch.Generator().manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan_in = layer.weight[0].numel()
            layer.weight.normal_(0.0, (2.0 / fan_in) ** 0.5, generator=generator)
            if layer.bias is not None:
                layer.bias.zero_()
