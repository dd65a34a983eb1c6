"""How busy a worker is."""

from __future__ import annotations

_WINDOW_SECONDS = 1.0
# Of each new window; the load of now is known after about three of them.
_NEW_SHARE = 0.5


class LoadMeter:
    """Share of the time, over the last few seconds, that was spent working.

    Parameters
    ----------
    now : float
        In seconds of any clock that goes on steadily.

    Attributes
    ----------
    load : float
        From 0 to 1.
    """

    def __init__(self, now: float) -> None:
        self._begin = now
        self._busy = 0.0
        self._windows = 0
        self.load = 0.0

    def add(self, busy_seconds: float, now: float) -> None:
        """Count work that ended just now."""
        self._busy += busy_seconds
        elapsed = now - self._begin
        if elapsed < _WINDOW_SECONDS:
            return
        newest = min(1.0, self._busy / elapsed)
        share = _NEW_SHARE if self._windows else 1.0
        self.load += share * (newest - self.load)
        self._begin, self._busy = now, 0.0
        self._windows += 1
