"""How a clock runs beside that of the sound."""

from __future__ import annotations

import math

# A difference is averaged over about so long: the rounding of time stamps goes, drift moves it by less than 1 ms.
_SMOOTHING_SECONDS = 2.0
# What is older than that says little of how the clocks run now: crystals change with their temperature.
_MEMORY_SECONDS = 600.0
# Before, the slope is not known better than a good crystal is.
_LEAST_SPAN_SECONDS = 10.0


class ClockDrift:
    """Follows another clock, such as that of a camera or of a container's time stamps, and measures its drift.

    The offset is the time of the sound less that of the other clock, averaged exponentially over about two seconds.
    The drift is the slope of a straight line through the offsets, by least squares that forget within ten minutes.
    """

    def __init__(self) -> None:
        self._first = self._last = math.nan
        self._offset = 0.0
        self._weight = 0.0
        self._mean_time = self._mean_offset = 0.0
        self._time_time = self._time_offset = 0.0

    @property
    def is_known(self) -> bool:
        """Whether there was an observation."""
        return not math.isnan(self._last)

    @property
    def offset_seconds(self) -> float:
        """Time of the sound less that of the other clock, now; 0 before the first observation."""
        return self._offset

    @property
    def drift_ppm(self) -> float | None:
        """By how much the sound's clock is faster, in millionths; None before ten seconds were seen."""
        if not self.is_known or self._last - self._first < _LEAST_SPAN_SECONDS or self._time_time <= 0:
            return None
        return 1e6 * self._time_offset / self._time_time

    def observe(self, other_seconds: float, sound_seconds: float) -> None:
        """Take the times that both clocks have at one moment; those of the other one must not decrease."""
        offset = sound_seconds - other_seconds
        if not self.is_known:
            self._first = self._last = other_seconds
            self._offset = offset
        elapsed = max(0.0, other_seconds - self._last)
        self._last = max(self._last, other_seconds)
        self._offset += -math.expm1(-elapsed / _SMOOTHING_SECONDS) * (offset - self._offset)
        kept = math.exp(-elapsed / _MEMORY_SECONDS)
        self._weight = kept * self._weight + 1.0
        time_step, offset_step = other_seconds - self._mean_time, offset - self._mean_offset
        self._mean_time += time_step / self._weight
        self._mean_offset += offset_step / self._weight
        self._time_time = kept * self._time_time + time_step * (other_seconds - self._mean_time)
        self._time_offset = kept * self._time_offset + time_step * (offset - self._mean_offset)

    def to_sound(self, other_seconds: float) -> float:
        """Return the sound's time of a moment of the other clock."""
        return other_seconds + self._offset
