"""Building blocks of convolutional recurrent networks, each windowed as published or causal with explicit state.

A causal block takes what it needs of the past as tensors and returns their next values, as
:mod:`training.nets.streaming_crnn` does; zeros are the start of a stream. A windowed block has no state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamsed.config import require

# Frames of the past that a causal 3 x 3 convolution sees.
_CONTEXT = 2


class Gate(nn.Module):
    """Linear(x) * sigmoid(x) over the channels, the gate of the DCASE baselines (there called GLU)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * torch.sigmoid(x)


@dataclass(frozen=True)
class BlockConfig:
    """One convolutional block.

    Parameters
    ----------
    filters : int
    pool : tuple of int
        Frames and bands that become one.
    pooling : {"avg", "max"}
    activation : {"gate", "relu"}
    dropout : float
        Share of the values zeroed in training.
    norm_eps : float
        Of the batch norm.
    """

    filters: int
    pool: tuple[int, int]
    pooling: Literal["avg", "max"] = "avg"
    activation: Literal["gate", "relu"] = "gate"
    dropout: float = 0.5
    norm_eps: float = 1e-3

    def __post_init__(self) -> None:
        """Check every field."""
        require(self.filters >= 1, "filters", "at least 1", self.filters)
        require(len(self.pool) == 2 and min(self.pool) >= 1, "pool", "two factors >= 1", self.pool)
        require(self.pooling in ("avg", "max"), "pooling", "one of ['avg', 'max']", self.pooling)
        require(self.activation in ("gate", "relu"), "activation", "one of ['gate', 'relu']", self.activation)
        require(0 <= self.dropout < 1, "dropout", "in [0, 1)", self.dropout)
        require(self.norm_eps > 0, "norm_eps", "above 0", self.norm_eps)


class ConvBlock(nn.Module):
    """3 x 3 convolution - batch norm - activation - dropout - pooling."""

    def __init__(self, inputs: int, config: BlockConfig, causal: bool) -> None:
        super().__init__()
        self.config = config
        self.causal = causal
        self.conv = nn.Conv2d(inputs, config.filters, 3, padding=(0 if causal else 1, 1))
        self.norm = nn.BatchNorm2d(config.filters, eps=config.norm_eps)
        self.activation = Gate(config.filters) if config.activation == "gate" else nn.ReLU()
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, context: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Map (B, C, T, F) to (B, C', T / pool, F / pool), and the context, one (B, C, 2, F) if causal, to the next."""
        if self.causal:
            x = torch.cat([*context, x], dim=2)
            context = [x[:, :, -_CONTEXT:]]
        x = self.dropout(self.activation(self.norm(self.conv(x))))
        pool = functional.avg_pool2d if self.config.pooling == "avg" else functional.max_pool2d
        return pool(x, self.config.pool), list(context)


class Recurrence(nn.Module):
    """Gated recurrent units: both directions over a window, or forward only with their state.

    Attributes
    ----------
    outputs : int
        Features of each frame.
    """

    def __init__(self, inputs: int, hidden: int, layers: int, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.gru = nn.GRU(inputs, hidden, layers, batch_first=True, bidirectional=not causal)
        self.outputs = hidden if causal else 2 * hidden

    def forward(self, x: Tensor, hidden: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Map (B, T, C) to (B, T, outputs), and the hidden states, one (B, hidden) a layer if causal, to the next."""
        # A state of eight bits forgets what a slow sound needs: no mixed precision here.
        with torch.autocast(x.device.type, enabled=False):
            if not self.causal:
                return self.gru(x.float())[0], []
            x, last = self.gru(x.float(), torch.stack([item.float() for item in hidden]))
            return x, list(last.unbind(0))


@dataclass(frozen=True)
class EncoderConfig:
    """Convolutions and recurrence before the heads.

    Parameters
    ----------
    n_mels : int
        Divisible by the product of the blocks' pooling over bands.
    blocks : tuple of BlockConfig
    hidden, layers : int
        Units of each direction and layers of the recurrence.
    causal : bool
        Past only, with state, instead of whole windows in both directions.
    normalisation : {"fixed", "clip_min_max"}
        (x - mean) / std per band with the encoder's buffers, or each window scaled to [0, 1] by its own extremes.
        The latter is the DCASE baseline's, changes what it says of a frame by what comes later, and cannot be causal.
    beside : int
        Features of other origin that each posterior frame has beside the convolutional ones; the recurrence gets both.
    spectral : bool
        False: there are no convolutions, and the recurrence gets what is ``beside`` alone, one vector for each
        ``time_stride`` frames.
    """

    n_mels: int
    blocks: tuple[BlockConfig, ...]
    hidden: int
    layers: int
    causal: bool = False
    normalisation: Literal["fixed", "clip_min_max"] = "fixed"
    beside: int = 0
    spectral: bool = True

    def __post_init__(self) -> None:
        """Check what the blocks ask for."""
        require(self.beside >= 0, "beside", "0 or more", self.beside)
        require(self.spectral or self.beside > 0, "spectral", "true with nothing beside", self.spectral)
        require(len(self.blocks) >= 1, "blocks", "at least one", self.blocks)
        factor = math.prod(block.pool[1] for block in self.blocks)
        require(
            self.n_mels >= 1 and self.n_mels % factor == 0, "n_mels", f"a multiple of {factor}", self.n_mels
        )
        require(self.hidden >= 1, "hidden", "at least 1", self.hidden)
        require(self.layers >= 1, "layers", "at least 1", self.layers)
        choices = ("fixed",) if self.causal else ("fixed", "clip_min_max")
        expected = f"one of {list(choices)} with causal = {self.causal}"
        require(self.normalisation in choices, "normalisation", expected, self.normalisation)

    @property
    def time_stride(self) -> int:
        """Log-mel frames per posterior."""
        return math.prod(block.pool[0] for block in self.blocks)

    @property
    def inputs(self) -> tuple[tuple[int, int], ...]:
        """Channels and bands that go into each block, and those that leave the last one."""
        sizes = [(1, self.n_mels)]
        for block in self.blocks:
            sizes.append((block.filters, sizes[-1][1] // block.pool[1]))
        return tuple(sizes)

    @property
    def recurrence_inputs(self) -> int:
        """Width of what the recurrence gets."""
        return (math.prod(self.inputs[-1]) if self.spectral else 0) + self.beside


class Encoder(nn.Module):
    """Log-mels to one feature vector per posterior frame."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.n_mels))
        self.register_buffer("std", torch.ones(config.n_mels))
        self.blocks = nn.ModuleList(
            ConvBlock(channels, block, config.causal)
            for (channels, _), block in zip(config.inputs, config.blocks, strict=False)
            if config.spectral
        )
        self.recurrence = Recurrence(config.recurrence_inputs, config.hidden, config.layers, config.causal)
        self.outputs = self.recurrence.outputs

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every state, batch axis first and 1, in the order of the arguments; none if windowed."""
        if not self.config.causal:
            return {}
        shapes: dict[str, tuple[int, ...]] = {
            f"context{i}": (1, channels, _CONTEXT, bands)
            for i, (channels, bands) in enumerate(self.config.inputs[: len(self.blocks)])
        }
        return shapes | {f"hidden{i}": (1, self.config.hidden) for i in range(self.config.layers)}

    def initial_state(self, batch: int) -> list[Tensor]:
        """Zeros."""
        return [self.mean.new_zeros((batch, *shape[1:])) for shape in self.state_shapes().values()]

    def forward(
        self, log_mel: Tensor, *state: Tensor, beside: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Map log_mel (B, T, n_mels) and states to features (B, T / time_stride, outputs) and the next states.

        A causal stream must be cut at multiples of ``time_stride``. Frames at the end that do not fill a posterior
        are dropped, as pooling does. ``beside`` is (B, T / time_stride, beside) where the configuration has it.
        """
        if not self.config.spectral:
            return self.recurrence(beside, state)
        return self._from_block(0, self._normalised(log_mel).unsqueeze(1), state, beside)

    def from_block(self, index: int, x: Tensor) -> Tensor:
        """Map what block ``index`` gets at the start of a stream to features.

        Parameters
        ----------
        index : int
            That after the last one is the recurrence.
        x : Tensor, shape (B, C, T, F)

        Returns
        -------
        Tensor, shape (B, T', outputs)
        """
        state: list[Tensor] = []
        if self.config.causal:
            shapes = list(self.state_shapes().values())[index:]
            state = [x.new_zeros((x.shape[0], *shape[1:])) for shape in shapes]
        return self._from_block(index, x, state)[0]

    def _from_block(
        self, index: int, x: Tensor, state: Sequence[Tensor], beside: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        width = 1 if self.config.causal else 0
        new_state: list[Tensor] = []
        for i, block in enumerate(self.blocks[index:]):
            x, context = block(x, state[i : i + width])
            new_state += context
        x = x.transpose(1, 2).flatten(2)
        if beside is not None:
            x = torch.cat([x, beside], dim=2)
        x, hidden = self.recurrence(x, state[len(new_state) :])
        return x, new_state + hidden

    def _normalised(self, log_mel: Tensor) -> Tensor:
        if self.config.normalisation == "fixed":
            return (log_mel - self.mean) / self.std
        low, high = log_mel.amin((1, 2), keepdim=True), log_mel.amax((1, 2), keepdim=True)
        # Digital silence has no range, and nothing to scale.
        return (log_mel - low) / (high - low).clamp_min(1e-8)


class FrameHead(nn.Module):
    """Dropout, perhaps one hidden layer with ReLU, and a linear layer, on the features of each frame."""

    def __init__(self, features: int, outputs: int, dropout: float, hidden: int = 0) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Dropout(dropout)]
        if hidden:
            layers += [nn.Linear(features, hidden), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden or features, outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Map (..., features) to logits (..., outputs)."""
        return self.layers(features)
