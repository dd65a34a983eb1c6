"""The newest sound of a stream, for what is analysed once its end is known."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class AudioHistory:
    """Keeps so many of the newest samples, by their positions; lost ones are counted, and kept as nothing.

    Parameters
    ----------
    capacity : int
        In samples; somewhat more is kept.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._pieces: deque[tuple[int, Floats]] = deque()
        self.position = 0

    def append(self, samples: Floats) -> None:
        """Take the next samples, shape (n,)."""
        if len(samples) == 0:
            return
        # A copy, as the caller may use the memory of his samples again.
        self._pieces.append((self.position, samples.copy()))
        self.position += len(samples)
        self._forget()

    def skip(self, position: int) -> None:
        """Go on behind a hole with the sample of that number."""
        self.position = position
        self._forget()

    def _forget(self) -> None:
        oldest = self.position - self._capacity
        while self._pieces and self._pieces[0][0] + len(self._pieces[0][1]) <= oldest:
            self._pieces.popleft()

    def read(self, begin: int, end: int) -> Floats:
        """Return what was heard from sample ``begin`` up to, not including, ``end``; holes are closed up."""
        parts = [
            samples[max(0, begin - first) : max(0, end - first)]
            for first, samples in self._pieces
            if first < end and first + len(samples) > begin
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)
