"""The seven-layer network of Nguyen and Pernkopf (EMBC 2020), Table I, in any width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from streamsed.config import require

FILTERS = (64, 128, 128, 256, 256, 512, 512)
# The printed column is shifted by one: these give the printed sizes 50, 48, 23, 21, 10, 8, 3.
STRIDES = (1, 1, 2, 1, 2, 1, 2)
DENSE = 512
LEAST_FRAMES = 29
# Keras' defaults, momentum 0.99 and epsilon 1e-3, in torch's terms.
_MOMENTUM, _EPSILON = 0.01, 1e-3


@dataclass(frozen=True)
class LungCnnConfig:
    """Shape of the network.

    Parameters
    ----------
    n_mels : int
        Log-mel bands, at least 29.
    n_classes : int
        2 or 4.
    width : float
        In (0, 1]: share of the published filters and dense units; 1 has 4 921 480 parameters (50 bands, 4 classes).
    centre : {"none", "bands", "chunk"}
        What is subtracted from a chunk first: nothing, as published; the mean of each band over time, which takes out
        level, stethoscope and chest; or one mean of all, which takes out the level alone.
    dropout : float
        Before the dense layer; 0 as published.
    """

    n_mels: int
    n_classes: int
    width: float = 1.0
    centre: Literal["none", "bands", "chunk"] = "none"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Check every field."""
        least = f"at least {LEAST_FRAMES}: seven layers leave nothing of fewer"
        require(self.n_mels >= LEAST_FRAMES, "n_mels", least, self.n_mels)
        require(self.n_classes in (2, 4), "n_classes", "2 or 4", self.n_classes)
        require(0.0 < self.width <= 1.0, "width", "in (0, 1]", self.width)
        require(self.centre in ("none", "bands", "chunk"), "centre", "none, bands or chunk", self.centre)
        require(0.0 <= self.dropout < 1.0, "dropout", "in [0, 1)", self.dropout)

    @property
    def filters(self) -> tuple[int, ...]:
        """Of the seven convolutions."""
        return tuple(max(4, round(count * self.width)) for count in FILTERS)

    @property
    def dense(self) -> int:
        """Units of the dense layer."""
        return max(16, round(DENSE * self.width))


class LungCnn(nn.Module):
    """Log-mel chunks to logits: seven times batch normalisation - convolution - ReLU, then one dense layer.

    Parameters
    ----------
    config : LungCnnConfig

    Attributes
    ----------
    mean, std : Tensor, shape (n_mels,)
        z-score of the training set. ``forward`` takes chunks that have it already, as the front-end of a bundle
        gives them; see :meth:`normalised`.

    Notes
    -----
    The first convolution is padded and the others are not: n frames become (n - 2) after the second, and so on, in
    time as in frequency.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: LungCnnConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.n_mels))
        self.register_buffer("std", torch.ones(config.n_mels))
        layers: list[nn.Module] = []
        channels = 1
        for i, (filters, stride) in enumerate(zip(config.filters, STRIDES, strict=True)):
            layers.append(
                nn.Sequential(
                    nn.BatchNorm2d(channels, _EPSILON, _MOMENTUM),
                    nn.Conv2d(channels, filters, 3, stride, padding=1 if i == 0 else 0),
                    nn.ReLU(),
                )
            )
            channels = filters
        self.layers = nn.ModuleList(layers)
        self.last_norm = nn.BatchNorm2d(channels, _EPSILON, _MOMENTUM)
        self.dropout = nn.Dropout(config.dropout)
        self.dense = nn.Linear(channels, config.dense)
        self.dense_norm = nn.BatchNorm1d(config.dense, _EPSILON, _MOMENTUM)
        self.head = nn.Linear(config.dense, config.n_classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def normalised(self, log_mel: Tensor) -> Tensor:
        """Return the z-score of raw log-mel frames (..., n_mels)."""
        return (log_mel - self.mean) / self.std

    def forward(self, log_mel: Tensor) -> tuple[Tensor]:
        """Map chunks (B, T, n_mels) of z-scores to logits (B, n_classes), in a tuple of one.

        Raises
        ------
        ConfigError
            If a chunk has fewer than 29 frames.
        """
        frames = log_mel.shape[1]
        least = f"chunks of at least {LEAST_FRAMES} frames: seven layers leave nothing of fewer"
        require(bool(frames >= LEAST_FRAMES), "log_mel", least, int(frames))
        if self.config.centre == "bands":
            log_mel = log_mel - log_mel.mean(1, keepdim=True)
        elif self.config.centre == "chunk":
            log_mel = log_mel - log_mel.mean((1, 2), keepdim=True)
        x = log_mel.transpose(1, 2)[:, None]
        for layer in self.layers:
            x = layer(x)
        x = self.last_norm(x).mean((2, 3))
        x = self.dense_norm(torch.relu(self.dense(self.dropout(x))))
        return (self.head(x),)

    def prepared(self, chunks: Tensor) -> Tensor:
        """Map raw log-mel chunks to what :meth:`classify` takes: their z-scores."""
        return self.normalised(chunks)

    def classify(self, prepared: Tensor) -> Tensor:
        """Map z-scores (B, T, n_mels) to logits (B, n_classes)."""
        return self(prepared)[0]

    def regularised(self) -> list[nn.Parameter]:
        """Return what the paper's L2 is on: the weights of the convolutions."""
        return [module.weight for module in self.modules() if isinstance(module, nn.Conv2d)]

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the state between chunks: none."""
        return {}

    def initial_state(self, _batch: int) -> list[Tensor]:
        """Return the state before the first chunk: none."""
        return []
