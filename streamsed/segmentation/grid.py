"""Fixed windows: no knowledge of breathing, and always there."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from streamsed.config import require
from streamsed.errors import StateError
from streamsed.ownership import OneThread
from streamsed.segmentation.base import Boundary


class GridSegmenter:
    """A boundary after every ``period_seconds``.

    Parameters
    ----------
    period_seconds : float
        Length of every window, rounded to whole frames.
    frame_seconds : float
        Duration of a frame.

    Raises
    ------
    ConfigError
        A period shorter than a frame.
    """

    def __init__(self, period_seconds: float, frame_seconds: float) -> None:
        require(frame_seconds > 0, "frame_seconds", "above 0", frame_seconds)
        require(period_seconds >= frame_seconds, "period_seconds", f">= {frame_seconds}", period_seconds)
        self._period = round(period_seconds / frame_seconds)
        self._one_thread = OneThread("GridSegmenter")
        self.reset()

    @property
    def latency_frames(self) -> int:
        """Frames that have to be heard after a boundary: none."""
        return 0

    @property
    def open_since(self) -> int:
        """Frame where the open window began."""
        return self._since

    def process(self, frames: NDArray[Any]) -> list[Boundary]:
        """Take frames (T, ...) in, whose content does not matter, and return the boundaries among them."""
        with self._one_thread:
            self._check_open()
            self._heard += len(frames)
            boundaries = []
            while self._heard - self._since >= self._period:
                self._since += self._period
                boundaries.append(Boundary(self._since, 1.0, forced=False))
            return boundaries

    def gap(self, frames: int) -> list[Boundary]:
        """Account for lost frames: a new window begins after them."""
        self._check_open()
        require(frames >= 0, "frames", "0 or more", frames)
        if frames > 0:
            self._heard += frames
            self._since = self._heard
        return []

    def flush(self) -> list[Boundary]:
        """Return nothing, as nothing waits; afterwards only :meth:`reset` is legal."""
        self._check_open()
        self._flushed = True
        return []

    def reset(self) -> None:
        """Become equal to a new object."""
        self._heard = 0
        self._since = 0
        self._flushed = False

    def _check_open(self) -> None:
        if self._flushed:
            raise StateError("GridSegmenter: expected reset() after flush()")
