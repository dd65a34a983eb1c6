"""What networks of an encoder and frame-wise heads have in common: state, outputs, the graph that ships."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from streamsed.config import require
from training.eow.confidence import ConfidenceConfig, confidence
from training.nets.blocks import Encoder, EncoderConfig


class HeadOutputs(NamedTuple):
    """What the heads say of (B, T', C) features; None where there is no such head.

    Attributes
    ----------
    logits : Tensor, shape (B, T', K)
        Of sound event detection.
    sod_logits : Tensor, shape (B, T', P) or (B, T', P + 1), or None
        Of sound occurrence and overlap detection.
    clip_posteriors : Tensor, shape (B, K), or None
    """

    logits: Tensor
    sod_logits: Tensor | None = None
    clip_posteriors: Tensor | None = None


class FrameNet(nn.Module, ABC):
    """(log_mel, state...) -> (logits, SOD logits if any, clip posteriors if any, state...).

    Training calls :meth:`encode` and :meth:`heads`: the features between them, before dropout, are what the SOD head
    gets and where EOW-Softmax draws its samples.
    """

    def __init__(self, encoder: EncoderConfig) -> None:
        super().__init__()
        self.encoder = Encoder(encoder)

    @property
    def causal(self) -> bool:
        """Whether it streams; else it takes whole windows."""
        return self.encoder.config.causal

    @property
    def features(self) -> int:
        """Width of what the heads get."""
        return self.encoder.outputs

    @property
    def time_stride(self) -> int:
        """Log-mel frames per posterior."""
        return self.encoder.config.time_stride

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every state, batch axis first and 1, in the order of the arguments; none if windowed."""
        return self.encoder.state_shapes()

    def initial_state(self, batch: int) -> list[Tensor]:
        """Zeros."""
        return self.encoder.initial_state(batch)

    def encode(self, log_mel: Tensor, *state: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Map log_mel (B, T, n_mels) and states to features (B, T', C) and the next states."""
        return self.encoder(log_mel, *state)

    @property
    def blocks(self) -> nn.ModuleList:
        """The convolutional ones."""
        return self.encoder.blocks

    def from_block(self, index: int, x: Tensor) -> Tensor:
        """See :meth:`training.nets.blocks.Encoder.from_block`."""
        return self.encoder.from_block(index, x)

    @abstractmethod
    def heads(self, features: Tensor) -> HeadOutputs:
        """Map features (B, T', C) to the outputs of all heads."""

    def forward(self, log_mel: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Map log_mel (B, T, n_mels) and states to the outputs there are and the next states."""
        features, new_state = self.encode(log_mel, *state)
        return (*(item for item in self.heads(features) if item is not None), *new_state)


class ExportedFrameNet(nn.Module):
    """The graph that ships (docs/architecture.md): posteriors, the confidence of eq. (4) if asked for, next states.

    Parameters
    ----------
    net : FrameNet
        In eval mode.
    weighting : ConfidenceConfig, optional
        How confidence follows from the SOD head; None: the graph has no such output.
    temperature : float
        Logits are divided by it.

    Raises
    ------
    ConfigError
        If the confidence needs a head that the network lacks, or the mean of a clip that a stream does not have.
    """

    def __init__(
        self, net: FrameNet, weighting: ConfidenceConfig | None = None, temperature: float = 1.0
    ) -> None:
        super().__init__()
        check_weighting(net, weighting)
        self.net = net
        self.weighting = weighting
        self.temperature = temperature

    def forward(self, log_mel: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Map log_mel (B, T, n_mels) and states to posteriors (B, T', K), confidence (B, T') if any, next states."""
        features, new_state = self.net.encode(log_mel, *state)
        return (*shipped_outputs(self.net.heads(features), self.weighting, self.temperature), *new_state)


def check_weighting(net: nn.Module, weighting: ConfidenceConfig | None) -> None:
    """Raise ConfigError if a network cannot give the confidence asked for."""
    if weighting is None:
        return
    has_head = getattr(net, "sod_head", None) is not None
    require(has_head, "confidence", "a network with a SOD head", weighting)
    # The runtime's confidence is per frame; a window's mean is repeated over its frames.
    possible = not (weighting.clip_mean and net.causal)
    require(possible, "clip_mean", "false for a causal network", weighting.clip_mean)


def shipped_outputs(
    outputs: HeadOutputs, weighting: ConfidenceConfig | None, temperature: float
) -> tuple[Tensor, ...]:
    """Return posteriors (B, T', K) and, with a weighting, the confidence (B, T') of eq. (4)."""
    # Every operator costs a stream more than its arithmetic.
    logits = outputs.logits if temperature == 1 else outputs.logits / temperature
    posteriors = torch.sigmoid(logits)
    if weighting is None:
        return (posteriors,)
    return (posteriors, confidence(outputs.sod_logits, weighting, posteriors))
