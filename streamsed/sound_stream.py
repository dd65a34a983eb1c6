"""The input side of every stream: steps, rates, channels, health, holes and who may touch it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from streamsed.config import LatencyChoice, LatencyProfile, require
from streamsed.errors import ConfigError, StateError
from streamsed.health import SignalMonitor
from streamsed.latency import StreamLatency
from streamsed.models import Steps, run_alone
from streamsed.ownership import OneThread
from streamsed.side_encoders import ImageEncoder
from streamsed.sources.resample import Resampler
from streamsed.sources.samples import ChannelSelection, as_samples, check_selection, mix_down
from streamsed.tagging import strongest
from streamsed.types import Gap, GapCause, Record, Tags

Floats = npt.NDArray[np.float32]
Latency = TypeVar("Latency", bound=StreamLatency)

# Tags records at least this far apart: more often is more than a reader or a screen can use.
TAGS_SECONDS = 0.1


def _hears_alone(verb: str) -> ConfigError:
    return ConfigError(f"{verb}: expected a model that takes pictures, got one that hears alone")


@dataclass(frozen=True)
class StreamSettings:
    """What the caller of ``stream`` chose, whatever the task."""

    sample_rate: int | None
    channels: int | None
    channel: ChannelSelection
    source: str
    id_prefix: str
    top_k: int
    provisional: bool
    time_origin: datetime | None


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
        Finished events, and how many announcements, of events or cycles, there were and came to nothing.
    dropped_samples : int
        Lost samples, by :meth:`SoundStream.gap`.
    non_finite_samples : int
        NaN and Inf, which were replaced by 0.
    members_skipped_seconds : float
        Audio that was analysed by fewer members than the ensemble has.
    cycles : int
        Finished respiratory cycles.
    respiratory_rate : float or None
        Breaths per minute just now; None before it is known, or where nobody counts them.
    emotions : int
        Emotion records.
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
    cycles: int = 0
    respiratory_rate: float | None = None
    emotions: int = 0


@dataclass(frozen=True)
class Counts:
    """What a task counts, as :class:`StreamStats` has it."""

    events: int = 0
    onsets: int = 0
    retracts: int = 0
    members_skipped_seconds: float = 0.0
    cycles: int = 0
    respiratory_rate: float | None = None
    emotions: int = 0


class SoundStream(ABC, Generic[Latency]):
    """State of one stream: chunks in, records out. One owner: a second thread gets StateError.

    The signal is handled in steps of a fixed size (``chunk_seconds`` of the latency profile), whatever the
    chunks are, so that records do not depend on them.

    Parameters
    ----------
    settings : StreamSettings
    labels : tuple of str
    model_rate : int
        That the analysis wants, in Hz.
    frame_samples : int
        Samples, at that rate, of a posterior frame: after a hole the analysis goes on at a whole one.
    profile : LatencyProfile
    budget : StreamLatency
        For input at the model's rate.
    member_count : int

    Attributes
    ----------
    labels : tuple of str
    member_count : int
        How many networks the model has.
    image_encoder : ImageEncoder or None
        Of a model that takes pictures.
    """

    image_encoder: ImageEncoder | None = None

    def __init__(
        self,
        settings: StreamSettings,
        labels: tuple[str, ...],
        model_rate: int,
        frame_samples: int,
        profile: LatencyProfile,
        budget: Latency,
        member_count: int,
    ) -> None:
        self.labels = labels
        self.member_count = member_count
        self._settings = settings
        self._model_rate = model_rate
        self._frame_samples = frame_samples
        self._profile = profile
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
        if settings.sample_rate is not None:
            self._set_rate(settings.sample_rate)
        if settings.channels is not None:
            self._set_channels(settings.channels)

    # ---- what a task does with the sound
    # ---------------------------------------------------------------------------------------------

    @abstractmethod
    def _analyse(self, mono: Floats) -> Steps[list[Record]]:
        """Take sound at the model's rate, shape (n,); ``_position`` is that of the input's end."""

    @abstractmethod
    def _end_piece(self) -> Steps[list[Record]]:
        """Return what is due before a hole."""

    @abstractmethod
    def _go_on(self, frame: int) -> list[Record]:
        """Go on after a hole with the first sample of posterior frame ``frame``."""

    @abstractmethod
    def _end(self) -> Steps[list[Record]]:
        """Return what is due at the end."""

    @abstractmethod
    def _reset(self) -> None:
        """Become equal to a new object."""

    @abstractmethod
    def _counts(self) -> Counts:
        """Count; may be called from any thread."""

    @property
    def has_picture(self) -> bool | None:
        """Whether there is a picture now, of a model that takes them; otherwise None."""
        return None

    def _push_picture(self, features: Floats, time_seconds: float) -> None:
        """Take the embedding of a picture; a model that hears alone has no use for it."""
        raise _hears_alone("picture")

    @property
    @abstractmethod
    def members(self) -> int:
        """How many networks take part; see :meth:`set_members`."""

    @abstractmethod
    def _set_members(self, count: int) -> None:
        """Let so many members take part."""

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
    def step_samples(self) -> int:
        """Samples of the input, at its rate once that is known, that are processed at a time."""
        return self._step if self._rate else max(1, round(self._profile.chunk_seconds * self._model_rate))

    @property
    def latency(self) -> Latency:
        """The algorithmic delay, stage by stage, for the rate of the input, once it is known."""
        if self._rate == 0:
            return self._budget
        return self._budget.with_resampling(self._resampler.latency_samples / self._rate)

    @property
    def stats(self) -> StreamStats:
        """How the stream is doing; may be read from any thread."""
        rate = self._rate or self._model_rate
        taken_seconds = self._taken / rate
        counts = self._counts()
        return StreamStats(
            audio_seconds=self._position / rate,
            processing_seconds=self._processing_seconds,
            rtf=self._processing_seconds / taken_seconds if taken_seconds else 0.0,
            events=counts.events,
            onsets=counts.onsets,
            retracts=counts.retracts,
            dropped_samples=self._dropped,
            non_finite_samples=self._monitor.non_finite_samples if self._rate else 0,
            members_skipped_seconds=counts.members_skipped_seconds,
            cycles=counts.cycles,
            respiratory_rate=counts.respiratory_rate,
            emotions=counts.emotions,
        )

    def set_members(self, count: int) -> None:
        """Let only so many networks of an ensemble take part from the next step on, to save time.

        Those with the largest weights stay, the first ones among equals. A network that hears the stream itself has no
        say, when it comes back, before it has heard :func:`~streamsed.models.warm_up_frames` frames. Records and
        :attr:`stats` say where some were left out.

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
            self._set_members(count)

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
            In the order in which they were decided.

        Raises
        ------
        ConfigError
            A chunk of another type or shape; a rate or a number of channels that differs from before.
        StateError
            After ``flush``, or while another thread is inside.
        """
        return run_alone(self.process_steps(chunk, sample_rate))

    def process_steps(self, chunk: npt.ArrayLike, sample_rate: int | None = None) -> Steps[list[Record]]:
        """As :meth:`process`, for :func:`~streamsed.models.run_together`: no other call before its end."""
        return self._accounted("process", self._process(chunk, sample_rate))

    def _process(self, chunk: npt.ArrayLike, sample_rate: int | None) -> Steps[list[Record]]:
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
            records += yield from self._take(samples[begin : begin + step])
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

    def _take(self, samples: Floats) -> Steps[list[Record]]:
        """Process one step, shape (n, channels); n > 0."""
        sound, health = self._monitor.process(samples, self._position)
        self._position += len(samples)
        self._taken += len(samples)
        mono = self._resampler.process(mix_down(sound, self._settings.channel))
        records = yield from self._analyse(mono)
        return [*health, *records] if health else records

    def _take_waiting(self) -> Steps[list[Record]]:
        """Process what does not fill a step, before a gap or at the end, and what the stages hold back."""
        if self._rate == 0:
            return []
        records: list[Record] = (yield from self._take(self._waiting)) if len(self._waiting) else []
        self._waiting = self._waiting[:0]
        return records + (yield from self._analyse(self._resampler.flush()))

    def _tags(self, labels: tuple[str, ...], posteriors: Floats, frames: int) -> list[Tags]:
        """Return the strongest of ``posteriors``, shape (K,), those of the newest of so many frames, if it is time."""
        seconds = frames * self._frame_samples / self._model_rate
        if not self._settings.top_k or seconds < self._next_tags_seconds:
            return []
        self._next_tags_seconds = seconds + TAGS_SECONDS
        best = strongest(labels, posteriors, self._settings.top_k)
        return [Tags(round(seconds, 4), best, self._settings.source)]

    @property
    def _emitted_seconds(self) -> float:
        return round(self._position / self._rate, 6)

    def _time_utc(self, seconds: float) -> str | None:
        """Wall-clock time of a moment of the stream, if that of its beginning is known."""
        if self._settings.time_origin is None:
            return None
        return utc_text(self._settings.time_origin + timedelta(seconds=seconds))

    def picture(self, image: npt.ArrayLike, time_seconds: float) -> None:
        """Take a picture; it counts for the sound that is processed from now on, for ``max_age_seconds`` of the model.

        To be given before the sound of its time, so that results do not depend on how the sound is cut, and in the
        order of time. More than ``image_encoder.rate_hz`` a second are not needed.

        Parameters
        ----------
        image : array_like, shape (height, width, 3), uint8
            RGB, upright, of any size.
        time_seconds : float
            When it was there, in seconds of the sound since the stream began, gaps counted.

        Raises
        ------
        ConfigError
            If the model takes no pictures; another type or shape; a time before that of an earlier picture.
        StateError
            After ``flush``, while another thread is inside, or with thousands of pictures ahead of the sound.
        """
        with self._alone("picture"):
            self._push_picture(self._needed_encoder("picture")(image), time_seconds)

    def picture_embedding(self, features: npt.ArrayLike, time_seconds: float) -> None:
        """Take what :attr:`image_encoder` made of a picture, shape (D,); otherwise as :meth:`picture`."""
        with self._alone("picture_embedding"):
            self._needed_encoder("picture_embedding")
            self._push_picture(np.asarray(features, np.float32), time_seconds)

    def _needed_encoder(self, verb: str) -> ImageEncoder:
        if self.image_encoder is None:
            raise _hears_alone(verb)
        return self.image_encoder

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
            What was still to be decided, the Gap, and what it ends.

        Raises
        ------
        ConfigError
            A negative number, or another cause.
        StateError
            After ``flush``, or while another thread is inside.
        """
        return run_alone(self.gap_steps(missing_samples, cause))

    def gap_steps(self, missing_samples: int, cause: GapCause) -> Steps[list[Record]]:
        """As :meth:`gap`, for :func:`~streamsed.models.run_together`: no other call before its end."""
        require(missing_samples >= 0, "missing_samples", ">= 0", missing_samples)
        require(cause in ("overflow", "device", "overload"), "cause", "overflow, device or overload", cause)
        return self._accounted("gap", self._gap(missing_samples, cause))

    def _gap(self, missing_samples: int, cause: GapCause) -> Steps[list[Record]]:
        if missing_samples == 0:
            return []
        self._check_rate(None)
        records = yield from self._take_waiting()
        records += yield from self._end_piece()
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
        return self._go_on(frame)

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
        return run_alone(self.flush_steps())

    def flush_steps(self) -> Steps[list[Record]]:
        """As :meth:`flush`, for :func:`~streamsed.models.run_together`: no other call before its end."""
        return self._accounted("flush", self._flush())

    def _flush(self) -> Steps[list[Record]]:
        records = yield from self._take_waiting()
        records += yield from self._end()
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
            self._reset()
            self._begin()

    @contextmanager
    def _alone(self, verb: str, may_be_finished: bool = False) -> Iterator[None]:
        with self._one_thread:
            if not may_be_finished:
                self._check_open(verb)
            begin = time.perf_counter()
            yield
            self._processing_seconds += time.perf_counter() - begin

    def _check_open(self, verb: str) -> None:
        if self._finished:
            source = self._settings.source
            raise StateError(f"{verb}: expected a stream that was not flushed; reset() {source} first")

    def _accounted(self, verb: str, steps: Steps[list[Record]]) -> Steps[list[Record]]:
        """Run ``steps`` with nobody else inside, and count its own time and its share of what the networks took."""
        with self._one_thread:
            self._check_open(verb)
            begin = time.perf_counter()
            try:
                calls = next(steps)
                while True:
                    self._processing_seconds += time.perf_counter() - begin
                    try:
                        answers = yield calls
                    except Exception as error:
                        begin = time.perf_counter()
                        calls = steps.throw(error)
                        continue
                    begin = time.perf_counter() - sum([answer.seconds for answer in answers])
                    calls = steps.send(answers)
            except StopIteration as end:
                self._processing_seconds += time.perf_counter() - begin
                records: list[Record] = end.value
                return records


def utc(time_origin: datetime | None) -> datetime | None:
    """Return the wall-clock time of sample 0 in UTC; it must say its own time zone."""
    if time_origin is None:
        return None
    require(time_origin.tzinfo is not None, "time_origin", "a time with a time zone", time_origin)
    return time_origin.astimezone(UTC)


def utc_text(moment: datetime | None) -> str | None:
    """Write a time in UTC as records have it."""
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class SoundModel(Protocol):
    """What detectors of every task offer to those who only pass sound and records on.

    Attributes
    ----------
    name : str
    labels : tuple of str
    sample_rate : int
        Of the model, in Hz.
    member_count : int
        Networks of the ensemble.
    tag_count : int
        Classes that Tags records can have.
    image_encoder : ImageEncoder or None
        Of a model that takes pictures.
    """

    name: str
    labels: tuple[str, ...]
    sample_rate: int
    member_count: int
    tag_count: int
    image_encoder: ImageEncoder | None

    def stream(
        self,
        sample_rate: int | None = None,
        channels: int | None = None,
        *,
        channel: ChannelSelection = "mix",
        source: str = "stream0",
        latency: LatencyChoice = "balanced",
        thresholds: float | Mapping[str, float] | None = None,
        top_k: int = 0,
        provisional: bool = True,
        time_origin: datetime | None = None,
        event_id_prefix: str | None = None,
    ) -> SoundStream[Any]:
        """Begin a stream; see :meth:`streamsed.Detector.stream`."""

    def latency(self, profile: LatencyChoice = "balanced", sample_rate: int | None = None) -> StreamLatency:
        """Return the algorithmic delay of a stream; see :meth:`streamsed.Detector.latency`."""
