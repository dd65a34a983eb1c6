"""A network of the transformers library, such as wav2vec 2.0, as an encoder of windows."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from streamsed.config import require
from streamsed.errors import ConfigError
from training.emotion.features.embeddings import TransformerEmbeddings
from training.encoders.base import Floats, Kind, WaveformInput, check_batch, fingerprint_of


@dataclass(frozen=True)
class SpeechSettings:
    """Which network, and windows of how many seconds.

    Parameters
    ----------
    source : str
        A local folder, or a hub id.
    offline : bool
        Take local files alone.
    device : str
        Where torch computes.
    window_seconds, hop_seconds : float
        Length of a window and distance of the next one.
    """

    source: str
    offline: bool = False
    device: str = "cpu"
    window_seconds: float = 0.96
    hop_seconds: float = 0.06

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("window_seconds", "hop_seconds"):
            require(0 < getattr(self, name) <= 3600, name, "seconds in (0, 3600]", getattr(self, name))


class SpeechEncoder:
    """Mean over time of the last layer, window by window; no tokeniser, no text.

    Parameters
    ----------
    settings : SpeechSettings

    Raises
    ------
    ConfigError
        If transformers or the network is not there, or a window is shorter than it can take.
    """

    kind: Kind = "audio"
    rate_hz: float | None = None

    def __init__(self, settings: SpeechSettings) -> None:
        self.name = Path(settings.source).name
        self._extractor = TransformerEmbeddings(
            self.name, settings.source, offline=settings.offline, device=settings.device, batch_size=16
        )
        self.features = self._extractor.dimensions
        rate, least = self._extractor.sample_rate, self._extractor.min_samples
        window, hop = (round(seconds * rate) for seconds in (settings.window_seconds, settings.hop_seconds))
        require(
            window >= least,
            "window_seconds",
            f"at least {least / rate:g} for {self.name}",
            settings.window_seconds,
        )
        self.input = WaveformInput(rate, window, max(1, hop))

    def fingerprint(self) -> str:
        """Return one line that differs whenever an embedding can."""
        facts = json.dumps(self._extractor.fingerprint(), sort_keys=True)
        digest = hashlib.sha256(facts.encode()).hexdigest()
        return fingerprint_of(self.name, f"transformers {digest[:16]}", self.input, None)

    def encode(self, batch: Floats) -> Floats:
        """Return embeddings (B, D) of a batch (B, window_samples)."""
        check_batch(batch, self.input)
        return self._extractor.extract_batch(list(batch))

    def to_onnx(self, path: Path) -> Path:
        """Refuse: a bundle holds encoders of log-mels and of pictures."""
        raise ConfigError(
            f"{path}: expected an encoder of log-mels or pictures, got {self.name}, which takes samples"
        )
