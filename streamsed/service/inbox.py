"""Sound that was pushed and waits for its turn: bounded, in order, and nothing is lost without being counted."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamsed.types import GapCause

Floats = npt.NDArray[np.float32]


class Hole(NamedTuple):
    """Sound that is not there."""

    missing_samples: int
    cause: GapCause


class Work(NamedTuple):
    """What a stream is to take next: a hole, sound, shape (n, channels), or both in this order."""

    hole: Hole | None
    sound: Floats | None
    arrival: float


class _Sound(NamedTuple):
    samples: Floats
    arrival: float


class Inbox:
    """Sound and holes of one lane, handed out a step at a time; not safe for threads by itself.

    Parameters
    ----------
    step : int
        Samples that a stream takes at a time.
    capacity : int
        Samples that may wait, at least a step. When more are pushed, the oldest ones become a hole.

    Attributes
    ----------
    waiting : int
        Samples that are there.
    dropped : int
        Samples that were there and had to go.
    """

    def __init__(self, step: int, capacity: int) -> None:
        self._step = step
        self._capacity = max(step, capacity)
        self._entries: deque[_Sound | Hole] = deque()
        self._holes = 0
        self.waiting = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def has_step(self) -> bool:
        """Whether there is something to do before more is pushed: a whole step, or a hole."""
        return self.waiting >= self._step or self._holes > 0

    def has_room(self, samples: int) -> bool:
        """Say whether so many samples can be pushed without any being dropped."""
        return self.waiting + samples <= self._capacity

    def push(self, samples: Floats, arrival: float) -> int:
        """Append sound, shape (n, channels), that was there at ``arrival``; return how many samples were dropped."""
        excess = self.waiting + len(samples) - self._capacity
        self._entries.append(_Sound(samples, arrival))
        self.waiting += len(samples)
        return self._drop(excess) if excess > 0 else 0

    def push_hole(self, hole: Hole) -> None:
        """Append a hole."""
        self._entries.append(hole)
        self._holes += 1

    def take(self) -> Work:
        """Return the next step, what there is if it is less; there must be something."""
        hole: Hole | None = None
        if isinstance(self._entries[0], Hole):
            hole = self._entries.popleft()  # type: ignore[assignment]  # as was just seen
            self._holes -= 1
        parts: list[_Sound] = []
        wanted = self._step
        while wanted > 0 and self._entries and not isinstance(self._entries[0], Hole):
            part = self._take_sound(wanted)
            parts.append(part)
            wanted -= len(part.samples)
        if not parts:
            return Work(hole, None, 0.0)
        sound = parts[0].samples if len(parts) == 1 else np.concatenate([part.samples for part in parts])
        return Work(hole, sound, parts[-1].arrival)

    def _take_sound(self, most: int) -> _Sound:
        """Take up to so many samples of the first entry, which is sound."""
        entry = self._entries.popleft()
        assert isinstance(entry, _Sound)
        if len(entry.samples) > most:
            self._entries.appendleft(_Sound(entry.samples[most:], entry.arrival))
            entry = _Sound(entry.samples[:most], entry.arrival)
        self.waiting -= len(entry.samples)
        return entry

    def _drop(self, excess: int) -> int:
        """Make one hole of the oldest sound, in whole steps, so that those that follow end where they would have."""
        wanted = min(-(-excess // self._step) * self._step, self.waiting)
        gone = lost = 0
        while gone < wanted:
            first = self._entries[0]
            if isinstance(first, Hole):
                self._entries.popleft()
                self._holes -= 1
                lost += first.missing_samples
            else:
                gone += len(self._take_sound(wanted - gone).samples)
        self._entries.appendleft(Hole(lost + gone, "overload"))
        self._holes += 1
        self.dropped += gone
        return gone
