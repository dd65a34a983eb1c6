"""VGGish: embeddings of about a second of sound (Hershey et al., CNN architectures for large-scale audio, 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streamsed.bundle import AudioInput
from streamsed.config import LogMelConfig, require
from training.encoders.convolutions import vgg_stack
from training.encoders.torch_encoder import TorchEncoder, WeightSettings, with_weights
from training.encoders.weights import WeightFile

WEIGHTS = WeightFile(
    file="vggish-10086976.pth",
    sha256="10086976",
    origin="harritaylor/torchvggish, release v0.1 on GitHub: VGGish of tensorflow/models as a torch state dict",
    licence="Apache-2.0",
)
# Linear: the logarithm has an offset, log(mel + 0.01), which the network adds itself.
FRONT_END = LogMelConfig(
    sample_rate=16000,
    n_fft=512,
    window_length=400,
    hop_length=160,
    n_mels=64,
    f_min=125.0,
    f_max=7500.0,
    mel_scale="htk",
    area_norm=False,
    spectrum="magnitude",
    log="none",
)
LOG_OFFSET = 0.01
WINDOW_FRAMES = 96
CHANNELS = (64, 128, 256, 512)
HIDDEN = 4096
EMBEDDING = 128


class VGGish(nn.Module):
    """Linear mel magnitudes (B, 96, 64) to embeddings (B, embedding).

    Names and shapes of the parameters are those of the public port. Its embeddings are rectified, as the paper of
    the audiovisual recipe uses them: no principal components, no quantisation.

    Parameters
    ----------
    channels : sequence of four ints
        Of the convolutions; the last two blocks have two of them.
    hidden : int
        Units of the two hidden layers.
    embedding : int
    """

    def __init__(
        self, channels: Sequence[int] = CHANNELS, hidden: int = HIDDEN, embedding: int = EMBEDDING
    ) -> None:
        super().__init__()
        require(len(channels) == 4, "channels", "four numbers", list(channels))
        first, second, third, fourth = channels
        self.features = vgg_stack(1, [[first], [second], [third, third], [fourth, fourth]])
        cells = (WINDOW_FRAMES // 16) * (FRONT_END.n_mels // 16)
        self.embeddings = nn.Sequential(
            nn.Linear(fourth * cells, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, embedding),
            nn.ReLU(),
        )
        self.features_out = embedding

    def forward(self, mel: Tensor) -> Tensor:
        """Return (B, embedding) of mel magnitudes (B, 96, 64)."""
        maps = self.features(torch.log(mel + LOG_OFFSET)[:, None])
        # Channels last: the weights come from a network that flattens time, band, channel.
        return self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))


@dataclass(frozen=True)
class VGGishSettings(WeightSettings):
    """VGGish as an encoder of windows of 0.96 s.

    Parameters
    ----------
    hop_frames : int
        Log-mel frames of 10 ms from one window to the next; the paper's 60 ms are 6.
    channels, hidden, embedding
        Sizes, see :class:`VGGish`.
    """

    hop_frames: int = 6
    channels: tuple[int, ...] = CHANNELS
    hidden: int = HIDDEN
    embedding: int = EMBEDDING


def vggish(settings: VGGishSettings) -> TorchEncoder:
    """Return the encoder.

    Raises
    ------
    ConfigError, FormatError
        As :func:`~training.encoders.weights.load_weights`.
    """
    network = VGGish(settings.channels, settings.hidden, settings.embedding)
    item = AudioInput(FRONT_END, WINDOW_FRAMES, settings.hop_frames)
    return with_weights("vggish", network, item, WEIGHTS, settings)
