"""From boundaries, holes and the quality of the signal to respiratory cycles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

# What is cut off by the beginning or the end of the sound and shorter is no cycle.
SHORTEST_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class TrackedCycle:
    """What is known of a cycle; times in seconds.

    Attributes
    ----------
    state : {"open", "closed", "retracted"}
    number : int
        From 1.
    onset : float
    offset : float or None
        None until it is closed.
    forced, truncated, spans_gap : bool
        See :class:`streamsed.types.Cycle`.
    """

    state: Literal["open", "closed", "retracted"]
    number: int
    onset: float
    offset: float | None = None
    forced: bool = False
    truncated: bool = False
    spans_gap: bool = False


class CycleTracker:
    """A cycle begins at every boundary, and where sound begins that may hold cycles, if it is told so.

    Every call returns what has changed, in order; the last cycle that is open is :attr:`open`. Where two cycles in a
    row would have to be closed by force nobody breathes: the second is taken back, and none is open until a boundary
    is heard again.

    Attributes
    ----------
    open : TrackedCycle or None
    breathless : bool
        Whether that is so now.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Become equal to a new object."""
        self._numbers = 0
        self._holes: list[float] = []
        self._last_was_forced = False
        self.breathless = False
        self.open: TrackedCycle | None = None

    def begin(self, seconds: float) -> list[TrackedCycle]:
        """Begin a cycle whose true onset may have been missed, unless one is open."""
        return [] if self.open is not None else [self._opened(seconds, truncated=True)]

    def boundary(self, seconds: float, forced: bool) -> list[TrackedCycle]:
        """End the open cycle and begin the next one; nothing where none is open or it began later."""
        if self.breathless and not forced:
            return [self._opened(seconds, truncated=False)]
        if self.open is None or seconds <= self.open.onset:
            return []
        if forced and self._last_was_forced:
            retracted = self.retract()
            self.breathless = True
            return retracted
        self._last_was_forced = forced
        ended = replace(self.open, forced=forced)
        return [self._ended(ended, seconds), self._opened(seconds, truncated=False)]

    def cut(self, seconds: float) -> list[TrackedCycle]:
        """End the open cycle where the sound ends."""
        self._last_was_forced = self.breathless = False
        if self.open is None:
            return []
        return [self._ended(replace(self.open, truncated=True), seconds)]

    def bridge(self, seconds: float) -> None:
        """Let the open cycle go on over sound that was lost from there on."""
        if self.open is not None:
            self._holes.append(seconds)

    def retract(self) -> list[TrackedCycle]:
        """Take the open cycle back: it is none."""
        self._last_was_forced = self.breathless = False
        if self.open is None:
            return []
        retracted = replace(self.open, state="retracted")
        self.open = None
        self._holes = []
        return [retracted]

    def _opened(self, seconds: float, truncated: bool) -> TrackedCycle:
        self._numbers += 1
        self.breathless = False
        self.open = TrackedCycle("open", self._numbers, seconds, truncated=truncated)
        return self.open

    def _ended(self, cycle: TrackedCycle, seconds: float) -> TrackedCycle:
        self.open = None
        spans_gap = any(cycle.onset < hole < seconds for hole in self._holes)
        # A boundary may be known only when a hole behind it is already there.
        self._holes = [hole for hole in self._holes if hole >= seconds]
        if cycle.truncated and seconds - cycle.onset < SHORTEST_SECONDS:
            return replace(cycle, state="retracted")
        return replace(cycle, state="closed", offset=seconds, spans_gap=spans_gap)
