"""Causal convolutional recurrent network whose state is explicit, so that a stream equals one big chunk.

And its windowed twin, whose recurrence runs backwards, too.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamsed.config import require
from training.eow.confidence import ConfidenceConfig
from training.nets.blocks import FrameHead
from training.nets.frame_net import HeadOutputs, check_weighting, shipped_outputs


@dataclass(frozen=True)
class StreamingCrnnConfig:
    """Shape of a :class:`StreamingCrnn`.

    Parameters
    ----------
    n_mels : int
        Log-mel bands; divisible by the product of ``band_strides``.
    n_classes : int
        Outputs.
    channels : tuple of int
        Filters of each block. The first one halves the frame rate.
    band_strides : tuple of int
        Stride of each block along the frequency axis; its kernel spans 2 * stride - 1 bands.
    hidden : int
        Units of the recurrent layer.
    dropout : float
        Share of the features before and after the recurrent layer that a whole scene of the training is without.
    sod_outputs : int
        Outputs of the SOD head: 4 with the open-world uncertainty (P + 1), 3 without, 0 for no such head.
    sod_hidden : int
        Units of a hidden layer in the SOD head; 0: linear.
    bidirectional : bool
        A second recurrent layer hears what comes later: better, and no longer causal, so that the network takes whole
        windows. All other weights are those of the causal one, from which its training may start.
    """

    n_mels: int = 64
    n_classes: int = 11
    channels: tuple[int, ...] = (32, 64, 96, 128)
    band_strides: tuple[int, ...] = (4, 2, 2, 2)
    hidden: int = 128
    dropout: float = 0.2
    sod_outputs: int = 0
    sod_hidden: int = 0
    bidirectional: bool = False

    def __post_init__(self) -> None:
        """Check the shape."""
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "band_strides", tuple(self.band_strides))
        require(len(self.channels) >= 1, "channels", "at least one block", self.channels)
        usable = len(self.band_strides) == len(self.channels) and min(self.band_strides) >= 1
        require(usable, "band_strides", "one stride >= 1 for each of channels", self.band_strides)
        factor = math.prod(self.band_strides)
        require(self.n_mels % factor == 0, "n_mels", f"a multiple of {factor}", self.n_mels)
        require(self.sod_outputs in (0, 3, 4), "sod_outputs", "0, 3 or 4", self.sod_outputs)
        require(self.sod_hidden >= 0, "sod_hidden", "0 or more", self.sod_hidden)

    @property
    def causal(self) -> bool:
        """Whether it streams; else it takes whole windows."""
        return not self.bidirectional

    @property
    def bands(self) -> tuple[int, ...]:
        """Bands that go into each block, and those that leave the last one."""
        return tuple(
            self.n_mels // math.prod(self.band_strides[:i]) for i in range(len(self.band_strides) + 1)
        )


# Log-mel frames per posterior: the stride of the first convolution.
TIME_STRIDE = 2
# Frames of the past that a convolution sees. The first kernel is one frame longer and its stride takes the rest.
_CONTEXT = 2


class CausalBlock(nn.Module):
    """Convolution over the past, strided along frequency as pooling computes what it throws away; batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, time_stride: int, band_stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs,
            outputs,
            (_CONTEXT + time_stride, 2 * band_stride - 1),
            stride=(time_stride, band_stride),
            padding=(0, band_stride - 1),
            bias=False,
        )
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, T, F) and context (B, C, 2, F) to (B, C', T / time_stride, F / band_stride), next context."""
        x = torch.cat([context, x], dim=2)
        return functional.relu(self.norm(self.conv(x))), x[:, :, -_CONTEXT:]


class StreamingCrnn(nn.Module):
    """Causal CNN and forward GRU: (log_mel, state...) -> (logits, SOD logits if any, state...).

    Normalisation is fixed: (x - mean) / std per band, from the training set. States are zeros at the start;
    training runs the same forward pass on whole scenes, so that there is no second code path to drift.
    """

    def __init__(self, config: StreamingCrnnConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.n_mels))
        self.register_buffer("std", torch.ones(config.n_mels))
        self.blocks = nn.ModuleList(
            CausalBlock(inputs, outputs, TIME_STRIDE if i == 0 else 1, config.band_strides[i])
            for i, (inputs, outputs) in enumerate(zip((1, *config.channels), config.channels, strict=False))
        )
        features = config.channels[-1] * config.bands[-1]
        self.gru = nn.GRU(features, config.hidden, batch_first=True)
        self.head = nn.Linear(config.hidden, config.n_classes)
        self.backward_gru = self.backward_head = None
        if config.bidirectional:
            self.backward_gru = nn.GRU(features, config.hidden, batch_first=True)
            self.backward_head = nn.Linear(config.hidden, config.n_classes, bias=False)
        self.sod_head = None
        if config.sod_outputs:
            self.sod_head = FrameHead(self.features, config.sod_outputs, config.dropout, config.sod_hidden)

    @property
    def causal(self) -> bool:
        """Whether it streams; else it takes whole windows."""
        return self.config.causal

    @property
    def features(self) -> int:
        """Width of what the heads get."""
        return self.config.hidden * (2 if self.config.bidirectional else 1)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every state, batch axis first and 1, in the order of the arguments; none if windowed."""
        return self._memory_shapes() if self.causal else {}

    def _memory_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        for i, inputs in enumerate((1, *self.config.channels[:-1])):
            shapes[f"context{i}"] = (1, inputs, _CONTEXT, self.config.bands[i])
        shapes["hidden"] = (1, self.config.hidden)
        return shapes

    def initial_state(self, batch: int) -> list[Tensor]:
        """Zeros."""
        return self.no_past(batch) if self.causal else []

    def no_past(self, batch: int) -> list[Tensor]:
        """Zeros, with which a stream begins, and every window."""
        return [self.mean.new_zeros((batch, *shape[1:])) for shape in self._memory_shapes().values()]

    def encode(self, log_mel: Tensor, *state: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Map log_mel (B, T, n_mels), T even, and states to features (B, T / 2, C) and the next states."""
        past = state if self.causal else tuple(self.no_past(log_mel.shape[0]))
        x = ((log_mel - self.mean) / self.std).unsqueeze(1)
        x, new_state = self._from_block(0, x, past)
        return x, new_state if self.causal else []

    def from_block(self, index: int, x: Tensor) -> Tensor:
        """Map what block ``index`` gets at the start of a stream to features.

        Parameters
        ----------
        index : int
            That after the last one is the recurrence.
        x : Tensor, shape (B, C, T, F)

        Returns
        -------
        Tensor, shape (B, T', C')
        """
        past = [x.new_zeros((x.shape[0], *shape[1:])) for shape in self._memory_shapes().values()]
        return self._from_block(index, x, past[index:])[0]

    def _from_block(self, index: int, x: Tensor, past: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        new_state: list[Tensor] = []
        for block, context in zip(self.blocks[index:], past, strict=False):
            x, context = block(x, context)
            new_state.append(context)
        x, hidden = self.recur(x.transpose(1, 2).flatten(2), past[-1])
        return x, [*new_state, hidden]

    def recur(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, T, C) and the hidden state (B, hidden) to features (B, T, C') and the next hidden state."""
        # A state of eight bits forgets what a slow sound needs: the recurrence stays in float32 under mixed precision.
        with torch.autocast(x.device.type, enabled=False):
            x = self._dropped(x).float()
            forward, last = self.gru(x, hidden.float().unsqueeze(0))
            if self.backward_gru is not None:
                backward = self.backward_gru(x.flip(1))[0].flip(1)
                forward = torch.cat([forward, backward], dim=2)
        return forward, last.squeeze(0)

    def heads(self, features: Tensor) -> HeadOutputs:
        """Map features (B, T', C) to the outputs of the heads there are."""
        sod_logits = None if self.sod_head is None else self.sod_head(features)
        return HeadOutputs(self._logits(self._dropped(features)), sod_logits)

    def _logits(self, features: Tensor) -> Tensor:
        if self.backward_head is None:
            return self.head(features)
        forward, backward = features.chunk(2, dim=2)
        return self.head(forward) + self.backward_head(backward)

    def forward(self, log_mel: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Map log_mel (B, T, n_mels), T even, and states to the outputs there are and the next states."""
        features, new_state = self.encode(log_mel, *state)
        return (*(item for item in self.heads(features) if item is not None), *new_state)

    def _dropped(self, x: Tensor) -> Tensor:
        """Zero the same features of (B, T, C) at all times (Gal and Ghahramani 2016): nothing can fill them in."""
        if not self.training:
            return x
        return x * functional.dropout(x.new_ones((x.shape[0], 1, x.shape[2])), self.config.dropout)


class ExportedCrnn(nn.Module):
    """The graph that ships (docs/architecture.md): batch norm folded into the convolutions, sigmoid at the end.

    Parameters
    ----------
    net : StreamingCrnn
        In eval mode.
    weighting : ConfidenceConfig, optional
    temperature : float
        Both as in :class:`training.nets.frame_net.ExportedFrameNet`.
    """

    def __init__(
        self, net: StreamingCrnn, weighting: ConfidenceConfig | None = None, temperature: float = 1.0
    ) -> None:
        super().__init__()
        check_weighting(net, weighting)
        self.weighting = weighting
        self.temperature = temperature
        self.register_buffer("mean", net.mean.detach().clone())
        self.register_buffer("scale", 1.0 / net.std.detach())
        self.convolutions = nn.ModuleList(_folded(block) for block in net.blocks)
        # What comes after them ships as it is, without a second copy of them.
        self.tail = copy.copy(net)
        self.tail._modules = {name: item for name, item in net._modules.items() if name != "blocks"}

    def forward(self, log_mel: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Map log_mel (B, T, n_mels) and states to posteriors (B, T / 2, n_classes), confidence if any, next states."""
        past = state if self.tail.causal else tuple(self.tail.no_past(log_mel.shape[0]))
        x = ((log_mel - self.mean) * self.scale).unsqueeze(1)
        new_state = []
        for i, convolution in enumerate(self.convolutions):
            x = torch.cat([past[i], x], dim=2)
            new_state.append(x[:, :, -_CONTEXT:])
            x = functional.relu(convolution(x))
        features, hidden = self.tail.recur(x.transpose(1, 2).flatten(2), past[-1])
        outputs = shipped_outputs(self.tail.heads(features), self.weighting, self.temperature)
        return (*outputs, *new_state, hidden) if self.tail.causal else outputs


def _folded(block: CausalBlock) -> nn.Conv2d:
    conv, norm = block.conv, block.norm
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    folded = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)
    with torch.no_grad():
        folded.weight.copy_(conv.weight * gain[:, None, None, None])
        folded.bias.copy_(norm.bias - norm.running_mean * gain)
    return folded
