"""One stream of a pool: who pushes sound into it, and what the worker has of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy.typing as npt

from streamsed.config import require
from streamsed.errors import StateError
from streamsed.models import Steps
from streamsed.service.delays import DelayStatistics
from streamsed.service.inbox import Hole, Inbox, Work
from streamsed.service.members import MemberPolicy
from streamsed.sound_stream import SoundStream, StreamStats
from streamsed.sources.samples import as_samples
from streamsed.types import GapCause, Record, Summary

if TYPE_CHECKING:
    from streamsed.service.pool import DetectorPool

LaneState = Literal["listening", "leaving", "stopped", "failed"]


@dataclass(frozen=True)
class LaneStats:
    """How one lane of a pool is doing.

    Attributes
    ----------
    state : {"listening", "leaving", "stopped", "failed"}
    stream : StreamStats
    waiting_seconds : float
        Sound in the inbox.
    dropped_samples : int
        Of the sound that was pushed, those that had to go as the inbox was full.
    refused_samples : int
        Those that were not taken in, as the inbox was full.
    members_skipped : int
        How many networks of the ensemble are left out just now.
    latency_ms : dict
        p50, p95 and max of the time from when a step's last sample was pushed until its records were there.
    """

    state: LaneState
    stream: StreamStats
    waiting_seconds: float
    dropped_samples: int
    refused_samples: int
    members_skipped: int
    latency_ms: dict[str, float]


class PoolLane:
    """One stream of a :class:`DetectorPool`; made by its ``join``. May be used from any thread.

    Attributes
    ----------
    source : str
        As its records call it.
    sample_rate, channels : int
        Of what is pushed.
    error : Exception or None
        What ended it, if not its own end.
    summary : Summary or None
        Its last record, once there is one.
    """

    def __init__(
        self, pool: DetectorPool, source: str, stream: SoundStream[Any], sample_rate: int, channels: int
    ) -> None:
        self.source = source
        self.sample_rate = sample_rate
        self.channels = channels
        self.error: Exception | None = None
        self.summary: Summary | None = None
        self._pool = pool
        self._stream = stream
        self._inbox = Inbox(stream.step_samples, round(pool._inbox_seconds * sample_rate))
        self._policy = MemberPolicy(stream.members)
        self._delays = DelayStatistics()
        self._refused = 0
        self._taken = 0  # samples that the stream has
        self._ended = threading.Event()
        self._state: LaneState = "listening"
        # Whether it waits for its turn, and since when; whether the worker has it.
        self._is_due = self._is_served = False
        self._due_since = 0.0
        self._is_late = False
        self._work: Work | None = None
        self._is_last = False

    def push(self, chunk: npt.ArrayLike) -> None:
        """Give sound; returns at once.

        Parameters
        ----------
        chunk : array_like, shape (n,) or (n, channels)
            As :meth:`streamsed.DetectorStream.process` takes it; any n. It is copied.

        Raises
        ------
        ConfigError
            A chunk of another type or shape, which is not taken in.
        Overload
            If the inbox is full and the pool refuses; the chunk is not taken in.
        StateError
            After :meth:`leave`, or when the lane has failed.
        """
        samples = as_samples(chunk)
        require(samples.shape[1] == self.channels, "channels", f"{self.channels}", samples.shape[1])
        if len(samples):
            self._pool._push(self, samples.copy())

    def gap(self, missing_samples: int, cause: GapCause = "device") -> None:
        """Account for sound that was lost right after what was pushed so far.

        Parameters
        ----------
        missing_samples : int
        cause : {"overflow", "device", "overload"}

        Raises
        ------
        ConfigError
            A negative number, or another cause.
        StateError
            As :meth:`push`.
        """
        require(missing_samples >= 0, "missing_samples", ">= 0", missing_samples)
        require(cause in ("overflow", "device", "overload"), "cause", "overflow, device or overload", cause)
        if missing_samples:
            self._pool._push_hole(self, Hole(missing_samples, cause))

    def leave(self, timeout_seconds: float | None = 0.0) -> bool:
        """End the stream after what was pushed: open events are closed, the last record is the summary.

        Parameters
        ----------
        timeout_seconds : float or None
            How long to wait for that, None for as long as it takes. Nobody waits in a callback.

        Returns
        -------
        bool
            Whether it has ended.
        """
        self._pool._leave(self)
        return self._ended.wait(timeout_seconds)

    @property
    def stats(self) -> LaneStats:
        """How the lane is doing; may be read from any thread."""
        with self._pool._changed:
            return LaneStats(
                state=self._state,
                stream=self._stream.stats,
                waiting_seconds=self._inbox.waiting / self.sample_rate,
                dropped_samples=self._inbox.dropped,
                refused_samples=self._refused,
                members_skipped=self._stream.member_count - self._stream.members,
                latency_ms=self._delays.to_milliseconds(),
            )

    def _check_open(self, verb: str) -> None:
        if self._state == "failed":
            raise StateError(
                f"{verb}: expected a stream that goes on, got {self.source}, which has failed: {self.error}"
            )
        if self._state != "listening":
            raise StateError(f"{verb}: expected a stream that goes on, got {self.source}, which has left")

    def _steps(self) -> Steps[list[Record]]:
        """Take what the worker has for the stream."""
        records: list[Record] = []
        work = self._work
        if work is not None and work.hole is not None:
            records += yield from self._stream.gap_steps(*work.hole)
        if work is not None and work.sound is not None:
            records += yield from self._stream.process_steps(work.sound)
        if self._is_last:
            records += yield from self._stream.flush_steps()
        return records
