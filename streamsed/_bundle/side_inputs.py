"""What a bundle says of embeddings that its network takes beside the log-mel frames (docs/architecture.md)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from streamsed._bundle.file_entry import FileEntry
from streamsed.config import LogMelConfig, require

SideKind = Literal["image", "audio"]


@dataclass(frozen=True)
class ImageInput:
    """Pictures that an encoder takes: RGB, each channel (value / 255 - mean) / std, shape (B, 3, height, width)."""

    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("height", "width"):
            require(0 < getattr(self, name) <= 4096, name, "pixels in [1, 4096]", getattr(self, name))
        for name in ("mean", "std"):
            values = getattr(self, name)
            sane = len(values) == 3 and all(math.isfinite(value) for value in values)
            require(sane, name, "three finite numbers, for R, G and B", values)
        require(min(self.std) > 0, "std", "numbers > 0", self.std)


@dataclass(frozen=True)
class AudioInput:
    """Stretches of sound that an encoder takes: log-mel frames of its own front-end, (B, window_frames, n_mels)."""

    front_end: LogMelConfig
    window_frames: int
    hop_frames: int

    def __post_init__(self) -> None:
        """Check the values."""
        require(not self.front_end.center, "front_end.center", "false, as streams are left-aligned", True)
        require(self.window_frames > 0, "window_frames", "an integer > 0", self.window_frames)
        fits = 0 < self.hop_frames <= self.window_frames
        require(fits, "hop_frames", f"in [1, window_frames={self.window_frames}]", self.hop_frames)


@dataclass(frozen=True)
class SideInputSpec:
    """A side input without its encoder, as whoever exports one states it.

    Parameters
    ----------
    name : str
    kind : {"image", "audio"}
        What the encoder takes: pictures of a camera or video file, or the sound itself.
    features : int
        D, the size of an embedding.
    max_age_seconds : float
        An embedding that is older counts as absent.
    rate_hz : float or None
        Of "image": so many pictures a second are used at most; None uses all.
    image : ImageInput or None
        Of "image", and only of it.
    audio : AudioInput or None
        Of "audio", and only of it.
    """

    name: str
    kind: SideKind
    features: int
    max_age_seconds: float
    rate_hz: float | None = None
    image: ImageInput | None = None
    audio: AudioInput | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        plain = re.fullmatch(r"\w+", self.name) is not None and self.name not in ("log_mel", "audio")
        require(plain, "name", "letters, digits and _, not 'audio' or 'log_mel'", self.name)
        require(self.features > 0, "features", "> 0", self.features)
        age = self.max_age_seconds
        require(0 < age < math.inf, "max_age_seconds", "finite seconds above 0", age)
        for kind in ("image", "audio"):
            given, wanted = getattr(self, kind) is not None, self.kind == kind
            expected = f"{'an object' if wanted else 'null'} for kind {self.kind!r}"
            require(given == wanted, kind, expected, getattr(self, kind))
        rate = self.rate_hz
        sane = rate is None or (self.kind == "image" and 0 < rate <= 1000)
        require(sane, "rate_hz", "in (0, 1000] for images, or null", rate)


@dataclass(frozen=True, kw_only=True)
class SideInput(SideInputSpec):
    """A side input of a bundle: :class:`SideInputSpec` and the ONNX graph (B, ...) -> (B, D) that makes embeddings."""

    encoder: FileEntry
