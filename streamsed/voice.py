"""Contours of the voice, frame by frame: log-mel bands, fundamental frequency, periodicity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamsed.config import FunctionalsConfig
from streamsed.frontend import LogMel

__all__ = ["ContourExtractor", "VoiceContours"]

Floats = npt.NDArray[np.float32]

# Of a windowed frame, about -110 dB of full scale: what is left of a constant is rounding, which may seem periodic.
_LEAST_ENERGY = 1e-9


@dataclass(frozen=True)
class VoiceContours:
    """What is known of each frame.

    Attributes
    ----------
    log_mel : ndarray, shape (T, n_mels), float32
        Natural logarithm of the power in each band.
    pitch : ndarray, shape (T,), float32
        Most likely fundamental frequency in Hz, whether the frame is voiced or not.
    periodicity : ndarray, shape (T,), float32
        In [0, 1]: height of the normalised autocorrelation at that period; r of Boersma (1993), eq. 9.
    """

    log_mel: Floats
    pitch: Floats
    periodicity: Floats

    def __len__(self) -> int:
        return len(self.pitch)

    def joined(self, later: VoiceContours) -> VoiceContours:
        """Return these frames with ``later`` ones after them."""
        return VoiceContours(
            np.concatenate([self.log_mel, later.log_mel]),
            np.concatenate([self.pitch, later.pitch]),
            np.concatenate([self.periodicity, later.periodicity]),
        )

    def until(self, frame: int) -> VoiceContours:
        """Return the frames before ``frame``."""
        return VoiceContours(self.log_mel[:frame], self.pitch[:frame], self.periodicity[:frame])

    def last(self, frames: int) -> VoiceContours:
        """Return the last ``frames`` frames, or all if there are fewer."""
        begin = max(0, len(self) - frames)
        return VoiceContours(self.log_mel[begin:], self.pitch[begin:], self.periodicity[begin:])


class ContourExtractor:
    """Compute contours; const, so that threads may share it.

    A frame depends on ``frame_length`` samples from ``t * hop_length`` on and on nothing else: frames of a signal that
    is given piece by piece, each piece with the samples that its first frame shares with the one before, are those of
    the whole.

    Parameters
    ----------
    config : FunctionalsConfig

    Attributes
    ----------
    frame_length, hop_length : int
        In samples.

    Notes
    -----
    The pitch is that of P. Boersma, "Accurate short-term analysis of the fundamental frequency and the
    harmonics-to-noise ratio of a sampled sound", Proc. Inst. Phonetic Sciences 17 (1993): the autocorrelation of the
    windowed frame over that of the window (eq. 9), of whose maxima the one with the largest height less the octave
    cost wins (eq. 24). There is no search for the best path: frames are to be independent.
    """

    def __init__(self, config: FunctionalsConfig) -> None:
        self.config = config
        front_end = config.front_end
        rate = front_end.sample_rate
        self._log_mel = LogMel(front_end)
        self.hop_length = front_end.hop_length
        self.frame_length = max(round(config.pitch_seconds * rate), front_end.window_length)
        self._margin = (self.frame_length - front_end.window_length) // 2
        self._shortest = int(rate / config.pitch_max)
        self._longest = int(np.ceil(rate / config.pitch_min))
        self._n_fft = 1 << int(np.ceil(np.log2(self.frame_length + self._longest + 2)))
        length = self.frame_length
        self._window = (0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(length) + 0.5) / length)).astype(np.float32)
        window_correlation = self._correlation(self._window[np.newaxis])[0]
        self._gain = window_correlation[0] / window_correlation
        # The sound's autocorrelation falls as its period grows; without a cost, twice the period would often win.
        self._octave_cost = np.float32(0.01)
        lags = np.arange(self._shortest, self._longest + 1)
        self._cost = (self._octave_cost * np.log2(lags * config.pitch_min / rate)).astype(np.float32)

    def _correlation(self, frames: Floats) -> Floats:
        spectrum = np.fft.rfft(frames, self._n_fft)
        power = spectrum.real**2 + spectrum.imag**2
        correlation = np.fft.irfft(power, self._n_fft)[:, : self._longest + 2]
        return np.asarray(correlation, np.float32)

    def frame_count(self, n_samples: int) -> int:
        """Return the number of frames that ``n_samples`` give."""
        return max(0, 1 + (n_samples - self.frame_length) // self.hop_length)

    def __call__(self, samples: Floats) -> VoiceContours:
        """Compute the contours of ``samples``, shape (n,); T = 1 + (n - frame_length) // hop_length, at least 0."""
        count = self.frame_count(len(samples))
        if count == 0:
            bands = self.config.front_end.n_mels
            return VoiceContours(
                np.empty((0, bands), np.float32), np.empty(0, np.float32), np.empty(0, np.float32)
            )
        log_mel = self._log_mel(samples[self._margin :])[:count]
        views = np.lib.stride_tricks.sliding_window_view(samples, self.frame_length)
        frames = views[:: self.hop_length][:count]
        pitch, periodicity = self._pitch(frames)
        return VoiceContours(log_mel, pitch, periodicity)

    def _pitch(self, frames: Floats) -> tuple[Floats, Floats]:
        centred = (frames - frames.mean(axis=1, keepdims=True)) * self._window
        correlation = self._correlation(centred)
        energy = np.maximum(correlation[:, :1], _LEAST_ENERGY)
        correlation = correlation / energy * self._gain
        first, last = self._shortest, self._longest + 1
        middle = correlation[:, first:last]
        before, after = correlation[:, first - 1 : last - 1], correlation[:, first + 1 : last + 1]
        is_peak = (middle >= before) & (middle > after)
        # The vertex of the parabola through each maximum and its neighbours: between samples, high voices have theirs.
        bend = np.where(is_peak, before - 2 * middle + after, -1)
        shifts = 0.5 * (before - after) / bend
        heights = np.where(is_peak, middle - 0.25 * (before - after) * shifts, -np.inf)
        best = (heights - self._cost).argmax(axis=1)
        rows = np.arange(len(frames))
        found = is_peak[rows, best]
        height = np.where(found, heights[rows, best], 0.0)
        rate = self.config.front_end.sample_rate
        pitch = rate / (first + best + np.where(found, shifts[rows, best], 0.0))
        return pitch.astype(np.float32), np.clip(height, 0.0, 1.0).astype(np.float32)
