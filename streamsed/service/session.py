"""One listening session: source, detectors, worker thread, dispatcher, and how all of it ends."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamsed.config import latency_profile
from streamsed.cycle_stream import CycleStream
from streamsed.emotion_stream import EmotionStream
from streamsed.errors import DeviceLost, Overload, StateError
from streamsed.health import SIGNAL_CONDITIONS
from streamsed.models import Steps, run_alone
from streamsed.service.batcher import MicroBatcher
from streamsed.service.delays import DelayStatistics
from streamsed.service.dispatcher import (
    CycleCallback,
    Dispatcher,
    EventCallback,
    RecordCallback,
)
from streamsed.service.listening import Listening
from streamsed.service.members import MemberPolicy, change_of_members
from streamsed.service.pictures import FilePictures, LivePictures, Push, session_pictures
from streamsed.service.readers import BlockingReader, LiveReader, MicrophoneReader, Reader
from streamsed.service.settings import SessionSettings
from streamsed.service.snippets import SnippetWriter
from streamsed.service.stats import SessionState, SessionStats
from streamsed.sound_stream import SoundModel, SoundStream, utc_text
from streamsed.sources.base import Source
from streamsed.sources.microphone import Microphone
from streamsed.types import Cycle, Event, Gap, Health, Record, Start, Status, StatusState, Summary

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
# At most so much is processed at a time when the worker has to catch up.
_CATCH_UP_SECONDS = 0.5
_FILE_BLOCK_SECONDS = 0.5
# A hole is told to the detectors this much short of its length while it still grows.
_HOLE_MARGIN_SECONDS = 0.3


class Session(Listening):
    """A running ``listen``: context manager, iterator and asynchronous iterator of records. Made by
    ``listen``.

    Attributes
    ----------
    detectors : tuple of Detector or CycleDetector
    source : Source
    source_name : str
        As the records call it.
    summary : Summary or None
        The last record, once there is one.
    error : Exception or None
        What ended the session, if not its own end; iterating, :meth:`run` and leaving the context raise it.
    """

    def __init__(
        self,
        source: Source,
        detectors: Sequence[SoundModel],
        settings: SessionSettings,
        on_event: EventCallback | None,
        on_record: RecordCallback | None,
        on_cycle: CycleCallback | None = None,
        batcher: MicroBatcher | None = None,
    ) -> None:
        super().__init__()
        self.source = source
        self.detectors = tuple(detectors)
        self.source_name = settings.source_name
        self.summary: Summary | None = None
        self._settings = settings
        self._batcher = batcher
        self._profile = latency_profile(settings.latency)
        settings.check(self.detectors)
        self._dispatcher = Dispatcher(
            on_record, on_event, self._queue, on_cycle=on_cycle, extra=self._to_snippets
        )
        self._snippets: SnippetWriter | None = None
        self._worker = threading.Thread(target=self._work, name="streamsed worker", daemon=True)
        self._guard = threading.Lock()
        self._state: SessionState = "new"
        self._stop_asked = False
        self._reader: Reader | None = None
        self._streams: tuple[SoundStream[Any], ...] = ()
        self._pictures: FilePictures | LivePictures | None = None
        self._pushes: list[Push | None] = []
        self._policies = [MemberPolicy(detector.member_count) for detector in self.detectors]
        self._delays = DelayStatistics()
        self._rms = self._peak = 0.0
        self._events = 0
        self._dropped = 0
        self._position = 0  # of the source, lost samples counted
        self._since_hole = 0  # samples taken since the last hole, which is where the streams' steps begin
        self._hole_told = 0  # samples of a hole that still grows, which the streams know of
        self._start_told = False
        self._early: list[Record] = []  # status records from before the start record

    # ---- life
    # -------------------------------------------------------------------------------------------------

    def start(self) -> Session:
        """Open the source and begin in the background; does nothing the second time.

        Raises
        ------
        DeviceNotFound, FormatError
            If the source cannot be opened.
        StateError
            After the end.
        """
        if self.open():
            self.begin()
        return self

    def open(self) -> bool:
        """Open the source and no more; False if that was done before. See :meth:`start`."""
        with self._guard:
            if self._state == "stopped":
                raise StateError("start: expected a new session, got one that has ended")
            if self._state != "new":
                return False
            self._state = "starting"
        try:
            settings = self._settings
            encoders = [detector.image_encoder for detector in self.detectors]
            self._pictures = session_pictures(
                settings.video, encoders, self._tell_detail, is_live=self._is_live
            )
            self._reader = self._open()
            if settings.save_audio is not None:
                self._snippets = SnippetWriter(
                    settings.save_audio, self.source.sample_rate, self.source.channels, settings.pre_roll
                )
        except BaseException:
            self._abandon()
            raise
        return True

    def begin(self) -> None:
        """Begin in the background, once open; see :meth:`start`."""
        if self._state == "stopped":
            self._abandon()
            raise StateError("start: expected a session that goes on, got one that was closed meanwhile")
        self._dispatcher.start()
        self._worker.start()
        if self._pictures is not None:
            self._pictures.start(self._sound_seconds)

    def _abandon(self) -> None:
        """End what has not begun."""
        self._state = "stopped"
        self._queue.close()
        if self._reader is not None:
            self._reader.close()
        if self._pictures is not None:
            self._pictures.close()

    def _open(self) -> Reader:
        source = self.source
        if isinstance(source, Microphone):
            source.on_status = self._on_status
            return MicrophoneReader(source)
        source.open()
        if source.live or self._settings.realtime:
            step = max(1, round(self._profile.chunk_seconds * source.sample_rate))
            return LiveReader(source, step, paced=self._settings.realtime)
        return BlockingReader(source, max(1, round(_FILE_BLOCK_SECONDS * source.sample_rate)))

    def stop(self) -> None:
        """Ask for the end and return at once; for signal handlers and any thread.

        Open events are closed, the summary is the last record.
        """
        self._stop_asked = True  # a plain assignment: an Event's lock could be held by the interrupted code

    def close(self) -> None:
        """Ask for the end and wait for it; the records left can still be iterated over."""
        self.stop()
        with self._guard:
            started = self._state != "new" and self._worker.ident is not None
            if not started:
                self._state = "stopped"
        if not started:
            self._abandon()
        if not started or threading.current_thread() is self._worker:
            return
        self._queue.let_producer_pass()
        self._dispatcher.let_producer_pass()
        while self._worker.is_alive():
            self._worker.join(0.2)
        self._dispatcher.close()

    def run(self) -> Summary | None:
        """Listen until the end, records going to the callbacks, and return the summary.

        Raises
        ------
        DeviceLost, Overload, FormatError
            What ended the session.
        """
        for _ in self:
            pass
        return self.summary

    def wait(self) -> None:
        """Wait until all that was started has ended, without asking for it."""
        if self._worker.ident is not None and threading.current_thread() is not self._worker:
            self._worker.join()
            self._dispatcher.close()

    @property
    def _is_new(self) -> bool:
        return self._state == "new"

    # ---- what is going on
    # -------------------------------------------------------------------------------------

    @property
    def sample_rate(self) -> int:
        """Rate of the source in Hz; known once it is open."""
        return self.source.sample_rate

    @property
    def lacks_pictures(self) -> bool:
        """Whether a model takes pictures and the source has none; known once it is open."""
        return self._pictures is None and any(
            detector.image_encoder is not None for detector in self.detectors
        )

    @property
    def latency(self) -> dict[str, float]:
        """Algorithmic delay in seconds, ``provisional`` and ``final``: that of the slowest detector."""
        name, rate = self._profile.name, self.sample_rate or None
        budgets = [detector.latency(name, rate) for detector in self.detectors]
        return {
            stage: max(budget.to_dict()[stage] for budget in budgets) for stage in ("provisional", "final")
        }

    @property
    def stats(self) -> SessionStats:
        """How the session is doing; may be read from any thread."""
        rate = self.sample_rate or 1
        taken = (self._position - self._dropped) / rate
        spent = sum(stream.stats.processing_seconds for stream in self._streams)
        microphone = self.source if isinstance(self.source, Microphone) else None
        speaking = [stream.stats for stream in self._streams if isinstance(stream, EmotionStream)]
        breathing = [stream.stats for stream in self._streams if isinstance(stream, CycleStream)]
        return SessionStats(
            state=self._state,
            audio_seconds=self._position / rate,
            events=self._events,
            dropped_samples=self._dropped,
            rtf=spent / taken if taken else 0.0,
            latency_ms=self._delays.to_milliseconds(),
            level_db=_decibels(self._rms),
            peak_db=_decibels(self._peak),
            callback_errors=self._dispatcher.callback_errors,
            overflow_flags=microphone.overflow_flags if microphone else 0,
            reopened=microphone.reopened if microphone else 0,
            members_skipped=max(
                (stream.member_count - stream.members for stream in self._streams), default=0
            ),
            members_skipped_seconds=max(
                (stream.stats.members_skipped_seconds for stream in self._streams), default=0.0
            ),
            cycles=sum(stats.cycles for stats in breathing) if breathing else None,
            respiratory_rate=next((stats.respiratory_rate for stats in breathing), None),
            emotions=sum(stats.emotions for stats in speaking) if speaking else None,
            pictures=None if self._pictures is None else self._pictures.stats,
            has_picture=next(
                (stream.has_picture for stream in self._streams if stream.has_picture is not None), None
            ),
        )

    # ---- records
    # ----------------------------------------------------------------------------------------------

    def _emit(self, record: Record, *, wait: bool = True) -> None:
        self._dispatcher.put(record, wait=wait)

    def _to_snippets(self, item: Any) -> None:
        """Run by the dispatcher, as writing to a disk may take its time."""
        if self._snippets is None:
            return
        if item is None:
            self._snippets.close()
        elif isinstance(item, tuple):
            self._snippets.add(*item)
        else:
            self._snippets.record(item)

    def _on_status(self, state: StatusState, detail: str) -> None:
        """Take a status from the microphone's supervisor."""
        with self._guard:
            if self._state == "stopped":
                return
            self._state = state
            record = Status(state, detail, self.source_name)
            if not self._start_told:
                self._early.append(record)
                return
        # The supervisor must not wait for slow callbacks.
        self._emit(record, wait=False)

    def _tell_detail(self, detail: str) -> None:
        """Tell what does not change the state of the source; called by any thread."""
        with self._guard:
            record = Status("listening", detail, self.source_name)
            if not self._start_told:
                self._early.append(record)
                return
        self._emit(record, wait=False)

    def _sound_seconds(self, moment: float) -> float | None:
        """Return the time of the sound at a moment of the monotonic clock; None before there is any sound."""
        if self._reader is None or not self._streams:
            return None
        return moment - self._reader.arrival_seconds(0)

    def _tell_start(self, origin: datetime | None) -> None:
        with self._guard:
            if self._start_told:
                return
            self._emit(
                Start(
                    source=self.source_name,
                    model="+".join(detector.name for detector in self.detectors),
                    sample_rate=self.sample_rate,
                    latency_seconds=self.latency,
                    time_utc=utc_text(origin),
                ),
                wait=False,
            )
            for record in self._early:
                self._emit(record, wait=False)
            self._early.clear()
            self._start_told = True

    # ---- worker
    # -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            self._listen()
        except (EOFError, DeviceLost) as error:
            self._end_hole()
            self.error = error if isinstance(error, DeviceLost) else None
        except Exception as error:
            self.error = error
        try:
            self._finish()
        except Exception as error:
            _log.exception("ending the session failed")
            self.error = self.error or error
        finally:
            self._state = "stopped"
            self._dispatcher.end()

    def _listen(self) -> None:
        """Process sound until the end; EOFError says that there is no more."""
        assert self._reader is not None
        rate = self.sample_rate
        limit = None if self._settings.duration is None else round(self._settings.duration * rate)
        step = max(1, round(self._profile.chunk_seconds * rate))
        most = max(step, round(_CATCH_UP_SECONDS * rate))
        while not self._stop_asked:
            wanted = step - self._since_hole % step
            block = self._reader.poll(most, _POLL_SECONDS, wanted)
            if block is None:
                self._wait_for_device()
                continue
            if not self._streams:
                self._begin_streams(block.start_position)
            if block.missing_frames_before:
                self._hole(block.missing_frames_before, block.missing_cause)
            samples = block.samples
            if limit is not None and self._position + len(samples) > limit:
                samples = samples[: max(0, limit - self._position)]
            self._process(samples)
            if limit is not None and self._position >= limit:
                return

    def _begin_streams(self, position: int) -> None:
        """Make the streams when the first sound is there: only then is the beginning of the clock known."""
        assert self._reader is not None
        age = time.monotonic() - self._reader.arrival_seconds(position)
        origin = datetime.now(UTC) - timedelta(seconds=age) if self._is_live else None
        settings = self._settings
        several = len(self.detectors) > 1
        self._streams = tuple(
            detector.stream(
                self.sample_rate,
                self.source.channels,
                channel=settings.channel,
                source=self.source_name,
                latency=settings.latency,
                thresholds=settings.thresholds_of(detector, self.detectors),
                top_k=settings.top_k_of(detector, self.detectors),
                time_origin=origin,
                event_id_prefix=f"{self.source_name}-{detector.name}" if several else None,
            )
            for detector in self.detectors
        )
        self._pushes = [
            None if stream.image_encoder is None else stream.picture_embedding for stream in self._streams
        ]
        if not isinstance(self.source, Microphone):
            self._on_status("listening", self.source.name)
        self._tell_start(origin)

    @property
    def _is_live(self) -> bool:
        return self.source.live or self._settings.realtime

    def _process(self, samples: NDArray[np.float32]) -> None:
        if not len(samples):
            return
        assert self._reader is not None
        if self._snippets is not None:
            self._dispatcher.put((self._position, samples))
        begin = self._position
        self._position += len(samples)
        self._since_hole += len(samples)
        if self._pictures is not None:
            rate = self.sample_rate
            self._pictures.give(self._pushes, begin / rate, self._position / rate)
        self._rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float32))))
        self._peak = float(np.abs(samples).max())
        for number, stream in enumerate(self._streams):
            self._pass_on(self._drive(stream.process_steps(samples)), number)
        late = time.monotonic() - self._reader.arrival_seconds(self._position)
        self._delays.add(late)
        if self._is_live and not self._settings.strict_realtime:
            self._choose_members(late)

    def _drive(self, steps: Steps[list[Record]]) -> list[Record]:
        """Run steps of a stream, networks alone or with other sessions."""
        return run_alone(steps) if self._batcher is None else self._batcher.run(steps)

    def _choose_members(self, late_seconds: float) -> None:
        """Leave members of ensembles out while processing is behind, which costs less than losing sound."""
        position_seconds = self._position / self.sample_rate
        for detector, stream, policy in zip(self.detectors, self._streams, self._policies, strict=True):
            detail = change_of_members(stream, policy, late_seconds, position_seconds, detector.name)
            if detail is not None:
                self._emit(Status("listening", detail, self.source_name))

    def _pass_on(self, records: Sequence[Record], number: int) -> None:
        """Emit records of stream ``number``; what concerns the source comes from the first one only."""
        for record in records:
            if isinstance(record, Event):
                self._events += 1
            if isinstance(record, (Event, Cycle)) and record.label == self._settings.once:
                self._stop_asked = True
            if number == 0 or not _is_of_the_source(record):
                self._emit(record)

    # ---- holes
    # ------------------------------------------------------------------------------------------------

    def _wait_for_device(self) -> None:
        """While a device is away, tell the detectors how long already, so that open events end now."""
        if not isinstance(self.source, Microphone) or self._state not in ("recovering", "stalled"):
            return
        if not self._start_told:
            self._tell_start(None)
        if self._streams and self._state == "recovering" and self.source.is_drained:
            self._grow_hole()

    def _grow_hole(self) -> None:
        assert self._reader is not None
        away = time.monotonic() - self._reader.arrival_seconds(self._position) - _HOLE_MARGIN_SECONDS
        missing = round(away * self.sample_rate) - self._hole_told
        # Twice a second is enough: each time the decoder decides what has become too old.
        if missing < self.sample_rate // 2:
            return
        self._hole_told += missing
        for number, stream in enumerate(self._streams):
            records = self._drive(stream.gap_steps(missing, "device"))
            self._pass_on([record for record in records if not isinstance(record, Gap)], number)

    def _hole(self, missing: int, cause: Any) -> None:
        """Account for a hole that is over: one gap record, however often it was told to the detectors."""
        told, self._hole_told = min(self._hole_told, missing), 0
        begin = self._position
        for number, stream in enumerate(self._streams):
            records = self._drive(stream.gap_steps(missing - told, cause))
            if told == missing:
                records = [Gap(begin, missing, cause, self.source_name), *records]
            self._pass_on(
                [
                    replace(record, start_sample=begin, missing_samples=missing)
                    if isinstance(record, Gap)
                    else record
                    for record in records
                ],
                number,
            )
        self._position += missing
        self._dropped += missing
        self._since_hole = 0
        if cause == "overload" and self._settings.strict_realtime:
            raise Overload(
                f"strict_realtime: processing fell behind the sound, {missing} samples "
                f"({missing / self.sample_rate:.2f} s) were dropped at {begin / self.sample_rate:.2f} s"
            )

    def _end_hole(self) -> None:
        """Account for the time for which a lost device was away."""
        if self._streams and self._state in ("recovering", "stalled"):
            assert self._reader is not None
            away = time.monotonic() - self._reader.arrival_seconds(self._position)
            self._hole(max(1, self._hole_told, round(away * self.sample_rate)), "device")

    # ---- the end
    # ----------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        assert self._reader is not None
        self._reader.close()
        if self._pictures is not None:
            self._pictures.close()
            self.error = self.error or self._pictures.error()
        self._tell_start(None)
        if self._stop_asked and self._hole_told:
            self._end_hole()
        for number, stream in enumerate(self._streams):
            self._pass_on(self._drive(stream.flush_steps()), number)
        stats = self.stats
        self._emit(Status("stopped", "" if self.error is None else str(self.error), self.source_name))
        self.summary = stats.summary(self.source_name)
        self._emit(self.summary)


def _is_of_the_source(record: Record) -> bool:
    """Say whether every stream that hears the source gives the same record."""
    if isinstance(record, Health):
        return record.condition in SIGNAL_CONDITIONS
    return isinstance(record, Gap)


def _decibels(value: float) -> float:
    return float(20.0 * np.log10(max(value, 1e-6)))
