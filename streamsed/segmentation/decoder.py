"""Boundary posteriors and the usual duration of a cycle become boundaries."""

from __future__ import annotations

import math
import statistics
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamsed.config import CycleDecoderConfig, require
from streamsed.errors import StateError
from streamsed.ownership import OneThread
from streamsed.segmentation.base import Boundary

# Posteriors are kept this far from 0 and 1, where their odds end.
_EDGE = 1e-4


class CycleDecoder:
    """Boundaries where the odds of the posterior times those of the duration are above those of the threshold.

    Evidence of frame t, d seconds after the last boundary, is

        logit(p_t) - logit(threshold) + prior_weight · (log h(d) - log h(period)),

    where h is the hazard of a log-normal duration around the period of the moment: how likely a cycle that has lasted
    so long is to end now. A boundary is a frame whose evidence is above 0 and above that of all earlier ones of the
    cycle, and at least that of the ``wait_seconds`` after.

    Parameters
    ----------
    config : CycleDecoderConfig
    frame_seconds : float
        Duration of a posterior frame.
    """

    _durations: deque[float]
    _expected: float | None
    _best: tuple[float, int, float] | None

    def __init__(self, config: CycleDecoderConfig, frame_seconds: float) -> None:
        require(frame_seconds > 0, "frame_seconds", "above 0", frame_seconds)
        self._config = config
        self._frame_seconds = frame_seconds
        self._wait = round(config.wait_seconds / frame_seconds)
        # What comes while a boundary waits for better ones cannot be the next.
        self._shortest = max(self._wait + 1, math.ceil(config.min_seconds / frame_seconds - 1e-9))
        self._longest = max(self._shortest, math.floor(config.max_seconds / frame_seconds + 1e-9))
        self._threshold = _logit(config.threshold)
        self._one_thread = OneThread("CycleDecoder")
        self.reset()

    @property
    def latency_frames(self) -> int:
        """Frames after a boundary that have to be heard before it is reported, its own included."""
        return self._wait + 1

    @property
    def open_since(self) -> int:
        """Frame where the cycle that is open now began."""
        return self._since

    @property
    def period_seconds(self) -> float:
        """Duration of a cycle at the moment."""
        if self._expected is not None:
            return self._expected
        return statistics.median([*self._durations, self._config.period_seconds])

    def expect(self, period_seconds: float | None) -> None:
        """Take the period of the moment from elsewhere from now on; None: from the last cycles again."""
        positive = period_seconds is None or period_seconds > 0
        require(positive, "period_seconds", "above 0", period_seconds)
        self._expected = period_seconds

    def process(self, boundary_posteriors: NDArray[np.floating[Any]]) -> list[Boundary]:
        """Take posteriors (T',) in and return the boundaries that they decided.

        Raises
        ------
        ConfigError
            Another shape, or a value outside [0, 1].
        """
        with self._one_thread:
            self._check_open()
            values = np.asarray(boundary_posteriors)
            require(values.ndim == 1, "boundary_posteriors", "an array (T',)", values.shape)
            inside = bool(np.all((values >= 0) & (values <= 1)))
            require(inside, "boundary_posteriors", "values in [0, 1]", "NaN or values outside")
            boundaries: list[Boundary] = []
            for value in values.tolist():
                boundaries += self._step(value)
            return boundaries

    def gap(self, frames: int) -> list[Boundary]:
        """Account for ``frames`` lost frames: decide what is pending and begin a new cycle after them."""
        self._check_open()
        require(frames >= 0, "frames", "0 or more", frames)
        if frames == 0:
            return []
        boundaries = self._pending()
        self._heard += frames
        self._since = self._heard
        return boundaries

    def flush(self) -> list[Boundary]:
        """Decide what is pending; afterwards only :meth:`reset` is legal."""
        self._check_open()
        self._flushed = True
        return self._pending()

    def reset(self) -> None:
        """Become equal to a new object."""
        self._heard = 0
        self._since = 0
        self._flushed = False
        self._expected = None
        self._durations = deque(maxlen=self._config.history)
        self._best = None

    def _step(self, posterior: float) -> list[Boundary]:
        frame = self._heard
        self._heard += 1
        length = frame - self._since
        if length >= self._shortest:
            evidence = self._evidence(posterior, length)
            if evidence > 0 and (self._best is None or evidence > self._best[0]):
                self._best = (evidence, frame, posterior)
        if self._best is not None and (frame - self._best[1] >= self._wait or length >= self._longest):
            return self._close(self._best[1], self._best[2], forced=False)
        if length >= self._longest:
            return self._close(frame, posterior, forced=True)
        return []

    def _evidence(self, posterior: float, length: int) -> float:
        config = self._config
        usual = self.period_seconds
        hazard = _log_hazard(math.log(length * self._frame_seconds / usual) / config.spread)
        expected = _log_hazard(0.0)
        # The hazard of the duration itself has a factor 1 / d, which only says that longer cycles vary more.
        return _logit(posterior) - self._threshold + config.prior_weight * (hazard - expected)

    def _close(self, frame: int, posterior: float, forced: bool) -> list[Boundary]:
        if not forced:
            self._durations.append((frame - self._since) * self._frame_seconds)
        self._since = frame
        self._best = None
        return [Boundary(frame, posterior, forced)]

    def _pending(self) -> list[Boundary]:
        if self._best is None:
            return []
        return self._close(self._best[1], self._best[2], forced=False)

    def _check_open(self) -> None:
        if self._flushed:
            raise StateError("CycleDecoder: expected reset() after flush()")


def _logit(probability: float) -> float:
    inside = min(max(probability, _EDGE), 1.0 - _EDGE)
    return math.log(inside / (1.0 - inside))


def _log_hazard(z: float) -> float:
    """Log of density over survival of a standard normal variable, but for a constant."""
    if z > 30.0:  # where erfc ends; Mills' ratio
        return math.log(z + 1.0 / z) + 0.5 * math.log(2.0 * math.pi)
    return -0.5 * z * z - math.log(0.5 * math.erfc(z / math.sqrt(2.0)))
