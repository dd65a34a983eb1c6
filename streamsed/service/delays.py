"""Percentiles of an endless row of delays in constant memory."""

from __future__ import annotations

import math

_SMALLEST_SECONDS = 1e-5
_BINS_PER_DECADE = 48
_DECADES = 8
_BINS = _BINS_PER_DECADE * _DECADES


class DelayStatistics:
    """Histogram with logarithmic bins from 10 µs to 1000 s: percentiles within 2.5 %, the maximum exact."""

    def __init__(self) -> None:
        self._counts = [0] * (_BINS + 1)
        self.count = 0
        self.max_seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one delay; what is below 10 µs, negative too, falls into the first bin."""
        self.count += 1
        self.max_seconds = max(self.max_seconds, seconds)
        number = 0
        if seconds > _SMALLEST_SECONDS:
            number = min(_BINS, 1 + int(_BINS_PER_DECADE * math.log10(seconds / _SMALLEST_SECONDS)))
        self._counts[number] += 1

    def include(self, other: DelayStatistics) -> None:
        """Count what another one has counted."""
        self._counts = [mine + theirs for mine, theirs in zip(self._counts, other._counts, strict=True)]
        self.count += other.count
        self.max_seconds = max(self.max_seconds, other.max_seconds)

    def percentile(self, percent: float) -> float:
        """Return the delay in seconds that ``percent`` % do not exceed; 0 when none was counted."""
        rank = math.ceil(self.count * percent / 100.0)
        seen = 0
        for number, count in enumerate(self._counts):
            seen += count
            if count and seen >= rank:
                centre = _SMALLEST_SECONDS * 10 ** ((number - 0.5) / _BINS_PER_DECADE)
                return min(centre, self.max_seconds)
        return 0.0

    def to_milliseconds(self) -> dict[str, float]:
        """Return p50, p95 and max as the summary record has them."""
        values = {"p50": self.percentile(50), "p95": self.percentile(95), "max": self.max_seconds}
        return {name: round(1e3 * value, 2) for name, value in values.items()}
