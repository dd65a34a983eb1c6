"""The CRNN of Boes and Van hamme, "Audiovisual transfer learning for audio tagging and sound event detection".

Sections 2.1 and 3: log-mels, and embeddings of sound and picture from networks that were trained for other things, in
any combination; as published and as a causal twin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from streamsed.config import require
from training.nets.baseline_crnn import BaselineCrnn, BaselineCrnnConfig
from training.nets.blocks import EncoderConfig


@dataclass(frozen=True)
class SideInput:
    """What a network gets beside the log-mels.

    Parameters
    ----------
    name : str
    features : int
        D, of an embedding as its encoder gives it.
    embedding : int
        What it is projected to.
    """

    name: str
    features: int
    embedding: int

    def __post_init__(self) -> None:
        """Check both widths."""
        for name in ("features", "embedding"):
            require(getattr(self, name) >= 1, f"{self.name}.{name}", "at least 1", getattr(self, name))


@dataclass(frozen=True)
class FusionCrnnConfig(BaselineCrnnConfig):
    """Shape of a :class:`FusionCrnn`: that of a ``BaselineCrnn`` with the published defaults, and its inputs.

    Parameters
    ----------
    spectral : bool
        Whether log-mels are among the inputs; without them there are no convolutions, and ``pool_frames`` still says
        how many frames of the front-end there are per posterior.
    sides : tuple of SideInput
        The other inputs, in the order in which they lie in extended frames.
    """

    n_classes: int = 10
    activation: Literal["gate", "relu"] = "relu"
    dropout: float = 0.33
    head_dropout: float | None = 0.0
    sod_outputs: int = 0
    spectral: bool = True
    sides: tuple[SideInput, ...] = ()

    def __post_init__(self) -> None:
        """Check that there is an input, and the rest."""
        object.__setattr__(self, "sides", tuple(self.sides))
        names = [side.name for side in self.sides]
        require(len(set(names)) == len(names), "sides", "different names", names)
        require(self.spectral or bool(names), "sides", "at least one without spectral features", names)
        super().__post_init__()

    @property
    def encoder(self) -> EncoderConfig:
        """Convolutions and recurrence."""
        beside = sum(side.embedding for side in self.sides)
        return replace(super().encoder, beside=beside, spectral=self.spectral)

    @property
    def frame_size(self) -> int:
        """Values of an extended frame: log-mels, and the embedding of each side input and whether there is one."""
        return self.n_mels + sum(side.features + 1 for side in self.sides)


class SideProjection(nn.Module):
    """Linear - ReLU - dropout on an embedding; zeros where there is none."""

    def __init__(self, config: SideInput, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(config.features, config.embedding), nn.ReLU(), nn.Dropout(dropout)
        )

    def forward(self, features: Tensor, present: Tensor) -> Tensor:
        """Map (B, T', features) and present (B, T'), 0 or 1, to (B, T', embedding)."""
        return self.layers(features) * present.unsqueeze(2)


class FusionCrnn(BaselineCrnn):
    """Convolutions of log-mels and projected embeddings, concatenated before the recurrence."""

    def __init__(self, config: FusionCrnnConfig) -> None:
        super().__init__(config)
        self.config: FusionCrnnConfig = config
        self.projections = nn.ModuleList(SideProjection(side, config.dropout) for side in config.sides)

    def encode(self, frames: Tensor, *state: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Map extended frames (B, T, frame_size) and states to features (B, T', C) and the next states.

        Of the frames of a posterior, the last one says what else was known by then.
        """
        log_mel, *beside = torch.split(frames, self._widths(), dim=2)
        stride = self.time_stride
        known = [item[:, stride - 1 :: stride] for item in beside]
        sides = [
            (features, present[:, :, 0]) for features, present in zip(known[::2], known[1::2], strict=True)
        ]
        return self.fuse(log_mel, sides, *state)

    def fuse(
        self, log_mel: Tensor, sides: Sequence[tuple[Tensor, Tensor]], *state: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Map each input at its own rate to features and the next states.

        Parameters
        ----------
        log_mel : Tensor, shape (B, T, n_mels)
        sides : sequence of (features, present)
            (B, T', D) and (B, T'), in the order of ``config.sides``.
        state : Tensor

        Returns
        -------
        Tensor, shape (B, T', C)
        list of Tensor
        """
        if not self.projections:
            return self.encoder(log_mel, *state)
        projected = [
            projection(features, present)
            for projection, (features, present) in zip(self.projections, sides, strict=True)
        ]
        return self.encoder(log_mel, *state, beside=torch.cat(projected, dim=2))

    def join(self, log_mel: Tensor, sides: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Return the extended frames (B, T, frame_size) of what :meth:`fuse` takes, T a multiple of ``time_stride``."""
        columns = [item for features, present in sides for item in (features, present.unsqueeze(2))]
        return torch.cat(
            [log_mel, *(item.repeat_interleave(self.time_stride, dim=1) for item in columns)], dim=2
        )

    def _widths(self) -> list[int]:
        return [self.config.n_mels, *(width for side in self.config.sides for width in (side.features, 1))]
