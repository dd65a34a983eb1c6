"""Cycles from the rise and fall of the breath sounds alone: the baseline that a network has to beat."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamsed.config import CycleDecoderConfig, require
from streamsed.errors import StateError
from streamsed.ownership import OneThread
from streamsed.segmentation.base import Boundary
from streamsed.segmentation.decoder import CycleDecoder

# Breathing is slow: envelope frames of about this duration do.
_STEP_SECONDS = 0.04
# Between two estimates of the period.
_ESTIMATE_SECONDS = 1.0
# In nats: an envelope that varies less is that of a steady noise.
_LEAST_DEVIATION = 0.05


@dataclass(frozen=True)
class EnvelopeConfig:
    """Settings of :class:`EnvelopeSegmenter`; times in seconds.

    The defaults were tuned for 32 bands of 50 to 2000 Hz and hops of 20 ms, on the train part of ICBHI-sc.

    Parameters
    ----------
    first_band, last_band : int
        Log-mel bands whose mean is the envelope, both included.
    rise_seconds : float
        The envelope's rise at a frame is its mean over so long after, less its mean over so long before.
    memory_seconds : float
        How much of the past the period and the deviation of the envelope are estimated from.
    shortest_period, longest_period : float
        Range of the periods looked for.
    regularity : float
        Autocorrelation at the period, in [-1, 1], below which breathing is irregular: no cycle is reported then other
        than those closed by force.
    sharpness : float
        Log odds of a boundary per standard deviation that the envelope rises by.
    decoder : CycleDecoderConfig
        Weighs the odds with the duration; its own idea of the period serves until there is an estimate.
    """

    first_band: int = 0
    last_band: int = 18
    rise_seconds: float = 0.5
    memory_seconds: float = 12.0
    shortest_period: float = 1.6
    longest_period: float = 6.0
    regularity: float = 0.0
    sharpness: float = 3.0
    decoder: CycleDecoderConfig = field(
        default_factory=lambda: CycleDecoderConfig(
            threshold=0.9, wait_seconds=0.12, min_seconds=0.6, period_seconds=2.25, spread=0.3
        )
    )

    def __post_init__(self) -> None:
        """Check every field."""
        require(
            0 <= self.first_band <= self.last_band, "first_band", f"in [0, {self.last_band}]", self.first_band
        )
        require(0.0 < self.rise_seconds <= 2.0, "rise_seconds", "seconds in (0, 2]", self.rise_seconds)
        within = 0.1 <= self.shortest_period < self.longest_period
        require(within, "shortest_period", f"in [0.1, {self.longest_period})", self.shortest_period)
        enough = self.longest_period < self.memory_seconds <= 120.0
        expected = f"seconds in ({self.longest_period}, 120]"
        require(enough, "memory_seconds", expected, self.memory_seconds)
        require(-1.0 <= self.regularity <= 1.0, "regularity", "in [-1, 1]", self.regularity)
        require(self.sharpness > 0.0, "sharpness", "above 0", self.sharpness)


class EnvelopeSegmenter:
    """Boundaries where the envelope rises, about a period after the last one.

    The envelope is the mean of some log-mel bands, every 40 ms. Its period is the lag of the highest autocorrelation
    over the last ``memory_seconds``, estimated anew every second. Its rise, in standard deviations of the same
    stretch, gives the odds of a boundary, which :class:`CycleDecoder` weighs with the duration of the cycle.

    Parameters
    ----------
    config : EnvelopeConfig
    n_mels : int
        Bands of the log-mel frames that it gets, which are natural logarithms of power.
    frame_seconds : float
        Duration of a log-mel frame, the hop.
    """

    _heard: int
    _begin: int
    _sum: float
    _summed: int
    _steps: int
    _envelope: deque[float]

    def __init__(self, config: EnvelopeConfig, n_mels: int, frame_seconds: float) -> None:
        require(frame_seconds > 0, "frame_seconds", "above 0", frame_seconds)
        require(config.last_band < n_mels, "last_band", f"below n_mels={n_mels}", config.last_band)
        self._config = config
        self._n_mels = n_mels
        self._stride = max(1, round(_STEP_SECONDS / frame_seconds))
        self._step_seconds = self._stride * frame_seconds
        self._rise = max(1, round(config.rise_seconds / self._step_seconds))
        self._memory = round(config.memory_seconds / self._step_seconds)
        self._estimate_every = max(1, round(_ESTIMATE_SECONDS / self._step_seconds))
        self._lags = (
            max(1, round(config.shortest_period / self._step_seconds)),
            round(config.longest_period / self._step_seconds),
        )
        self._decoder = CycleDecoder(config.decoder, self._step_seconds)
        self._one_thread = OneThread("EnvelopeSegmenter")
        self.reset()

    @property
    def latency_frames(self) -> int:
        """Log-mel frames after a boundary that have to be heard before it is reported."""
        return (self._rise + self._decoder.latency_frames) * self._stride

    @property
    def open_since(self) -> int:
        """Log-mel frame where the cycle that is open now began."""
        return self._begin + self._decoder.open_since * self._stride

    @property
    def regular(self) -> bool:
        """Whether breathing has a period at the moment; until there is an estimate, it is taken to have one."""
        return self._regular

    def process(self, log_mel: NDArray[np.floating[Any]]) -> list[Boundary]:
        """Take log-mel frames (T, n_mels) in and return the boundaries that they decided.

        Raises
        ------
        ConfigError
            Another shape, NaN or Inf.
        """
        with self._one_thread:
            self._check_open()
            values = np.asarray(log_mel)
            require(
                values.ndim == 2 and values.shape[1] == self._n_mels,
                "log_mel",
                f"(T, {self._n_mels})",
                values.shape,
            )
            require(bool(np.isfinite(values).all()), "log_mel", "finite values", "NaN or Inf")
            boundaries: list[Boundary] = []
            first, last = self._config.first_band, self._config.last_band
            # Summed as Python does: numpy may add in another order when there are more rows.
            for row in values[:, first : last + 1].astype(np.float64).tolist():
                self._heard += 1
                self._sum += sum(row) / len(row)
                self._summed += 1
                if self._summed == self._stride:
                    boundaries += self._step(self._sum / self._stride)
                    self._sum, self._summed = 0.0, 0
            return boundaries

    def gap(self, frames: int) -> list[Boundary]:
        """Account for ``frames`` lost log-mel frames: decide what is pending, begin anew after them."""
        self._check_open()
        require(frames >= 0, "frames", "0 or more", frames)
        if frames == 0:
            return []
        boundaries = self._placed(self._decoder.flush())
        position = self._heard + frames
        self.reset()
        self._heard = self._begin = position
        return boundaries

    def flush(self) -> list[Boundary]:
        """Decide what is pending; afterwards only :meth:`reset` is legal."""
        self._check_open()
        self._flushed = True
        return self._placed(self._decoder.flush())

    def reset(self) -> None:
        """Become equal to a new object."""
        self._decoder.reset()
        self._heard = 0
        self._begin = 0
        self._sum = 0.0
        self._summed = 0
        self._steps = 0
        self._envelope = deque(maxlen=self._memory)
        self._regular = True
        self._flushed = False

    def _step(self, level: float) -> list[Boundary]:
        self._envelope.append(level)
        self._steps += 1
        # Before there is as much of both sides, nothing rises.
        if self._steps < 2 * self._rise:
            return []
        if self._steps == 2 * self._rise:
            self._decoder.process(np.zeros(self._rise))
        if self._steps % self._estimate_every == 0:
            self._estimate()
        recent = list(self._envelope)
        after, before = recent[-self._rise :], recent[-2 * self._rise : -self._rise]
        rise = (sum(after) - sum(before)) / self._rise
        deviation = max(_LEAST_DEVIATION, float(np.std(recent)))
        odds = self._config.sharpness * rise / deviation
        posterior = 1.0 / (1.0 + math.exp(-min(max(odds, -50.0), 50.0)))
        return self._placed(self._decoder.process(np.array([posterior if self._regular else 0.0])))

    def _estimate(self) -> None:
        shortest, longest = self._lags
        if len(self._envelope) < 2 * shortest + 1:
            return
        values = np.array(self._envelope)
        values -= values.mean()
        power = float(values @ values)
        # A lag is told from its harmonics only where it fits in twice.
        lags = range(shortest, min(longest, len(values) // 2) + 1)
        correlation = np.array([float(values[lag:] @ values[:-lag]) for lag in lags]) / max(power, 1e-12)
        peaks = [
            i
            for i in range(len(correlation))
            if (i == 0 or correlation[i] >= correlation[i - 1])
            and (i == len(correlation) - 1 or correlation[i] > correlation[i + 1])
        ]
        best = max(peaks, key=lambda i: float(correlation[i]))
        varies = power > len(values) * _LEAST_DEVIATION**2
        self._regular = varies and float(correlation[best]) >= self._config.regularity
        self._decoder.expect(lags[best] * self._step_seconds if self._regular else None)

    def _placed(self, boundaries: list[Boundary]) -> list[Boundary]:
        return [Boundary(self._begin + b.frame * self._stride, b.confidence, b.forced) for b in boundaries]

    def _check_open(self) -> None:
        if self._flushed:
            raise StateError("EnvelopeSegmenter: expected reset() after flush()")
