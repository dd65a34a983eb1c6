"""The algorithmic delay of a stream, stage by stage; what computing adds comes on top."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class LatencyBudget:
    """Delays in seconds, each at its worst.

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
    median : float
        Half the widest median filter.
    min_gap : float
        The longest pause that is bridged, or step filter that has to pass: until then an event is not finished.
    """

    resampling: float
    framing: float
    look_ahead: float
    chunk: float
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

    def with_resampling(self, seconds: float) -> LatencyBudget:
        """Return the budget of a stream whose resampling delays by ``seconds``."""
        return replace(self, resampling=seconds)

    def to_dict(self) -> dict[str, float]:
        """Return the two sums as the ``start`` record has them."""
        return {"provisional": round(self.provisional, 4), "final": round(self.final, 4)}
