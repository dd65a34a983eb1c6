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

from streamsed.bundle import AudioInput, ImageInput, SideInputSpec
from streamsed.config import require
from streamsed.errors import ConfigError

Floats = npt.NDArray[np.float32]
Kind = Literal["audio", "image"]


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


EncoderInput = AudioInput | WaveformInput | ImageInput


class Encoder(Protocol):
    """A network that makes one embedding of a window of sound or of a picture.

    Attributes
    ----------
    name : str
        What it is called in messages.
    kind : {"audio", "image"}
    features : int
        D, the size of an embedding.
    input : AudioInput, WaveformInput or ImageInput
        What one item of a batch is, see :func:`item_shape`.
    rate_hz : float or None
        Of pictures: so many a second are looked at, at most.
    """

    name: str
    kind: Kind
    features: int
    input: EncoderInput
    rate_hz: float | None

    def fingerprint(self) -> str:
        """Return one line that differs whenever an embedding can: network, weights (hash or seed) and input."""
        ...

    def encode(self, batch: Floats) -> Floats:
        """Return embeddings (B, D) of a batch (B, *item_shape(input)).

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


def item_shape(item: EncoderInput) -> tuple[int, ...]:
    """Return the shape of one item: (window_frames, n_mels), (window_samples,) or (3, height, width)."""
    if isinstance(item, AudioInput):
        return (item.window_frames, item.front_end.n_mels)
    if isinstance(item, WaveformInput):
        return (item.window_samples,)
    return (3, item.height, item.width)


def side_input_spec(encoder: Encoder, name: str, max_age_seconds: float) -> SideInputSpec:
    """Return what a bundle has to say of a side input whose embeddings this encoder makes.

    Raises
    ------
    ConfigError
        If the encoder takes samples: bundles hold encoders of log-mels and pictures.
    """
    if isinstance(encoder.input, WaveformInput):
        raise ConfigError(
            f"{name}: expected an encoder of log-mels or pictures, got {encoder.name} of samples"
        )
    return SideInputSpec(
        name,
        encoder.kind,
        encoder.features,
        max_age_seconds,
        encoder.rate_hz,
        image=encoder.input if isinstance(encoder.input, ImageInput) else None,
        audio=encoder.input if isinstance(encoder.input, AudioInput) else None,
    )


def check_rate(item: EncoderInput, rate_hz: float | None) -> None:
    """Raise ConfigError unless there is a rate of pictures for an encoder of pictures alone."""
    if isinstance(item, ImageInput):
        usable = rate_hz is not None and 0 < rate_hz <= 1000
        require(usable, "rate_hz", "pictures a second in (0, 1000]", rate_hz)
    else:
        require(rate_hz is None, "rate_hz", "none for an encoder of sound", rate_hz)


def fingerprint_of(name: str, weights: str, item: EncoderInput, rate_hz: float | None) -> str:
    """Return the fingerprint of an encoder: readable, the input's settings as a hash."""
    facts = json.dumps([dataclasses.asdict(item), rate_hz], sort_keys=True)
    return f"{name}, {weights}, input {hashlib.sha256(facts.encode()).hexdigest()[:12]}"


def check_batch(batch: npt.NDArray[Any], item: EncoderInput) -> None:
    """Raise ConfigError unless the batch is float32 with shape (B, *item_shape(item))."""
    shape = item_shape(item)
    fits = batch.ndim == 1 + len(shape) and batch.shape[1:] == shape
    expected = f"float32 with shape (B, {', '.join(map(str, shape))})"
    require(fits and batch.dtype == np.float32, "batch", expected, f"{batch.dtype} {batch.shape}")
