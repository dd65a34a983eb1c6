"""VGG16: embeddings of pictures (Simonyan and Zisserman, Very deep convolutional networks, 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streamsed.bundle import ImageInput
from streamsed.config import require
from training.encoders.convolutions import vgg_stack
from training.encoders.torch_encoder import TorchEncoder, WeightSettings, with_weights
from training.encoders.weights import WeightFile

WEIGHTS = WeightFile(
    file="vgg16-397923af.pth",
    sha256="397923af",
    origin="torchvision (pytorch/vision), weights IMAGENET1K_V1 of its vgg16",
    licence="BSD-3-Clause of torchvision; trained on ImageNet, whose pictures are for research",
)
CHANNELS = (64, 128, 256, 512, 512)
HIDDEN = 4096
CLASSES = 1000
SIZE = 224
# Of ImageNet, as torchvision normalises.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# What of `classifier` gives the last hidden layer, rectified; the rest only names classes.
_HIDDEN_LAYERS = 5


class VGG16(nn.Module):
    """Normalised pictures (B, 3, 224, 224) to the rectified last hidden layer (B, hidden).

    Names and shapes of the parameters are those of torchvision's ``vgg16``, the layer of classes included.

    Parameters
    ----------
    channels : sequence of five ints
        Of the convolutions; the first two blocks have two of them, the others three.
    hidden : int
        Units of the two hidden layers.
    classes : int
    """

    def __init__(
        self, channels: Sequence[int] = CHANNELS, hidden: int = HIDDEN, classes: int = CLASSES
    ) -> None:
        super().__init__()
        require(len(channels) == 5, "channels", "five numbers", list(channels))
        self.features = vgg_stack(
            3, [[width] * (2 if block < 2 else 3) for block, width in enumerate(channels)]
        )
        self.classifier = nn.Sequential(
            nn.Linear(channels[-1] * (SIZE // 32) ** 2, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, classes),
        )
        self.features_out = hidden

    def forward(self, pictures: Tensor) -> Tensor:
        """Return (B, hidden) of pictures (B, 3, 224, 224)."""
        return self.classifier[:_HIDDEN_LAYERS](torch.flatten(self.features(pictures), 1))


@dataclass(frozen=True)
class VGG16Settings(WeightSettings):
    """VGG16 as an encoder of pictures.

    Parameters
    ----------
    rate_hz : float
        So many pictures a second are looked at, at most.
    channels, hidden, classes
        Sizes, see :class:`VGG16`.
    """

    rate_hz: float = 15.0
    channels: tuple[int, ...] = CHANNELS
    hidden: int = HIDDEN
    classes: int = CLASSES


def vgg16(settings: VGG16Settings) -> TorchEncoder:
    """Return the encoder.

    Raises
    ------
    ConfigError, FormatError
        As :func:`~training.encoders.weights.load_weights`.
    """
    network = VGG16(settings.channels, settings.hidden, settings.classes)
    item = ImageInput(SIZE, SIZE, MEAN, STD)
    return with_weights("vgg16", network, item, WEIGHTS, settings, settings.rate_hz)
