"""Notices when the signal itself looks wrong: non-finite values, clipping, digital silence, DC."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from streamsed.types import Health, HealthCondition

# What is wrong with the signal itself, whoever listens.
SIGNAL_CONDITIONS: frozenset[HealthCondition] = frozenset(("digital_silence", "clipping", "dc", "non_finite"))
# Squares of larger values add up to Inf in float32; no sound has them.
MAX_LEVEL = 1e6
CLIPPING_LEVEL = 0.999
CLIPPING_SAMPLES = 3
SILENCE_SECONDS = 2.0
DC_ON, DC_OFF = 0.05, 0.02
DC_SECONDS = 1.0
DC_RECOVERY_SECONDS = 5.0
RECOVERY_SECONDS = 1.0


class SignalMonitor:
    """Watches one stream, step by step, and reports each condition once per episode.

    - ``non_finite``: a NaN, an Inf, or a value beyond any scale (1e6); again after 1 s without any.
    - ``clipping``: 3 samples of a step at 0.999 of full scale or above; again after 1 s without such a step.
    - ``digital_silence``: 2 s of exact zeros, the onset being the first; again after any other sample.
    - ``dc``: a mean of about 1 s above 0.05 of full scale in magnitude; again after it stayed below 0.02 for 5 s,
      as the slow sway of a stethoscope on a chest is one condition and not many.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    source : str
        For the records.
    """

    def __init__(self, sample_rate: int, source: str) -> None:
        self._rate = sample_rate
        self._source = source
        self._last_seen: dict[HealthCondition, int] = {}
        self._zeros_from: int | None = 0
        self._silence_said = False
        self._mean = 0.0
        self._dc_until: int | None = None  # when it was last too large to be over
        self.non_finite_samples = 0

    def process(
        self, samples: npt.NDArray[np.float32], position: int
    ) -> tuple[npt.NDArray[np.float32], list[Health]]:
        """Look at one step of the signal.

        Parameters
        ----------
        samples : ndarray, shape (n, channels), float32
            At least one sample.
        position : int
            Number of the first of them, lost ones counted.

        Returns
        -------
        samples : ndarray, shape (n, channels)
            The same, with 0 in place of what is not finite (a copy in that case).
        records : list of Health
        """
        records: list[Health] = []
        # NaN and Inf both come through the extremes, so a sound step is looked at once only.
        peak = max(float(samples.max()), -float(samples.min()))
        if not peak <= MAX_LEVEL:
            finite = np.abs(samples) <= MAX_LEVEL
            self.non_finite_samples += int(finite.size - np.count_nonzero(finite))
            self._say_once("non_finite", position + int(np.argmin(finite.all(axis=1))), records)
            samples = np.where(finite, samples, np.float32(0))
            peak = float(np.abs(samples).max())
        if peak >= CLIPPING_LEVEL:
            clipped = np.flatnonzero((np.abs(samples) >= CLIPPING_LEVEL).any(axis=1))
            if len(clipped) >= CLIPPING_SAMPLES:
                self._say_once("clipping", position + int(clipped[0]), records)
        self._watch_silence(samples, position, peak, records)
        self._watch_mean(samples, position, records)
        return samples, records

    def _say_once(self, condition: HealthCondition, position: int, records: list[Health]) -> None:
        last = self._last_seen.get(condition)
        if last is None or position - last > RECOVERY_SECONDS * self._rate:
            records.append(self._record(condition, position))
        self._last_seen[condition] = position

    def _watch_silence(
        self, samples: npt.NDArray[np.float32], position: int, peak: float, records: list[Health]
    ) -> None:
        end = position + len(samples)
        if peak > 0.0:
            last_sound = (
                int(np.flatnonzero(samples.any(axis=1))[-1]) if not samples[-1].any() else len(samples) - 1
            )
            self._zeros_from = position + last_sound + 1
            self._silence_said = False
        elif self._zeros_from is None:
            self._zeros_from = position
        if not self._silence_said and end - self._zeros_from >= SILENCE_SECONDS * self._rate:
            self._silence_said = True
            records.append(self._record("digital_silence", self._zeros_from))

    def _watch_mean(self, samples: npt.NDArray[np.float32], position: int, records: list[Health]) -> None:
        share = 1.0 - math.exp(-len(samples) / (DC_SECONDS * self._rate))
        self._mean += share * (float(samples.mean()) - self._mean)
        if self._dc_until is None:
            if abs(self._mean) >= DC_ON:
                self._dc_until = position
                records.append(self._record("dc", position))
        elif abs(self._mean) >= DC_OFF:
            self._dc_until = position
        elif position - self._dc_until > DC_RECOVERY_SECONDS * self._rate:
            self._dc_until = None

    def gap(self) -> None:
        """Begin anew after lost audio: zeros before and after it are not one silence."""
        self._zeros_from = None
        self._silence_said = False

    def _record(self, condition: HealthCondition, position: int) -> Health:
        return Health(condition, position / self._rate, self._source)
