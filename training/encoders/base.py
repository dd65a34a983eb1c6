"""What an encoder is: pieces of sound or pictures in, one embedding each out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from streamsed.config import LogMelConfig, require

Floats = npt.NDArray[np.float32]
Kind = Literal["audio", "image"]


@dataclass(frozen=True)
class LogMelInput:
    """Windows of log-mel frames.

    Parameters
    ----------
    front_end : LogMelConfig
    window_frames, hop_frames : int
        Length of a window and distance of the next one.
    """

    front_end: LogMelConfig
    window_frames: int
    hop_frames: int

    def __post_init__(self) -> None:
        """Check the numbers."""
        require(self.window_frames >= 1, "window_frames", "frames >= 1", self.window_frames)
        require(self.hop_frames >= 1, "hop_frames", "frames >= 1", self.hop_frames)

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return self.front_end.sample_rate

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of one window: (window_frames, n_mels)."""
        return (self.window_frames, self.front_end.n_mels)


@dataclass(frozen=True)
class WaveformInput:
    """Windows of samples, for networks with a front-end of their own.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    window_samples, hop_samples : int
        Length of a window and distance of the next one.
    """

    sample_rate: int
    window_samples: int
    hop_samples: int

    def __post_init__(self) -> None:
        """Check the numbers."""
        require(1 <= self.sample_rate <= 768000, "sample_rate", "Hz in [1, 768000]", self.sample_rate)
        require(self.window_samples >= 1, "window_samples", "samples >= 1", self.window_samples)
        require(self.hop_samples >= 1, "hop_samples", "samples >= 1", self.hop_samples)

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of one window: (window_samples,)."""
        return (self.window_samples,)


@dataclass(frozen=True)
class ImageInput:
    """Pictures (3, height, width): ``(RGB / 255 - mean) / std``, the whole picture stretched to this size.

    Parameters
    ----------
    height, width : int
    mean, std : tuple of three floats
        Of red, green and blue, on a scale of 0 to 1.
    rate_hz : float
        About how many pictures a second are looked at.
    """

    height: int
    width: int
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    rate_hz: float = 15.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("height", "width"):
            require(1 <= getattr(self, name) <= 4096, name, "pixels in [1, 4096]", getattr(self, name))
        for name in ("mean", "std"):
            values = tuple(float(value) for value in getattr(self, name))
            usable = len(values) == 3 and all(np.isfinite(values)) and (name == "mean" or min(values) > 0)
            require(usable, name, "three finite numbers" + (" > 0" if name == "std" else ""), values)
            object.__setattr__(self, name, values)
        require(0 < self.rate_hz <= 1000, "rate_hz", "pictures a second in (0, 1000]", self.rate_hz)

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of one picture: (3, height, width)."""
        return (3, self.height, self.width)


AudioInput = LogMelInput | WaveformInput
EncoderInput = AudioInput | ImageInput


class Encoder(Protocol):
    """A network that makes one embedding of a window of sound or of a picture.

    Attributes
    ----------
    name : str
        What it is called in messages.
    kind : {"audio", "image"}
    features : int
        D, the size of an embedding.
    input : LogMelInput, WaveformInput or ImageInput
        What one item of a batch is; ``input.item_shape`` is its shape.
    """

    name: str
    kind: Kind
    features: int
    input: EncoderInput

    def fingerprint(self) -> str:
        """Return one line that differs whenever an embedding can: network, weights (hash or seed) and input."""
        ...

    def encode(self, batch: Floats) -> Floats:
        """Return embeddings (B, D) of a batch (B, *input.item_shape).

        Raises
        ------
        ConfigError
            If the batch has another shape or type.
        """
        ...

    def to_onnx(self, path: Path) -> Path:
        """Write the network as an ONNX graph with a free batch size, input "batch" and output "embeddings".

        Raises
        ------
        ConfigError
            If this encoder cannot be written so.
        """
        ...


def fingerprint_of(name: str, weights: str, item: EncoderInput) -> str:
    """Return the fingerprint of an encoder: readable, the input's settings as a hash."""
    facts = json.dumps(dataclasses.asdict(item), sort_keys=True)
    return f"{name}, {weights}, input {hashlib.sha256(facts.encode()).hexdigest()[:12]}"


def check_batch(batch: npt.NDArray[Any], item: EncoderInput) -> None:
    """Raise ConfigError unless the batch is float32 with shape (B, *item.item_shape)."""
    fits = batch.ndim == 1 + len(item.item_shape) and batch.shape[1:] == item.item_shape
    expected = f"float32 with shape (B, {', '.join(map(str, item.item_shape))})"
    require(fits and batch.dtype == np.float32, "batch", expected, f"{batch.dtype} {batch.shape}")
