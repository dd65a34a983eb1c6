"""The algorithmic delay of a stream, stage by stage; what computing adds comes on top."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True)
class StreamLatency(ABC):
    """Delays in seconds, each at its worst, that every stream has.

    Attributes
    ----------
    resampling : float
        Half the length of the filter; 0 where the rates agree.
    framing : float
        From the beginning of a posterior frame (as times are given) to its last sample.
    look_ahead : float
        What the model waits for: its future context, or more overlap of windows.
    chunk : float
        Until a chunk is full.
    """

    resampling: float
    framing: float
    look_ahead: float
    chunk: float

    @property
    @abstractmethod
    def provisional(self) -> float:
        """From when something begins to its provisional record."""

    @property
    @abstractmethod
    def final(self) -> float:
        """From when something ends to its final record."""

    def with_resampling(self, seconds: float) -> Self:
        """Return the budget of a stream whose resampling delays by ``seconds``."""
        return replace(self, resampling=seconds)

    def to_dict(self) -> dict[str, float]:
        """Return the two sums as the ``start`` record has them."""
        return {"provisional": round(self.provisional, 4), "final": round(self.final, 4)}


@dataclass(frozen=True)
class LatencyBudget(StreamLatency):
    """Delays of sound events in seconds, each at its worst; those of :class:`StreamLatency` and two more.

    Attributes
    ----------
    median : float
        Half the widest median filter.
    min_gap : float
        The longest pause that is bridged, or step filter that has to pass: until then an event is not finished.
    """

    median: float
    min_gap: float

    @property
    def provisional(self) -> float:
        """From the beginning of the frame that reaches ``threshold_on`` to the provisional record.

        The onset in the record may be earlier: the frame where the run at or above ``threshold_off`` began.
        """
        return self.resampling + self.framing + self.look_ahead + self.chunk

    @property
    def final(self) -> float:
        """From the offset of a sound to its final record."""
        return self.provisional + self.median + self.min_gap


@dataclass(frozen=True)
class CycleLatency(StreamLatency):
    """Delays of respiratory cycles in seconds, each at its worst; those of :class:`StreamLatency` and one more.

    The classifier waits for nothing but the end of the cycle: what it adds is computing time.

    Attributes
    ----------
    decoder : float
        Until a boundary is known to be one.
    """

    decoder: float

    @property
    def provisional(self) -> float:
        """From the beginning of a cycle to its first ``cycle_open`` record: the boundary is that of the one before."""
        return self.final

    @property
    def final(self) -> float:
        """From the end of a cycle to its record."""
        return self.resampling + self.framing + self.look_ahead + self.chunk + self.decoder


@dataclass(frozen=True)
class EmotionLatency(StreamLatency):
    """Delays of dimensional emotion in seconds, each at its worst; those of :class:`StreamLatency` and two more.

    Attributes
    ----------
    hop : float
        Until the next window ends.
    window : float
        Half a window: levels are those of its sound as a whole, hence of its middle.
    """

    hop: float
    window: float

    @property
    def provisional(self) -> float:
        """From the last sample of a window to its record."""
        return self.resampling + self.framing + self.look_ahead + self.chunk

    @property
    def final(self) -> float:
        """From a change of the voice until half of a window and its record have it."""
        return self.provisional + self.hop + self.window
