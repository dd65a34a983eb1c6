"""A network of the transformers library as an encoder of windows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from streamsed.config import require
from streamsed.errors import ConfigError
from training.encoders.base import Floats, Kind, WaveformInput, check_batch, fingerprint_of
from training.encoders.speech_model import SpeechModel


@dataclass(frozen=True)
class SpeechSettings:
    """Which network, and windows of how many seconds.

    Parameters
    ----------
    source : str
        A folder or a hub id, see :class:`SpeechModel`.
    revision : str or None
        Of a hub id.
    window_seconds, hop_seconds : float
        Length of a window and distance of the next one.
    """

    source: str
    revision: str | None = None
    window_seconds: float = 0.96
    hop_seconds: float = 0.06

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("window_seconds", "hop_seconds"):
            require(0 < getattr(self, name) <= 3600, name, "seconds in (0, 3600]", getattr(self, name))


class SpeechEncoder:
    """Mean over time of the last layer, window by window.

    Parameters
    ----------
    settings : SpeechSettings

    Raises
    ------
    ConfigError
        If a window is shorter than the network can take.
    FormatError
        As :class:`SpeechModel`.
    """

    kind: Kind = "audio"

    def __init__(self, settings: SpeechSettings) -> None:
        self._model = SpeechModel(settings.source, revision=settings.revision)
        self.name = self._model.name
        self.features = self._model.dimensions
        rate = self._model.sample_rate
        self.input = WaveformInput(
            rate, round(settings.window_seconds * rate), max(1, round(settings.hop_seconds * rate))
        )
        least = self._model.least_samples
        expected = f"at least {least / rate:g} s for {self.name}"
        require(self.input.window_samples >= least, "window_seconds", expected, settings.window_seconds)

    def fingerprint(self) -> str:
        """Return one line that differs whenever an embedding can."""
        return fingerprint_of("speech", self._model.fingerprint(), self.input)

    def encode(self, batch: Floats) -> Floats:
        """Return embeddings (B, D) of a batch (B, window_samples)."""
        check_batch(batch, self.input)
        return self._model.means(list(batch))

    def to_onnx(self, path: Path) -> Path:
        """Refuse: a bundle holds encoders of log-mels and of pictures."""
        raise ConfigError(
            f"{path}: expected an encoder of log-mels or pictures, got {self.name}, which takes samples"
        )
