"""Finds lost samples by counting them against the monotonic clock.

PortAudio's overflow flag is no drop counter: seconds have been seen to vanish without it. And blocks that
come late are not lost: after a pause of the process everything that was buffered arrives at once. So a loss
is declared only when arrival has settled at a new, later level.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from streamsed.config import require


@dataclass(frozen=True)
class Loss:
    """``missing`` samples were lost just before sample ``position``; positions count losses."""

    position: int
    missing: int


class LeastLateness:
    """The least lateness of the last seconds: jitter only ever adds to it.

    Parameters
    ----------
    memory_seconds : float
    """

    def __init__(self, memory_seconds: float = 10.0) -> None:
        self._memory = memory_seconds
        # Candidates for the minimum of a sliding window: times and latenesses both increase from left to
        # right.
        self._lowest: deque[tuple[float, float]] = deque()

    @property
    def seconds(self) -> float | None:
        """The least one; None at first."""
        return self._lowest[0][1] if self._lowest else None

    def add(self, arrival_seconds: float, lateness_seconds: float) -> None:
        """Take what arrived so late at a monotonic time."""
        while self._lowest and self._lowest[-1][1] >= lateness_seconds:
            self._lowest.pop()
        self._lowest.append((arrival_seconds, lateness_seconds))
        while self._lowest[0][0] < arrival_seconds - self._memory:
            self._lowest.popleft()


class ArrivalClock:
    """Compares sample positions with their arrival times.

    The lateness of a block is its arrival time less its position over the rate. The least lateness of the
    last ``memory_seconds`` is the base: jitter only ever adds to it, and a device clock that is off by 100
    ppm moves it by 1 ms in 10 s. A block later than base by ``threshold_seconds`` starts a suspicion. It
    ends either with a block back near the base (late, nothing lost), or when lateness has found no new
    minimum for ``settle_seconds``: what is then left over the base is the loss, and it lies before the
    first block that arrived at the new level, since the blocks before it were still catching up.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    threshold_seconds, settle_seconds, memory_seconds : float
        See above.
    """

    def __init__(
        self,
        sample_rate: int,
        threshold_seconds: float = 0.03,
        settle_seconds: float = 0.5,
        memory_seconds: float = 10.0,
    ) -> None:
        require(sample_rate > 0, "sample_rate", "a positive rate in Hz", sample_rate)
        self._rate = sample_rate
        self._threshold = threshold_seconds
        self._settle = settle_seconds
        self._least = LeastLateness(memory_seconds)
        self._position = 0
        self._interrupted = False
        self._suspects: list[tuple[float, int, float]] = []  # arrival, position before the block, lateness

    @property
    def suspicious(self) -> bool:
        """Whether samples may have been lost since :attr:`trusted_position`."""
        return bool(self._suspects)

    @property
    def trusted_position(self) -> int:
        """Samples before this position have their final time."""
        return self._suspects[0][1] if self._suspects else self._position

    @property
    def base_seconds(self) -> float | None:
        """Monotonic time at which sample 0 would have arrived with the least delay; None at first."""
        return self._least.seconds

    def observe(self, position: int, arrival_seconds: float) -> Loss | None:
        """Note that all samples before ``position`` had arrived at a monotonic time.

        Returns
        -------
        Loss or None
            A loss that is now proven. The positions of later calls must count its samples.
        """
        if position <= self._position and self.base_seconds is not None:
            return None
        before, self._position = self._position, position
        lateness = arrival_seconds - position / self._rate
        base = self.base_seconds
        if base is None or (lateness - base <= self._threshold and not self._interrupted):
            self._suspects.clear()
            self._least.add(arrival_seconds, lateness)
            return None
        self._suspects.append((arrival_seconds, before, lateness))
        lowest = min(entry[2] for entry in self._suspects)
        # 5 ms: the arrival level of a settled stream is not sharper than that.
        first_time, first_position, _ = next(entry for entry in self._suspects if entry[2] <= lowest + 0.005)
        if arrival_seconds - first_time < self._settle:
            return None
        missing = max(0, round((lowest - base) * self._rate))
        self._suspects.clear()
        self._interrupted = False
        self._position = position + missing
        self._least.add(arrival_seconds, lateness - missing / self._rate)
        return Loss(first_position, missing) if missing else None

    def interrupt(self, position: int) -> None:
        """Note that what comes next belongs to another stream, which goes on at ``position``.

        Then something is certainly lost, however little, and its size is settled without a threshold.
        """
        self._position = position
        self._interrupted = self.base_seconds is not None
        self._suspects.clear()
