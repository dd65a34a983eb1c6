"""Many streams through one model: what they need of its networks at the same time shares a run."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from streamsed.bundle import Backend
from streamsed.config import LatencyChoice, require
from streamsed.cycle_stream import CycleStream
from streamsed.detector import load
from streamsed.emotion_stream import EmotionStream
from streamsed.errors import Overload, StateError
from streamsed.models import Provider, run_together
from streamsed.service.delays import DelayStatistics
from streamsed.service.dispatcher import (
    CycleCallback,
    Dispatcher,
    EventCallback,
    RecordCallback,
)
from streamsed.service.inbox import Hole
from streamsed.service.listening import Listening
from streamsed.service.load import LoadMeter
from streamsed.service.members import IN_TIME_SECONDS, LATE_SECONDS, change_of_members
from streamsed.service.pool_lane import LaneState, PoolLane
from streamsed.sound_stream import SoundModel, utc, utc_text
from streamsed.sources.samples import ChannelSelection
from streamsed.types import Start, Status, Summary

_log = logging.getLogger(__name__)

OverloadPolicy = Literal["degrade", "drop", "refuse"]

# Lanes that are served between two looks at what is due, unless max_batch says otherwise.
_ROUND_LANES = 64
Model = str | os.PathLike[str] | SoundModel


@dataclass(frozen=True)
class PoolStats:
    """How a pool is doing.

    Attributes
    ----------
    streams : int
        Lanes that have not ended.
    load : float
        Share of the time that the worker has something to do, over the last seconds.
    steps, rounds : int
        Steps of all lanes so far, and in how many rounds they were computed.
    dropped_samples : int
        Of the sound that was pushed to all lanes so far, those that had to go.
    refused_streams : int
        How many calls of :meth:`DetectorPool.join` were refused for lack of capacity.
    latency_ms : dict
        p50, p95, p99 and max over all lanes so far; see :class:`LaneStats`.
    """

    streams: int
    load: float
    steps: int
    rounds: int
    dropped_samples: int
    refused_streams: int
    latency_ms: dict[str, float]


class DetectorPool(Listening):
    """Streams of any number of sources, rates and profiles through one model, in one worker thread.

    A lane's records are those that its stream gives alone: its state is its own, and only runs of the networks are
    shared. Each round serves, once each, the lanes that have a whole step of sound, those first that have waited
    longest, so that nobody is served twice before everybody was served once.

    Sound is pushed, never waited for. What is pushed faster than it can be computed waits in the lane's inbox, up to
    ``inbox_seconds``; what then happens is chosen by ``overload``, and always told.

    Parameters
    ----------
    model : str, Path or loaded model
        Name of a shipped bundle, a path, or what :func:`streamsed.load` gave.
    max_wait : float
        Seconds for which a whole step waits for those of other lanes, at most; 0 to compute what is there.
    max_batch : int, optional
        Lanes that share a run of a network, at most; by default what a CPU does best.
    max_streams : int, optional
        Another lane than so many is refused.
    max_load : float, optional
        In (0, 1]: another lane is refused if it would make the worker busier than that, going by the lanes there are.
    inbox_seconds : float
        Sound that may wait in a lane, in [0.5, 600].
    overload : {"degrade", "drop", "refuse"}
        While a lane cannot be kept up with: leave out members of an ensemble, and drop the oldest sound, with a gap
        record, if that is not enough; drop it when the inbox is full; or drop nothing, and raise Overload from
        ``push``. A status record says when a lane is a second behind, and when it has caught up. Who pushes
        recordings, faster than they sound, wants "refuse", or an inbox for all of them and "drop".
    on_event, on_record, on_cycle : callable, optional
        Called by the dispatcher thread, as those of :func:`streamsed.listen`. With any of them iterating yields
        nothing.
    backend, provider, num_threads
        See :func:`streamsed.load`; for a model that is loaded already, they have no use.

    Attributes
    ----------
    model : Detector, CycleDetector or EmotionDetector
    error : Exception or None
        What ended the pool itself, which iterating and leaving the context raise; that of a lane is the lane's.

    Raises
    ------
    ConfigError
        A parameter that cannot be used.
    BundleError
        A model that is missing or damaged.

    Examples
    --------
    >>> with streamsed.DetectorPool("everyday", max_wait=0.005, on_record=handle) as pool:
    ...     kitchen = pool.join("kitchen", sample_rate=16000)
    ...     kitchen.push(chunk)  # any thread, never blocks

    Without callbacks, ``for record in pool`` has the records of all lanes, until another thread closes the pool.
    """

    def __init__(
        self,
        model: Model = "everyday",
        *,
        max_wait: float = 0.01,
        max_batch: int | None = None,
        max_streams: int | None = None,
        max_load: float | None = None,
        inbox_seconds: float = 5.0,
        overload: OverloadPolicy = "degrade",
        on_event: EventCallback | None = None,
        on_record: RecordCallback | None = None,
        on_cycle: CycleCallback | None = None,
        backend: Backend | None = None,
        provider: Provider = "cpu",
        num_threads: int | None = None,
    ) -> None:
        super().__init__()
        require(0.0 <= max_wait <= 10.0, "max_wait", "seconds in [0, 10]", max_wait)
        require(max_batch is None or max_batch > 0, "max_batch", "> 0", max_batch)
        require(max_streams is None or max_streams > 0, "max_streams", "> 0", max_streams)
        require(max_load is None or 0.0 < max_load <= 1.0, "max_load", "in (0, 1]", max_load)
        require(0.5 <= inbox_seconds <= 600.0, "inbox_seconds", "seconds in [0.5, 600]", inbox_seconds)
        known = overload in ("degrade", "drop", "refuse")
        require(known, "overload", "degrade, drop or refuse", overload)
        self.model: SoundModel = (
            load(model, backend=backend, provider=provider, num_threads=num_threads)
            if isinstance(model, (str, os.PathLike))
            else model
        )
        self._max_wait = max_wait
        self._max_batch = max_batch
        self._round_lanes = max_batch or _ROUND_LANES
        self._max_streams = max_streams
        self._max_load = max_load
        self._inbox_seconds = inbox_seconds
        self._overload = overload
        self._dispatcher = Dispatcher(on_record, on_event, self._queue, on_cycle=on_cycle)
        self._worker = threading.Thread(target=self._work, name="streamsed pool", daemon=True)
        # Guards everything that pushers and the worker share: lanes, inboxes and who is due.
        self._changed = threading.Condition()
        self._lanes: dict[str, PoolLane] = {}
        self._due: deque[PoolLane] = deque()
        self._closing = False
        self._joined = 0
        self._refused_streams = 0
        self._dropped = 0
        self._steps = self._rounds = 0
        self._delays = DelayStatistics()  # of lanes that have ended
        self._load = LoadMeter(time.monotonic())

    # ---- life
    # -------------------------------------------------------------------------------------------------

    def start(self) -> DetectorPool:
        """Start the threads; does nothing the second time.

        Raises
        ------
        StateError
            After :meth:`close`.
        """
        with self._changed:
            if self._closing:
                raise StateError("start: expected a new pool, got one that was closed")
            if self._worker.ident is None:
                self._dispatcher.start()
                self._worker.start()
        return self

    def stop(self) -> None:
        """Let all lanes leave and return at once; no lane joins any more."""
        with self._changed:
            self._closing = True
            for lane in list(self._lanes.values()):
                self._begin_leaving(lane)
            self._changed.notify_all()

    def close(self) -> None:
        """Let all lanes leave, and wait until the records of what they had were handed over; no lane joins any more."""
        self.stop()
        if self._worker.ident is None:
            self._queue.close()
            return
        self._queue.let_producer_pass()
        self._dispatcher.let_producer_pass()
        self.wait()

    def wait(self) -> None:
        """Wait for the end, without asking for it."""
        if self._worker.ident is None or threading.current_thread() is self._worker:
            return
        while self._worker.is_alive():
            self._worker.join(0.2)
        self._dispatcher.close()

    @property
    def _is_new(self) -> bool:
        return self._worker.ident is None and not self._closing

    # ---- lanes
    # ------------------------------------------------------------------------------------------------

    def join(
        self,
        source: str | None = None,
        sample_rate: int | None = None,
        channels: int = 1,
        *,
        channel: ChannelSelection = "mix",
        latency: LatencyChoice = "balanced",
        thresholds: float | Mapping[str, float] | None = None,
        top_k: int = 0,
        provisional: bool = True,
        time_origin: datetime | None = None,
        members: int | None = None,
    ) -> PoolLane:
        """Add a stream; at any time, from any thread.

        Parameters
        ----------
        source : str, optional
            How its records call it, unlike any other lane's; "stream0" and so on by default. Event ids begin with it,
            and are counted anew when a name that has left joins again.
        sample_rate : int, optional
            Of what is pushed, in Hz; the model's by default.
        channels : int
            Of what is pushed.
        channel, latency, thresholds, top_k, provisional, time_origin
            See :meth:`streamsed.Detector.stream`.
        members : int, optional
            How many networks of an ensemble take part, at most; see :meth:`streamsed.DetectorStream.set_members`. All
            by default.

        Returns
        -------
        PoolLane

        Raises
        ------
        ConfigError
            A parameter that cannot be used, or a name that another lane has.
        Overload
            If ``max_streams`` or ``max_load`` forbid another lane.
        StateError
            After :meth:`close`.
        """
        rate = self.model.sample_rate if sample_rate is None else sample_rate
        require(rate > 0, "sample_rate", "Hz above 0", rate)
        with self._changed:
            name = f"stream{self._joined}" if source is None else source
            self._check_capacity()
            require(name not in self._lanes, "source", "a name that no other lane has", name)
            stream = self.model.stream(
                rate,
                channels,
                channel=channel,
                source=name,
                latency=latency,
                thresholds=thresholds,
                top_k=top_k,
                provisional=provisional,
                time_origin=time_origin,
            )
            if members is not None:
                stream.set_members(members)
            lane = PoolLane(self, name, stream, rate, channels)
            self._joined += 1
            self._lanes[name] = lane
            budget = self.model.latency(latency, rate).to_dict()
            # Before anybody can end the lane: its first record.
            self._dispatcher.put(
                Start(
                    source=name,
                    model=self.model.name,
                    sample_rate=rate,
                    latency_seconds={stage: budget[stage] for stage in ("provisional", "final")},
                    time_utc=utc_text(utc(time_origin)),
                ),
                wait=False,
            )
        return lane

    def _check_capacity(self) -> None:
        if self._closing:
            raise StateError("join: expected an open pool, got one that was closed")
        count, most = len(self._lanes), self._max_streams
        if most is not None and count >= most:
            self._refused_streams += 1
            raise Overload(f"max_streams: expected at most {most} streams, got one more")
        expected = self._load.load * (count + 1) / count if count else 0.0
        if self._max_load is not None and expected > self._max_load:
            self._refused_streams += 1
            raise Overload(
                f"max_load: expected a load of at most {self._max_load:g}, got {expected:.2f} "
                f"with one stream more than {count}"
            )

    @property
    def lanes(self) -> tuple[PoolLane, ...]:
        """Those that have not ended, in the order in which they joined."""
        with self._changed:
            return tuple(self._lanes.values())

    @property
    def stats(self) -> PoolStats:
        """How the pool is doing; may be read from any thread."""
        with self._changed:
            delays = DelayStatistics()
            delays.include(self._delays)
            for lane in self._lanes.values():
                delays.include(lane._delays)
            return PoolStats(
                streams=len(self._lanes),
                load=round(self._load.load, 4),
                steps=self._steps,
                rounds=self._rounds,
                dropped_samples=self._dropped,
                refused_streams=self._refused_streams,
                latency_ms={
                    **delays.to_milliseconds(),
                    "p99": round(1e3 * delays.percentile(99), 2),
                },
            )

    # ---- what lanes call, any thread
    # --------------------------------------------------------------------------

    def _push(self, lane: PoolLane, samples: Any) -> None:
        arrival = time.monotonic()
        with self._changed:
            lane._check_open("push")
            if self._overload == "refuse" and not lane._inbox.has_room(len(samples)):
                lane._refused += len(samples)
                raise Overload(
                    f"push: expected at most {self._inbox_seconds:g} s of sound to wait in {lane.source}, got more; "
                    "processing is behind"
                )
            self._dropped += lane._inbox.push(samples, arrival)
            self._line_up(lane)

    def _push_hole(self, lane: PoolLane, hole: Hole) -> None:
        with self._changed:
            lane._check_open("gap")
            lane._inbox.push_hole(hole)
            self._line_up(lane)

    def _leave(self, lane: PoolLane) -> None:
        with self._changed:
            self._begin_leaving(lane)

    def _begin_leaving(self, lane: PoolLane) -> None:
        if lane._state == "listening":
            lane._state = "leaving"
            self._line_up(lane)

    def _line_up(self, lane: PoolLane) -> None:
        """Let ``lane`` wait for its turn, if it has anything to do; the lock is held."""
        if lane._is_due or lane._is_served or not (lane._inbox.has_step or lane._state == "leaving"):
            return
        lane._is_due = True
        lane._due_since = time.monotonic()
        self._due.append(lane)
        # Once for the first, which sets the time, and once for the last: between them nothing changes.
        if len(self._due) == 1 or len(self._due) == self._enough:
            self._changed.notify_all()

    @property
    def _enough(self) -> int:
        """Return for how many lanes there is no use in waiting for more."""
        return min(self._round_lanes, len(self._lanes))

    # ---- worker
    # -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while lanes := self._next_lanes():
                self._serve(lanes)
        except Exception as error:
            _log.exception("the worker of a pool has failed")
            with self._changed:
                self.error = error
                self._closing = True
                for lane in self._lanes.values():
                    lane.error, lane._state = error, "failed"
                    lane._ended.set()
                self._lanes.clear()
        finally:
            self._dispatcher.end()

    def _next_lanes(self) -> list[PoolLane]:
        """Wait for lanes that are due; none when the pool is closed and all have left."""
        with self._changed:
            while True:
                if not self._due:
                    if self._closing and not self._lanes:
                        return []
                    self._changed.wait()
                    continue
                remaining = self._due[0]._due_since + self._max_wait - time.monotonic()
                if len(self._due) >= self._enough or remaining <= 0.0 or self._closing:
                    break
                self._changed.wait(remaining)
            lanes = [self._due.popleft() for _ in range(min(self._round_lanes, len(self._due)))]
            for lane in lanes:
                lane._is_due, lane._is_served = False, True
                lane._work = lane._inbox.take() if len(lane._inbox) else None
                lane._is_last = lane._state == "leaving" and not len(lane._inbox)
            return lanes

    def _serve(self, lanes: list[PoolLane]) -> None:
        begin = time.monotonic()
        found = run_together([lane._steps() for lane in lanes], self._max_batch)
        end = time.monotonic()
        for lane, records in zip(lanes, found, strict=True):
            if isinstance(records, Exception):
                self._fail(lane, records)
                continue
            for record in records:
                self._dispatcher.put(record)
            if lane._work is not None and lane._work.sound is not None:
                late = end - lane._work.arrival
                lane._delays.add(late)
                lane._taken += len(lane._work.sound)
                self._tell_lateness(lane, late)
                if self._overload == "degrade":
                    self._choose_members(lane, late)
            if lane._is_last:
                self._end(lane, "stopped", "")
        with self._changed:
            self._rounds += 1
            self._steps += len(lanes)
            self._load.add(time.monotonic() - begin, time.monotonic())
            for lane in lanes:
                lane._is_served = False
                lane._work = None
                if lane.source in self._lanes:
                    self._line_up(lane)

    def _tell_lateness(self, lane: PoolLane, late_seconds: float) -> None:
        """Say when a lane falls behind its sound, and when it has caught up."""
        if lane._is_late == (late_seconds >= (IN_TIME_SECONDS if lane._is_late else LATE_SECONDS)):
            return
        lane._is_late = not lane._is_late
        detail = (
            f"overload: {late_seconds:.1f} s behind the sound"
            if lane._is_late
            else "caught up with the sound"
        )
        self._dispatcher.put(Status("listening", detail, lane.source))

    def _choose_members(self, lane: PoolLane, late_seconds: float) -> None:
        taken_seconds = lane._taken / lane.sample_rate
        change = change_of_members(lane._stream, lane._policy, late_seconds, taken_seconds, self.model.name)
        if change is not None:
            self._dispatcher.put(Status("listening", change, lane.source))

    def _fail(self, lane: PoolLane, error: Exception) -> None:
        """End a lane that cannot go on; the others do."""
        _log.error("stream %s has failed: %s", lane.source, error)
        lane.error = error
        self._end(lane, "failed", str(error))

    def _end(self, lane: PoolLane, state: LaneState, detail: str) -> None:
        with self._changed:
            lane._state = state
            del self._lanes[lane.source]
            self._delays.include(lane._delays)
        stats = lane._stream.stats
        self._dispatcher.put(Status("stopped", detail, lane.source))
        lane.summary = Summary(
            audio_seconds=round(stats.audio_seconds, 6),
            events=stats.events,
            dropped_samples=stats.dropped_samples,
            rtf=round(stats.rtf, 5),
            latency_ms=lane._delays.to_milliseconds(),
            source=lane.source,
            members_skipped_seconds=round(stats.members_skipped_seconds, 3) or None,
            cycles=stats.cycles if isinstance(lane._stream, CycleStream) else None,
            respiratory_rate=stats.respiratory_rate,
            emotions=stats.emotions if isinstance(lane._stream, EmotionStream) else None,
        )
        self._dispatcher.put(lane.summary)
        lane._ended.set()
