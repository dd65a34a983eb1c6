"""One endless signal through a detector: chunks in, records out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from streamsed.config import FrameClock, LatencyProfile, require
from streamsed.errors import ConfigError, StateError
from streamsed.evidence import FrameHistory, PosteriorFrames, uncertainty
from streamsed.health import SignalMonitor
from streamsed.latency import LatencyBudget
from streamsed.ownership import OneThread
from streamsed.posterior_stream import PosteriorStream
from streamsed.postprocess import Decision, PostChain
from streamsed.sources.resample import Resampler
from streamsed.sources.samples import ChannelSelection, as_samples, check_selection, mix_down
from streamsed.types import Event, Gap, GapCause, Onset, Record, Retract, Tags

Floats = npt.NDArray[np.float32]
FramesCallback = Callable[[PosteriorFrames], object]

# Tags records at least this far apart: more often is more than a reader or a screen can use.
TAGS_SECONDS = 0.1


@dataclass(frozen=True)
class StreamSettings:
    """What the caller of ``Detector.stream`` chose."""

    sample_rate: int | None
    channels: int | None
    channel: ChannelSelection
    source: str
    event_id_prefix: str
    top_k: int
    provisional: bool
    time_origin: datetime | None
    on_frames: FramesCallback | None = None


@dataclass(frozen=True)
class StreamStats:
    """How a stream is doing.

    Attributes
    ----------
    audio_seconds : float
        The audio clock: what was processed, and what was lost.
    processing_seconds : float
        Time spent in ``process``, ``gap`` and ``flush``.
    rtf : float
        Real-time factor: processing time over the duration of the processed audio; 0 before any.
    events, onsets, retracts : int
        Finished events, and how many announcements there were and came to nothing.
    dropped_samples : int
        Lost samples, by :meth:`DetectorStream.gap`.
    non_finite_samples : int
        NaN and Inf, which were replaced by 0.
    members_skipped_seconds : float
        Audio that was analysed by fewer members than the ensemble has.
    """

    audio_seconds: float
    processing_seconds: float
    rtf: float
    events: int
    onsets: int
    retracts: int
    dropped_samples: int
    non_finite_samples: int
    members_skipped_seconds: float


class DetectorStream:
    """State of one stream; made by ``Detector.stream``. One owner: a second thread gets StateError.

    The signal is handled in steps of a fixed size (``chunk_seconds`` of the latency profile), whatever the
    chunks are, so that records do not depend on them.

    Attributes
    ----------
    labels : tuple of str
    latency : LatencyBudget
        For the rate of the input, which may be known only after the first chunk.
    member_count : int
        How many networks the model has.
    """

    def __init__(
        self,
        settings: StreamSettings,
        labels: tuple[str, ...],
        model_rate: int,
        posteriors: PosteriorStream,
        chain: PostChain,
        profile: LatencyProfile,
        clock: FrameClock,
        frame_samples: int,
        budget: LatencyBudget,
    ) -> None:
        self.labels = labels
        self._settings = settings
        self._model_rate = model_rate
        self._posteriors = posteriors
        self._chain = chain
        self._profile = profile
        self._clock = clock
        self.member_count = posteriors.members
        self._history = FrameHistory(clock, self.member_count)
        self._frame_samples = frame_samples
        self._budget = budget
        self._one_thread = OneThread(f"stream {settings.source}")
        self._begin()

    def _begin(self) -> None:
        settings = self._settings
        self._rate = 0  # of the input, 0 until it is known
        self._channels = 0
        self._position = 0
        self._waiting = np.empty((0, 1), np.float32)
        self._finished = False
        self._next_tags_seconds = 0.0
        self._processing_seconds = 0.0
        self._taken = self._dropped = 0
        self._events = self._onsets = self._retracts = 0
        self._frames_with_fewer = 0
        self._history.reset()
        if settings.sample_rate is not None:
            self._set_rate(settings.sample_rate)
        if settings.channels is not None:
            self._set_channels(settings.channels)

    def _set_rate(self, sample_rate: int) -> None:
        self._resampler = Resampler(sample_rate, self._model_rate)
        self._monitor = SignalMonitor(sample_rate, self._settings.source)
        self._step = max(1, round(self._profile.chunk_seconds * sample_rate))
        self._rate = sample_rate

    def _set_channels(self, channels: int) -> None:
        require(channels > 0, "channels", "> 0", channels)
        check_selection(self._settings.channel, channels)
        self._waiting = np.empty((0, channels), np.float32)
        self._channels = channels

    @property
    def latency(self) -> LatencyBudget:
        """The algorithmic delay, stage by stage."""
        if self._rate == 0:
            return self._budget
        return self._budget.with_resampling(self._resampler.latency_samples / self._rate)

    @property
    def stats(self) -> StreamStats:
        """How the stream is doing; may be read from any thread."""
        rate = self._rate or self._model_rate
        taken_seconds = self._taken / rate
        return StreamStats(
            audio_seconds=self._position / rate,
            processing_seconds=self._processing_seconds,
            rtf=self._processing_seconds / taken_seconds if taken_seconds else 0.0,
            events=self._events,
            onsets=self._onsets,
            retracts=self._retracts,
            dropped_samples=self._dropped,
            non_finite_samples=self._monitor.non_finite_samples if self._rate else 0,
            members_skipped_seconds=self._frames_with_fewer * self._clock.frame_seconds,
        )

    @property
    def members(self) -> int:
        """How many networks take part; see :meth:`set_members`."""
        return self._posteriors.members

    def set_members(self, count: int) -> None:
        """Let only so many networks of an ensemble take part from the next step on, to save time.

        Those with the largest weights stay, the first ones among equals. A network that comes back has no say
        before it has heard :func:`~streamsed.models.warm_up_frames` frames. Records and :attr:`stats` say where some
        were left out.

        Parameters
        ----------
        count : int
            From 1 to ``member_count``.

        Raises
        ------
        ConfigError
            Another number.
        StateError
            After ``flush``, or while another thread is inside.
        """
        with self._alone("set_members"):
            self._posteriors.set_members(count)

    def process(self, chunk: npt.ArrayLike, sample_rate: int | None = None) -> list[Record]:
        """Take sound in.

        Parameters
        ----------
        chunk : array_like, shape (n,) or (n, channels)
            float32 or float64 with full scale 1, or int16; any n, 0 included. NaN and Inf are replaced by
            0, with a ``health`` record.
        sample_rate : int, optional
            Of the chunk, in Hz; to be given with the first chunk at the latest, unless it is the model's.

        Returns
        -------
        list of Record
            Onset, Retract, Event, Health and Tags, in the order in which they were decided.

        Raises
        ------
        ConfigError
            A chunk of another type or shape; a rate or a number of channels that differs from before.
        StateError
            After ``flush``, or while another thread is inside.
        """
        with self._alone("process"):
            samples = as_samples(chunk)
            self._check_rate(sample_rate)
            if len(samples) == 0:
                return []
            self._check_channels(samples.shape[1])
            if len(self._waiting):
                samples = np.concatenate([self._waiting, samples])
            records: list[Record] = []
            step, whole = self._step, len(samples) - len(samples) % self._step
            for begin in range(0, whole, step):
                records += self._take(samples[begin : begin + step])
            # A copy, as the caller may use the memory of his chunk again.
            self._waiting = samples[whole:].copy()
            return records

    def _check_rate(self, sample_rate: int | None) -> None:
        if self._rate == 0:
            self._set_rate(self._model_rate if sample_rate is None else sample_rate)
        elif sample_rate is not None and sample_rate != self._rate:
            raise ConfigError(
                f"sample_rate: expected {self._rate} as at the beginning of stream {self._settings.source}, "
                f"got {sample_rate}; reset() it or make another one"
            )

    def _check_channels(self, channels: int) -> None:
        if self._channels == 0:
            self._set_channels(channels)
        elif channels != self._channels:
            raise ConfigError(
                f"channels: expected {self._channels} as at the beginning of stream {self._settings.source}, "
                f"got {channels}; reset() it or make another one"
            )

    def _take(self, samples: Floats) -> list[Record]:
        """Process one step, shape (n, channels); n > 0."""
        sound, health = self._monitor.process(samples, self._position)
        self._position += len(samples)
        self._taken += len(samples)
        mono = self._resampler.process(mix_down(sound, self._settings.channel))
        return [*health, *self._decide(self._posteriors.process(mono))]

    def _take_waiting(self) -> list[Record]:
        """Process what does not fill a step, before a gap or at the end, and what the stages hold back."""
        if self._rate == 0:
            return []
        records = self._take(self._waiting) if len(self._waiting) else []
        self._waiting = self._waiting[:0]
        return [*records, *self._decide(self._posteriors.process(self._resampler.flush()))]

    def _decide(self, frames: PosteriorFrames) -> list[Record]:
        """Turn new frames into records."""
        if len(frames) == 0:
            return []
        self._history.append(frames)
        self._frames_with_fewer += int((frames.members < self.member_count).sum())
        if self._settings.on_frames is not None:
            self._settings.on_frames(frames)
        records = self._records(self._chain.process(frames.posteriors))
        if self._settings.top_k:
            records += self._tags(frames.posteriors[-1])
        return records

    def _tags(self, posteriors: Floats) -> list[Record]:
        seconds = self._posteriors.frames * self._frame_samples / self._model_rate
        if seconds < self._next_tags_seconds:
            return []
        self._next_tags_seconds = seconds + TAGS_SECONDS
        order = np.argsort(-posteriors, kind="stable")[: self._settings.top_k]
        best = {self.labels[i]: round(float(posteriors[i]), 4) for i in order}
        return [Tags(round(seconds, 4), best, self._settings.source)]

    def _records(self, decisions: list[Decision]) -> list[Record]:
        records: list[Record] = []
        for item in decisions:
            if item.kind == "event":
                self._events += 1
            elif item.kind == "onset":
                self._onsets += 1
            else:
                self._retracts += 1
            if item.kind == "event" or self._settings.provisional:
                records.append(self._record(item))
        return records

    def _record(self, item: Decision) -> Record:
        settings = self._settings
        event_id = f"{settings.event_id_prefix}-{item.number}"
        if item.kind == "retract":
            return Retract(event_id)
        emitted_seconds = self._position / self._rate
        time_utc = None
        if settings.time_origin is not None:
            moment = settings.time_origin + timedelta(seconds=item.onset)
            time_utc = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if item.kind == "onset":
            decided = self._clock.seconds(item.decided_frame)
            return Onset(
                event_id=event_id,
                source=settings.source,
                label=item.label,
                onset=round(item.onset, 6),
                confidence=round(item.confidence, 4),
                emitted_seconds=round(emitted_seconds, 6),
                time_utc=time_utc,
                members_skipped=self._history.skipped(decided, decided) or None,
            )
        offset = item.onset if item.offset is None else item.offset
        trust = self._history.confidence(item.onset, offset)
        return Event(
            event_id=event_id,
            source=settings.source,
            label=item.label,
            onset=round(item.onset, 6),
            offset=round(offset, 6),
            confidence=round(item.confidence, 4),
            uncertainty=round(uncertainty(item.uncertainty, trust), 4),
            spans_gap=item.spans_gap,
            truncated=item.truncated,
            emitted_seconds=round(emitted_seconds, 6),
            time_utc=time_utc,
            members_skipped=self._history.skipped(item.onset, offset) or None,
        )

    def gap(self, missing_samples: int, cause: GapCause) -> list[Record]:
        """Account for sound that was lost right after what was taken in so far.

        The audio clock advances by exactly ``missing_samples``; nothing is smoothed across the hole. The
        analysis goes on with the next whole posterior frame, so that times stay exact.

        Parameters
        ----------
        missing_samples : int
            At the rate of the input; 0 does nothing.
        cause : {"overflow", "device", "overload"}

        Returns
        -------
        list of Record
            What was still to be decided, the Gap, and events that it ends.

        Raises
        ------
        ConfigError
            A negative number, or another cause.
        StateError
            After ``flush``, or while another thread is inside.
        """
        require(missing_samples >= 0, "missing_samples", ">= 0", missing_samples)
        require(cause in ("overflow", "device", "overload"), "cause", "overflow, device or overload", cause)
        with self._alone("gap"):
            if missing_samples == 0:
                return []
            self._check_rate(None)
            records = self._take_waiting()
            records += self._decide(self._posteriors.gap())
            records.append(Gap(self._position, missing_samples, cause, self._settings.source))
            self._position += missing_samples
            self._dropped += missing_samples
            self._monitor.gap()
            records += self._resume()
            return records

    def _resume(self) -> list[Record]:
        """Go on after a gap at the next whole posterior frame."""
        resampler = self._resampler
        # In units in which both rates are whole: 1 / (rate_in · up) seconds.
        position, frame_units = self._position * resampler.up, self._frame_samples * resampler.down
        frame = -(-position // frame_units)
        resampler.reset(offset=frame * frame_units - position)
        lost = self._posteriors.resume(frame)
        return self._records(self._chain.gap(lost)) if lost else []

    def flush(self) -> list[Record]:
        """Decide everything that is open; afterwards only :meth:`reset` is legal.

        Returns
        -------
        list of Record

        Raises
        ------
        StateError
            When called twice, or while another thread is inside.
        """
        with self._alone("flush"):
            records = self._take_waiting()
            records += self._decide(self._posteriors.flush())
            records += self._records(self._chain.flush())
            self._finished = True
            return records

    def reset(self) -> None:
        """Become equal to a new stream.

        Raises
        ------
        StateError
            While another thread is inside.
        """
        with self._alone("reset", may_be_finished=True):
            self._posteriors.reset()
            self._chain.reset()
            self._begin()

    @contextmanager
    def _alone(self, verb: str, may_be_finished: bool = False) -> Iterator[None]:
        source = self._settings.source
        with self._one_thread:
            if self._finished and not may_be_finished:
                raise StateError(f"{verb}: expected a stream that was not flushed; reset() {source} first")
            begin = time.perf_counter()
            yield
            self._processing_seconds += time.perf_counter() - begin


def utc(time_origin: datetime | None) -> datetime | None:
    """Return the wall-clock time of sample 0 in UTC; it must say its own time zone."""
    if time_origin is None:
        return None
    require(time_origin.tzinfo is not None, "time_origin", "a time with a time zone", time_origin)
    return time_origin.astimezone(UTC)
