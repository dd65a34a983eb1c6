"""The work of ``streamsed detect``: recordings through a model, several at a time in lanes or in processes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamsed.cli.console import complain

if TYPE_CHECKING:
    from streamsed.cli.interrupts import Interrupts
    from streamsed.cli.progress import Progress
    from streamsed.detector import Detector, PosteriorFrames
    from streamsed.emotion import EmotionDetector
    from streamsed.metrics import ScoreFileWriter
    from streamsed.models import Steps
    from streamsed.respiration import CycleDetector
    from streamsed.sinks import RecordFormat, TextSink
    from streamsed.sound_stream import SoundStream
    from streamsed.types import Record

_READ_SECONDS = 1.0
# Recordings at a time on a GPU, which fewer keep idle.
_GPU_LANES = 64


@dataclass(frozen=True)
class Job:
    """One recording: its path, how records call it, the files for its records (None: stdout) and posteriors."""

    path: str
    source: str
    output: str | None
    posteriors: str | None


@dataclass(frozen=True)
class Settings:
    """How every recording is treated; crosses to worker processes."""

    model: str
    provider: str
    backend: str | None
    task_options: dict[str, Any]
    latency: str
    channel: int | None
    thresholds: float | dict[str, float] | None
    format_name: str
    force: bool
    tags: bool
    events: bool
    tag_thresholds: float | dict[str, float] | None

    def record_format(self) -> RecordFormat:
        """Return a fresh formatter."""
        from streamsed.sinks import make_format

        return make_format(self.format_name, of_tags=self.tags)


def in_lanes(
    jobs: list[Job], settings: Settings, width: int | None, interrupts: Interrupts, progress: Progress
) -> int:
    """Work through the recordings in this process, ``width`` of them at a time; return how many could not be read."""
    from streamsed.models import run_rolling

    failed = 0
    detector = _load(settings)
    width = min(width or (_GPU_LANES if detector.device == "cuda" else 1), len(jobs))
    with contextlib.ExitStack() as stack:
        shared = _shared_sink(jobs, settings)
        if shared is not None:
            stack.callback(shared.close)
        turns = _Turns(shared, len(jobs)) if shared is not None and width > 1 else None

        def lanes() -> Iterator[Steps[str | None]]:
            for number, job in enumerate(jobs):
                if interrupts.requested:
                    return
                if width == 1:
                    progress.begin(job.source)
                sink = shared if turns is None else turns.sink(number)
                advance = progress.advance if width == 1 else _unseen
                yield detect_steps(detector, job, settings, sink, lambda: interrupts.requested, advance)

        for number, error in run_rolling(lanes(), width):
            if isinstance(error, Exception):
                raise error
            if width == 1:
                progress.finish()
            elif not interrupts.requested:
                progress.count(jobs[number].source)
            if turns is not None:
                turns.end(number)
            if error is not None:
                failed += 1
                complain(error)
    return failed


def _unseen(seconds: float, total: float) -> None:
    """Show nothing: of several recordings at a time, the progress is how many are done."""


class _Turns:
    """Lets recordings that are worked through at the same time write one after the other."""

    def __init__(self, sink: TextSink, count: int) -> None:
        self._sink = sink
        self._kept = [_Collected() for _ in range(count)]
        self._ended: set[int] = set()
        self._turn = 0

    def sink(self, number: int) -> _Collected:
        """Return where that recording's records go."""
        return self._kept[number]

    def end(self, number: int) -> None:
        """Write the records of a recording that has ended when all before it have."""
        self._ended.add(number)
        while self._turn in self._ended:
            for record in self._kept[self._turn].records:
                self._sink.write(record)
            self._kept[self._turn].records.clear()
            self._turn += 1


def in_processes(
    jobs: list[Job], settings: Settings, workers: int, interrupts: Interrupts, progress: Progress
) -> int:
    """Work through the recordings in several processes; stdout keeps the order of the recordings."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    failed = 0
    shared = _shared_sink(jobs, settings)
    # Forking a process that has threads (ONNX Runtime's, PortAudio's) may hang.
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    interrupts.on_stop(stop.set)
    with ProcessPoolExecutor(
        min(workers, len(jobs)), context, initializer=_begin_worker, initargs=(settings, stop)
    ) as pool:
        with _signals_withheld():
            # The pool starts its processes with the first job; they inherit what is withheld.
            futures = [pool.submit(_work, job) for job in jobs]
        try:
            for job, future in zip(jobs, futures, strict=True):
                records, error, complete = future.result()
                for record in records:
                    if shared is not None:
                        shared.write(record)
                if complete:
                    progress.count(job.source)
                if error is not None:
                    failed += 1
                    complain(error)
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failed


def detect_steps(
    detector: Detector | CycleDetector | EmotionDetector,
    job: Job,
    settings: Settings,
    shared: TextSink | _Collected | None,
    stopped: Callable[[], bool],
    advance: Callable[[float, float], None],
) -> Steps[str | None]:
    """Detect the events of one recording; return what is wrong with the recording, if anything is.

    What a damaged recording still has is detected, and its records are kept.
    """
    from streamsed.detector import Detector
    from streamsed.errors import ConfigError, FormatError

    table = None
    if job.posteriors is not None and isinstance(detector, Detector):
        table = _PosteriorTable(job.posteriors, detector, settings.force)
    sink = _OwnSink(job, settings) if shared is None else shared
    try:
        yield from _steps(detector, job, settings, table, stopped, advance, sink)
    except FormatError as error:
        return str(error)
    except ConfigError as error:
        # Such as a channel that this recording lacks and the next one may have.
        return f"{job.path}: {error}"
    finally:
        if isinstance(sink, _OwnSink):
            sink.close()
        if table is not None:
            table.close()
    return None


class _OwnSink:
    """The file of one recording, opened when it has turned out to be one, so that nothing is replaced in vain."""

    def __init__(self, job: Job, settings: Settings) -> None:
        self._job = job
        self._settings = settings
        self._sink: TextSink | None = None

    def write(self, record: Record) -> None:
        """Write a record."""
        from streamsed.sinks import open_sink

        if self._sink is None:
            settings = self._settings
            self._sink = open_sink(str(self._job.output), settings.record_format(), settings.force)
        self._sink.write(record)

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._sink is not None:
            self._sink.close()


class _PosteriorTable:
    """The score table of one recording, opened with its first frames and written as they come."""

    def __init__(self, path: str, detector: Detector, force: bool) -> None:
        self._path = path
        self._labels = detector.labels
        self._clock = detector.bundle.clock
        self._force = force
        self._writer: ScoreFileWriter | None = None

    def write(self, frames: PosteriorFrames) -> None:
        """Append posterior frames."""
        from streamsed.metrics import ScoreFileWriter

        if self._writer is None:
            self._writer = ScoreFileWriter(self._path, self._labels, replace=self._force)
        numbers = range(frames.first, frames.first + len(frames) + 1)
        self._writer.write([self._clock.seconds(number) for number in numbers], frames.posteriors)

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._writer is not None:
            self._writer.close()


def _steps(
    detector: Detector | CycleDetector | EmotionDetector,
    job: Job,
    settings: Settings,
    table: _PosteriorTable | None,
    stopped: Callable[[], bool],
    advance: Callable[[float, float], None],
    sink: TextSink | _Collected | _OwnSink,
) -> Steps[None]:
    from streamsed.emotion import EmotionDetector
    from streamsed.errors import FormatError
    from streamsed.picture_feed import video_feed
    from streamsed.recording import block_steps
    from streamsed.respiration import CycleDetector
    from streamsed.sources.video_sound import open_recording
    from streamsed.types import Event, Start, Summary

    def write(records: Iterable[Record]) -> None:
        for record in records:
            if settings.events or not isinstance(record, Event):
                sink.write(record)

    damage: FormatError | None = None
    with (
        contextlib.closing(open_recording(job.path, job.source)) as file,
        video_feed(detector.image_encoder, job.path) as feed,
    ):
        if detector.image_encoder is not None and not feed.has_pictures:
            complain(f"{job.path}: no pictures in it, so {detector.name} has to do with the sound")
        options: dict[str, Any] = {} if table is None else {"on_frames": table.write}
        if settings.tags:
            options |= {"clip_tags": True, "tag_thresholds": settings.tag_thresholds}
        stream: SoundStream[Any] = detector.stream(
            file.sample_rate,
            file.channels,
            source=job.source,
            channel="mix" if settings.channel is None else settings.channel,
            latency=settings.latency,
            thresholds=settings.thresholds,
            # Nobody waits for a whole recording's records: an event is told once, when it is known.
            provisional=False,
            **options,
        )
        sink.write(Start(job.source, detector.name, file.sample_rate, stream.latency.to_dict()))
        step = max(1, round(_READ_SECONDS * file.sample_rate))
        total = file.frames / file.sample_rate
        while not stopped():
            try:
                block = file.read(step)
            except FormatError as error:
                damage = error
                break
            if block is None:
                break
            write((yield from block_steps(stream, block, file.sample_rate, feed)))
            advance(stream.stats.audio_seconds, total)
        write((yield from stream.flush_steps()))
        stats = stream.stats
        sink.write(
            Summary(
                audio_seconds=round(stats.audio_seconds, 6),
                events=stats.events if settings.events else 0,
                dropped_samples=stats.dropped_samples,
                rtf=round(stats.rtf, 6),
                latency_ms={},
                source=job.source,
                cycles=stats.cycles if isinstance(detector, CycleDetector) else None,
                emotions=stats.emotions if isinstance(detector, EmotionDetector) else None,
                respiratory_rate=stats.respiratory_rate,
                pictures=feed.to_dict() if feed.has_pictures else None,
            )
        )
    damage = damage or feed.damage
    if damage is not None:
        raise damage


class _Collected:
    """A sink that keeps the records, to be handed to the process that owns stdout."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def write(self, record: Record) -> None:
        """Keep one record."""
        self.records.append(record)


def _shared_sink(jobs: list[Job], settings: Settings) -> TextSink | None:
    from streamsed.cli.outputs import standard_output

    to_stdout = any(job.output is None for job in jobs)
    return standard_output(settings.record_format()) if to_stdout else None


def _load(settings: Settings) -> Detector | CycleDetector | EmotionDetector:
    from streamsed.detector import load

    return load(
        settings.model,
        provider=settings.provider,  # type: ignore[arg-type]
        backend=settings.backend,  # type: ignore[arg-type]
        **settings.task_options,
    )


@contextlib.contextmanager
def _signals_withheld() -> Iterator[None]:
    """Let processes start that Ctrl-C does not reach from their very beginning: it goes to the whole group.

    What a signal means is for the parent to decide, which gets it when this is left.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# What a worker process has: set once when it begins.
_worker: dict[str, Any] = {}


def _begin_worker(settings: Settings, stop: Any) -> None:
    import multiprocessing
    import multiprocessing.connection

    def end_with_parent() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            multiprocessing.connection.wait([parent.sentinel])
            os._exit(1)

    # After a second Ctrl-C nobody tells the workers that there is no more work.
    threading.Thread(target=end_with_parent, daemon=True).start()
    sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - stdout is the parent's
    _worker.update(settings=settings, stop=stop, detector=_load(settings))


def _work(job: Job) -> tuple[list[Record], str | None, bool]:
    """Detect in a worker: the records if stdout wants them, what is wrong, whether it came to the end."""
    from streamsed.models import run_alone

    stop = _worker["stop"]
    if stop.is_set():
        return [], None, False
    collected = _Collected() if job.output is None else None
    steps = detect_steps(_worker["detector"], job, _worker["settings"], collected, stop.is_set, _unseen)
    error = run_alone(steps)
    return ([] if collected is None else collected.records), error, not stop.is_set()
