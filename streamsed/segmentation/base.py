"""What every segmenter gives and does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Boundary:
    """Where one respiratory cycle ends and the next begins.

    Attributes
    ----------
    frame : int
        The boundary lies at the left edge of this frame of the segmenter's input, counted since reset with lost
        frames: :meth:`streamsed.config.FrameClock.seconds` turns it into seconds.
    confidence : float
        In [0, 1]; the posterior of a boundary there, where there is one.
    forced : bool
        The cycle was closed because it had become too long, not because an end was heard.
    """

    frame: int
    confidence: float
    forced: bool


class Segmenter(Protocol):
    """A stream of frames in, boundaries out.

    The first cycle begins at frame 0, and after lost audio at the first frame heard: neither is reported as a
    boundary; ``open_since`` tells. What is open at the end, or when audio is lost, is cut off there by whoever owns
    the segmenter.
    """

    @property
    def latency_frames(self) -> int:
        """Most frames after the one where a boundary lies that have to be heard before it is reported."""

    @property
    def open_since(self) -> int:
        """Frame where the cycle that is open now began."""

    def process(self, frames: NDArray[Any]) -> list[Boundary]:
        """Take frames in and return the boundaries that they decided, in order."""

    def gap(self, frames: int) -> list[Boundary]:
        """Account for ``frames`` lost frames: return the boundaries that were pending, and begin a new cycle after."""

    def flush(self) -> list[Boundary]:
        """Return the boundaries that were pending; afterwards only :meth:`reset` is legal."""

    def reset(self) -> None:
        """Become equal to a new object."""
