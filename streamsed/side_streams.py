"""The side inputs of one stream: log-mel frames in, frames with embeddings out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from streamsed.bundle import Manifest
from streamsed.config import LogMelConfig
from streamsed.frontend import OnlineLogMel
from streamsed.side_encoders import AudioEncoder, ImageEncoder, SideEncoder
from streamsed.side_inputs import (
    TOLERANCE_SECONDS,
    OnlineAlignment,
    extended_frames,
    frame_end_seconds,
)
from streamsed.sources.resample import Resampler

Floats = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]
PresenceCallback = Callable[[Times, Floats], object]


def side_latency_seconds(manifest: Manifest) -> float:
    """Return for how long frames may wait for embeddings of the sound: the delay of resampling for them."""
    rate = manifest.sample_rate
    sounds = [item.audio.front_end.sample_rate for item in manifest.side_inputs if item.audio is not None]
    return max((Resampler(rate, other).latency_samples / rate for other in sounds), default=0.0)


class AudioEmbeddings:
    """Embeddings of an endless sound: resampler, front-end and windows of one encoder.

    Each window is encoded on its own, so that results do not depend on chunks, bit by bit.

    Parameters
    ----------
    encoder : AudioEncoder
    sample_rate : int
        Of the samples, in Hz.
    """

    def __init__(self, encoder: AudioEncoder, sample_rate: int) -> None:
        self._encoder = encoder
        self._config = encoder.log_mel.config
        self._resampler = Resampler(sample_rate, self._config.sample_rate)
        self._log_mel = OnlineLogMel(encoder.log_mel)
        self.resume(0.0)

    def resume(self, origin_seconds: float) -> None:
        """Begin a piece of sound whose first sample lies at this time; what was before is forgotten."""
        self._origin = origin_seconds
        self._resampler.reset()
        self._log_mel.reset()
        self._taken = 0  # samples of the front-end
        self._frames = np.empty((0, self._config.n_mels), np.float32)
        self._first = 0  # number, in this piece, of the frame at the head

    @property
    def known_seconds(self) -> float:
        """All embeddings known up to this time were given."""
        return self._origin + self._taken / self._config.sample_rate

    def process(self, samples: Floats) -> tuple[Floats, Times]:
        """Take samples, shape (n,); return new embeddings, shape (N, D), and when each is known, shape (N,)."""
        return self._embed(self._resampler.process(samples))

    def end(self) -> tuple[Floats, Times]:
        """Return what is left of the piece; :meth:`resume` begins another one."""
        return self._embed(self._resampler.flush())

    def _embed(self, samples: Floats) -> tuple[Floats, Times]:
        self._taken += len(samples)
        frames = self._log_mel.process(samples)
        if len(frames):
            self._frames = np.concatenate([self._frames, frames])
        rows, times = [], []
        window, hop, config = self._encoder.window_frames, self._encoder.hop_frames, self._config
        while len(self._frames) >= window:
            rows.append(self._encoder(self._frames[:window]))
            last = frame_end_seconds(
                self._first + window - 1, 1, config.hop_length, config.window_length, config.sample_rate
            )
            times.append(self._origin + float(last[0]))
            self._frames = self._frames[hop:]
            self._first += hop
        features = np.array(rows, np.float32).reshape(-1, self._encoder.features)
        return features, np.array(times, np.float64)


class SideStreams:
    """Extends the log-mel frames of one stream by the embeddings that are known at their times.

    Frames wait for embeddings of the sound that are still on their way, for the delay of a resampler at most; for
    pictures they do not wait: one that was not pushed in time is missing.

    Parameters
    ----------
    encoders : sequence of ImageEncoder or AudioEncoder
        In the order of the columns.
    front_end : LogMelConfig
        Of the log-mel frames.

    Attributes
    ----------
    on_presence : callable or None
        Called with the times of new frames, in seconds, and whether there was a picture, both of shape (T,).
    """

    def __init__(self, encoders: Sequence[SideEncoder], front_end: LogMelConfig) -> None:
        self._encoders = tuple(encoders)
        self._front_end = front_end
        self._alignments = [
            OnlineAlignment(encoder.features, encoder.spec.max_age_seconds) for encoder in encoders
        ]
        self._sounds = [
            AudioEmbeddings(encoder, front_end.sample_rate) if isinstance(encoder, AudioEncoder) else None
            for encoder in encoders
        ]
        self._picture = next(
            (number for number, encoder in enumerate(encoders) if isinstance(encoder, ImageEncoder)), None
        )
        self.on_presence: PresenceCallback | None = None
        self.reset()

    def reset(self) -> None:
        """Become equal to a new object."""
        for alignment in self._alignments:
            alignment.reset()
        self.resume(0)

    def resume(self, frame: int) -> None:
        """Go on with log-mel frame number ``frame``, whose first sample is the next one."""
        origin = frame * self._front_end.hop_length / self._front_end.sample_rate
        for sound in self._sounds:
            if sound is not None:
                sound.resume(origin)
        self._held = np.empty((0, self._front_end.n_mels), np.float32)
        self._next = frame

    def push_picture(self, features: Floats, time_seconds: float) -> None:
        """Take the embedding, shape (D,), of the picture of that time.

        Raises
        ------
        ConfigError
            If it is of another shape, or its time is before that of an earlier one.
        StateError
            If thousands of pictures are ahead of the sound.
        """
        assert self._picture is not None  # the stream saw to it
        self._alignments[self._picture].push(np.asarray(features)[np.newaxis], [time_seconds])

    def process(self, samples: Floats, log_mel: Floats) -> Floats:
        """Take samples, shape (n,), and the frames that they complete, (T, n_mels); return frames that are ready."""
        for sound, alignment in zip(self._sounds, self._alignments, strict=True):
            if sound is not None:
                alignment.push(*sound.process(samples))
        return self._ready(log_mel, is_end=False)

    def end(self) -> Floats:
        """Return the frames that wait still, at the end or before a hole."""
        for sound, alignment in zip(self._sounds, self._alignments, strict=True):
            if sound is not None:
                alignment.push(*sound.end())
        return self._ready(self._held[:0], is_end=True)

    def _ready(self, log_mel: Floats, *, is_end: bool) -> Floats:
        frames = np.concatenate([self._held, log_mel]) if len(self._held) else log_mel
        config = self._front_end
        times = frame_end_seconds(
            self._next, len(frames), config.hop_length, config.window_length, config.sample_rate
        )
        known = min((sound.known_seconds for sound in self._sounds if sound is not None), default=np.inf)
        count = (
            len(frames) if is_end else int(np.searchsorted(times, known + TOLERANCE_SECONDS, side="right"))
        )
        # A copy, as the caller may use the memory of his frames again.
        self._held = frames[count:].copy()
        self._next += count
        sides = [alignment.process(times[:count]) for alignment in self._alignments]
        if self.on_presence is not None and self._picture is not None and count:
            self.on_presence(times[:count], sides[self._picture][1])
        return extended_frames(frames[:count], sides)
