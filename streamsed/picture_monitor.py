"""Whether a stream that wants pictures gets them: for its records, and to say when they stay away."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from streamsed.types import Health, Status

ABSENCE_SECONDS = 2.0
# Of an event that lasts longer its newest part counts.
_HISTORY_SECONDS = 600.0


class PictureMonitor:
    """Watches which frames have a picture.

    - ``no_picture``: a health record after 2 s without any, the onset being when the last one was too old; at the end
      of a stream that never had one, however short.
    - a status record when pictures come again.

    Parameters
    ----------
    source : str
        For the records.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self.reset()

    def reset(self) -> None:
        """Become equal to a new object."""
        self._changes: deque[tuple[float, bool]] = deque([(0.0, False)])
        self._end = 0.0
        self._said = False
        self._records: list[Health | Status] = []

    @property
    def is_present(self) -> bool:
        """Whether the newest frame has a picture."""
        return self._changes[-1][1]

    def add(self, times: npt.NDArray[np.float64], present: npt.NDArray[np.float32]) -> None:
        """Take new frames: their times in seconds, not decreasing, and 1 or 0, both of shape (T,)."""
        flags = present > 0
        before = np.concatenate([[self.is_present], flags[:-1]])
        for i in np.flatnonzero(flags != before):
            self._until(float(times[i]))
            # The first frame of a stream has to wait for its window: what it has, it has from the beginning.
            begins = 0.0 if self._end == 0.0 and i == 0 else float(times[i])
            if self._changes[-1][0] >= begins:
                self._changes.pop()
            self._changes.append((begins, bool(flags[i])))
            if flags[i] and self._said:
                self._records.append(Status("listening", "pictures are back", self._source))
                self._said = False
        self._until(float(times[-1]))
        while len(self._changes) > 1 and self._changes[1][0] < self._end - _HISTORY_SECONDS:
            self._changes.popleft()

    def _until(self, seconds: float) -> None:
        self._end = seconds
        since, present = self._changes[-1]
        if not present and not self._said and seconds - since >= ABSENCE_SECONDS:
            self._say(since)

    def _say(self, since: float) -> None:
        self._said = True
        self._records.append(Health("no_picture", round(since, 6), self._source))

    def end(self) -> None:
        """Take the end of the stream."""
        if not self._said and list(self._changes) == [(0.0, False)]:
            self._say(0.0)

    def take(self) -> list[Health | Status]:
        """Return the new records."""
        records, self._records = self._records, []
        return records

    def has_pictures(self, onset: float, offset: float) -> bool:
        """Say whether at least half of the time between two moments, in seconds, had pictures."""
        ends = [time for time, _ in list(self._changes)[1:]] + [max(self._end, offset)]
        seen = total = 0.0
        for (begin, present), end in zip(self._changes, ends, strict=True):
            overlap = max(0.0, min(end, offset) - max(begin, onset))
            total += overlap
            seen += overlap if present else 0.0
        if total == 0.0:
            return self.is_present
        return seen >= total / 2
