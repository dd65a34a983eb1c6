"""The CRNN of the DCASE 2023 task 4 baseline with an optional SOD head, as published and as a causal twin.

Chen and Yin, "Ensemble confidence calibration for sound event detection in open-environment", section II-B.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from streamsed.config import require
from training.nets.blocks import BlockConfig, EncoderConfig, FrameHead
from training.nets.frame_net import FrameNet, HeadOutputs


@dataclass(frozen=True)
class BaselineCrnnConfig:
    """Shape of a :class:`BaselineCrnn`; the defaults are the published one.

    Parameters
    ----------
    n_mels : int
        Log-mel bands; divisible by the product of ``pool_bands``.
    n_classes : int
        K, the classes that are detected.
    filters, pool_frames, pool_bands : tuple of int
        Of each convolutional block.
    activation : {"gate", "relu"}
    hidden, layers : int
        Of the recurrence.
    dropout : float
        Of blocks and heads.
    head_dropout : float, optional
        Of heads, where it is another.
    sod_outputs : int
        Outputs of the SOD head: 4 with the open-world uncertainty (P + 1), 3 without, 0 for no such head.
    sod_hidden : int
        Units of a hidden layer in the SOD head; 0: linear, as published.
    clip_posteriors : bool
        Attention pooling over time.
    causal : bool
        The streaming twin: past only, forward recurrence, explicit state, same widths.
    normalisation : {"fixed", "clip_min_max"}
        See :class:`training.nets.blocks.EncoderConfig`.
    """

    n_mels: int = 128
    n_classes: int = 9
    filters: tuple[int, ...] = (16, 32, 64, 128, 128, 128, 128)
    pool_frames: tuple[int, ...] = (2, 2, 1, 1, 1, 1, 1)
    pool_bands: tuple[int, ...] = (2, 2, 2, 2, 2, 2, 2)
    activation: Literal["gate", "relu"] = "gate"
    hidden: int = 128
    layers: int = 2
    dropout: float = 0.5
    head_dropout: float | None = None
    sod_outputs: int = 4
    sod_hidden: int = 0
    clip_posteriors: bool = False
    causal: bool = False
    normalisation: Literal["fixed", "clip_min_max"] = "fixed"

    def __post_init__(self) -> None:
        """Turn sequences into tuples and check the shape."""
        for name in ("filters", "pool_frames", "pool_bands"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("pool_frames", "pool_bands"):
            usable = len(getattr(self, name)) == len(self.filters)
            require(usable, name, "one factor for each of filters", getattr(self, name))
        require(self.n_classes >= 1, "n_classes", "at least 1", self.n_classes)
        require(self.sod_outputs in (0, 3, 4), "sod_outputs", "0, 3 or 4", self.sod_outputs)
        require(self.sod_hidden >= 0, "sod_hidden", "0 or more", self.sod_hidden)
        possible = self.head_dropout is None or 0 <= self.head_dropout < 1
        require(possible, "head_dropout", "in [0, 1)", self.head_dropout)
        # A stream has no clip to pool over; its state would have to hold all that was.
        possible = not (self.causal and self.clip_posteriors)
        require(possible, "clip_posteriors", "false with causal", self.clip_posteriors)
        _ = self.encoder

    @property
    def encoder(self) -> EncoderConfig:
        """Convolutions and recurrence."""
        blocks = tuple(
            BlockConfig(filters, (frames, bands), "avg", self.activation, self.dropout)
            for filters, frames, bands in zip(self.filters, self.pool_frames, self.pool_bands, strict=True)
        )
        return EncoderConfig(self.n_mels, blocks, self.hidden, self.layers, self.causal, self.normalisation)


class AttentionPooling(nn.Module):
    """Clip posteriors as the mean of the frames', weighted by a softmax over the classes of each frame."""

    def __init__(self, features: int, n_classes: int, dropout: float) -> None:
        super().__init__()
        self.head = FrameHead(features, n_classes, dropout)

    def forward(self, features: Tensor, posteriors: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map features (B, T', C), posteriors (B, T', K) and frames that count (B, T') to clip posteriors (B, K)."""
        # The baseline's bound: a class that no frame attends to has a mean all the same.
        weights = torch.softmax(self.head(features), dim=-1).clamp_min(1e-7)
        if valid is not None:
            weights = weights * valid[..., None]
        return (posteriors * weights).sum(dim=1) / weights.sum(dim=1)


class BaselineCrnn(FrameNet):
    """Seven gated convolutional blocks, two recurrent layers, SED head, SOD head, attention pooling."""

    def __init__(self, config: BaselineCrnnConfig) -> None:
        super().__init__(config.encoder)
        self.config = config
        features = self.encoder.outputs
        dropout = config.dropout if config.head_dropout is None else config.head_dropout
        self.sed_head = FrameHead(features, config.n_classes, dropout)
        self.sod_head = None
        if config.sod_outputs:
            self.sod_head = FrameHead(features, config.sod_outputs, dropout, config.sod_hidden)
        self.pooling = None
        if config.clip_posteriors:
            self.pooling = AttentionPooling(features, config.n_classes, dropout)

    def heads(self, features: Tensor) -> HeadOutputs:
        """Map features (B, T', C) to the outputs of all heads."""
        logits = self.sed_head(features)
        return HeadOutputs(
            logits,
            None if self.sod_head is None else self.sod_head(features),
            None if self.pooling is None else self.pooling(features, torch.sigmoid(logits)),
        )
