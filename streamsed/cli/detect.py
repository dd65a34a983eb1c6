"""``streamsed detect``: whole recordings, as fast as they compute."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamsed.cli.console import INPUT, complain
from streamsed.cli.interrupts import Interrupts
from streamsed.cli.parser import (
    FORMAT_NAMES,
    add_channel_option,
    add_command,
    add_model_options,
    count,
    threshold,
)

if TYPE_CHECKING:
    from argparse import Namespace

    from streamsed.cli.progress import Progress
    from streamsed.detector import Detector, PosteriorFrames
    from streamsed.emotion import EmotionDetector
    from streamsed.metrics import ScoreFileWriter
    from streamsed.respiration import CycleDetector
    from streamsed.sinks import RecordFormat, TextSink
    from streamsed.sound_stream import SoundStream
    from streamsed.types import Record

_DESCRIPTION = """\
Detect the events, respiratory cycles or emotion of whole recordings of any length and any format that libsndfile
reads, and of videos (with the extra video), whose pictures a model that takes them sees. Folders are searched
for recordings. --tags says which sounds there are in each recording instead, whenever they sound.
Without -o the records go to stdout, otherwise into one file per
recording. A recording that cannot be read is named and does not stop the others; the exit code is 6 then.
"""

_READ_SECONDS = 1.0


def add_to(subparsers: Any) -> None:
    """Add the command."""
    parser = add_command(
        subparsers, "detect", "detect the events of whole recordings", run, description=_DESCRIPTION
    )
    parser.add_argument("recordings", nargs="+", metavar="FILE|FOLDER")
    parser.add_argument("-o", "--output", metavar="DIR", help="write DIR/<name>.<extension of the format>")
    parser.add_argument("--format", choices=FORMAT_NAMES, default="jsonl", help="(default: jsonl)")
    parser.add_argument(
        "--posteriors",
        metavar="DIR",
        help="write DIR/<name>.tsv, the posteriors of every frame, for evaluate --posteriors",
    )
    parser.add_argument(
        "--tags",
        action="store_true",
        help="which sounds there are in each recording, one record (jsonl, text; tsv: filename event_labels)",
    )
    parser.add_argument(
        "--events", action="store_true", help="with --tags: the events too (formats jsonl, text)"
    )
    parser.add_argument(
        "--tag-threshold",
        action="append",
        default=[],
        type=threshold,
        metavar="T|LABEL=T",
        help="with --tags: threshold of all labels or of one; may be repeated",
    )
    parser.add_argument("--force", action="store_true", help="replace existing output files")
    parser.add_argument(
        "-j", "--jobs", type=count, default=1, metavar="N", help="recordings at a time (default: 1)"
    )
    add_channel_option(parser)
    # Nobody waits for the single record of a file: what waiting can improve, it shall.
    add_model_options(parser, latency="high")


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


def run(arguments: Namespace) -> int:
    """Detect."""
    with Interrupts() as interrupts:
        from streamsed.bundle import Bundle
        from streamsed.cli.model_choice import (
            DEFAULT_MODEL,
            check_task_options,
            chosen_bundle,
            task_options,
            thresholds,
        )
        from streamsed.cli.progress import Progress
        from streamsed.config import require
        from streamsed.sinks import make_format

        names = arguments.model or [DEFAULT_MODEL]
        require(len(names) == 1, "--model", "one model", names)
        found, missing = find_recordings(arguments.recordings)
        tags = arguments.tags
        record_format = make_format(arguments.format, of_tags=tags)
        with_both = tags and arguments.events
        expected = "jsonl or text for tags and events together"
        require(not with_both or arguments.format != "tsv", "--format", expected, arguments.format)
        extension = record_format.extension
        jobs = plan(found, arguments.output, extension, arguments.posteriors, arguments.force)
        alone = arguments.output or len(jobs) <= 1 or record_format.names_source
        require(
            bool(alone),
            "--format",
            "-o DIR for this format, which has no place for the recording's name",
            arguments.format,
        )
        bundle = chosen_bundle(names[0])
        has_frames = isinstance(bundle, Bundle)
        tables = arguments.posteriors
        require(tables is None or has_frames, "--posteriors", "a model of sound events for it", bundle.task)
        of_tags = arguments.tag_threshold
        require(not tags or has_frames, "--tags", "a model of sound events for it", bundle.task)
        require(tags or not of_tags, "--tag-threshold", "--tags beside it", of_tags)
        check_task_options(arguments, [bundle.task])
        settings = Settings(
            model=str(bundle.path),
            provider=arguments.provider,
            backend=arguments.backend,
            task_options=task_options(arguments, bundle.task),
            latency=arguments.latency,
            channel=arguments.channel,
            thresholds=thresholds(arguments.threshold, bundle.labels),
            format_name=arguments.format,
            force=arguments.force,
            tags=tags,
            events=arguments.events or not tags,
            tag_thresholds=thresholds(of_tags, bundle.labels),
        )
        for path in missing:
            complain(path)
        with Progress(len(jobs)) as progress:
            work = one_by_one if arguments.jobs == 1 or len(jobs) <= 1 else side_by_side
            failed = work(jobs, settings, arguments.jobs, interrupts, progress)
        if interrupts.requested:
            complain(f"stopped: {progress.done} of {len(jobs)} recordings are complete")
        return INPUT if failed or missing else 0


def find_recordings(arguments: list[str]) -> tuple[list[tuple[Path, str]], list[str]]:
    """Return recordings with their names, and what is wrong with arguments that give none.

    A recording is called by its path within the folder that was searched, or by its file name; if two would
    be called alike, all are called by their whole paths.
    """
    found: dict[Path, str] = {}
    missing: list[str] = []
    for argument in arguments:
        path = Path(argument)
        if not path.is_dir():
            # Also what does not exist: reading it says so.
            found.setdefault(path, path.name)
            continue
        below = _recordings_below(path)
        if not below:
            missing.append(f"{path}: no recordings in this folder")
        for item in below:
            found.setdefault(item, item.relative_to(path).as_posix())
    if len(set(found.values())) < len(found):
        return [(path, path.as_posix()) for path in found], missing
    return list(found.items()), missing


def _recordings_below(folder: Path) -> list[Path]:
    """Return recordings, and videos that have no recording of the same name beside them."""
    from streamsed.annotations import AUDIO_EXTENSIONS
    from streamsed.sources.containers import CONTAINER_EXTENSIONS

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sounds = [path for path in files if path.suffix.lower() in AUDIO_EXTENSIONS]
    known = {path.with_suffix("") for path in sounds}
    videos = [
        path
        for path in files
        if path.suffix.lower() in CONTAINER_EXTENSIONS - AUDIO_EXTENSIONS
        and path.with_suffix("") not in known
    ]
    return sorted([*sounds, *videos])


def plan(
    recordings: list[tuple[Path, str]],
    folder: str | None,
    extension: str,
    posteriors: str | None,
    force: bool,
) -> list[Job]:
    """Decide where the records and the posteriors of each recording go.

    Raises
    ------
    ConfigError
        If two recordings would be written into the same file.
    OutputError
        If a file exists and may not be replaced, or a folder cannot be made.
    """
    from streamsed.cli.outputs import check_outputs

    paths = [path for path, _ in recordings]
    outputs = _files_in(folder, "-o", paths, extension)
    tables = _files_in(posteriors, "--posteriors", paths, "tsv")
    check_outputs([name for name in (*outputs, *tables) if name is not None], force)
    return [
        Job(str(path), source, output, table)
        for (path, source), output, table in zip(recordings, outputs, tables, strict=True)
    ]


def _files_in(folder: str | None, option: str, recordings: list[Path], extension: str) -> list[str | None]:
    from streamsed.config import require
    from streamsed.errors import OutputError

    if folder is None:
        return [None for _ in recordings]
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made a folder: {error.strerror}") from error
    names = [str(Path(folder) / f"{path.stem}.{extension}") for path in recordings]
    same = collections.Counter(names)
    clash = [str(path) for path, name in zip(recordings, names, strict=True) if same[name] > 1]
    require(
        not clash,
        option,
        "recordings whose names differ by more than folder and extension",
        ", ".join(clash[:4]),
    )
    return list(names)


def one_by_one(
    jobs: list[Job], settings: Settings, _workers: int, interrupts: Interrupts, progress: Progress
) -> int:
    """Work through the recordings in this process; return how many could not be read."""
    failed = 0
    detector = _load(settings)
    with contextlib.ExitStack() as stack:
        shared = _shared_sink(jobs, settings)
        if shared is not None:
            stack.callback(shared.close)
        for job in jobs:
            if interrupts.requested:
                break
            progress.begin(job.source)
            error = detect_one(
                detector, job, settings, shared, lambda: interrupts.requested, progress.advance
            )
            progress.finish()
            if error is not None:
                failed += 1
                complain(error)
    return failed


def side_by_side(
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


def detect_one(
    detector: Detector | CycleDetector | EmotionDetector,
    job: Job,
    settings: Settings,
    shared: TextSink | _Collected | None,
    stopped: Callable[[], bool],
    advance: Callable[[float, float], None],
) -> str | None:
    """Detect the events of one recording; return what is wrong with the recording, if anything is.

    What a damaged recording still has is detected, and its records are kept.
    """
    from streamsed.detector import Detector
    from streamsed.errors import ConfigError, FormatError
    from streamsed.sinks import open_sink

    table = None
    if job.posteriors is not None and isinstance(detector, Detector):
        table = _PosteriorTable(job.posteriors, detector, settings.force)
    records = _records(detector, job, settings, table, stopped, advance)
    sink: Any = shared
    try:
        for record in records:
            # Opened when the recording has turned out to be one, so that nothing is replaced in vain.
            if sink is None:
                sink = open_sink(str(job.output), settings.record_format(), settings.force)
            sink.write(record)
    except FormatError as error:
        return str(error)
    except ConfigError as error:
        # Such as a channel that this recording lacks and the next one may have.
        return f"{job.path}: {error}"
    finally:
        if sink is not None and sink is not shared:
            sink.close()
        if table is not None:
            table.close()
    return None


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


def _records(
    detector: Detector | CycleDetector | EmotionDetector,
    job: Job,
    settings: Settings,
    table: _PosteriorTable | None,
    stopped: Callable[[], bool],
    advance: Callable[[float, float], None],
) -> Iterator[Record]:
    from streamsed.emotion import EmotionDetector
    from streamsed.errors import FormatError
    from streamsed.picture_feed import video_feed
    from streamsed.recording import take_block
    from streamsed.respiration import CycleDetector
    from streamsed.sources.video_sound import open_recording
    from streamsed.types import Event, Start, Summary

    def wanted(records: Iterable[Record]) -> list[Record]:
        return [record for record in records if settings.events or not isinstance(record, Event)]

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
        yield Start(job.source, detector.name, file.sample_rate, stream.latency.to_dict())
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
            yield from wanted(take_block(stream, block, file.sample_rate, feed))
            advance(stream.stats.audio_seconds, total)
        yield from wanted(stream.flush())
        stats = stream.stats
        yield Summary(
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
    stop = _worker["stop"]
    if stop.is_set():
        return [], None, False
    collected = _Collected() if job.output is None else None
    error = detect_one(
        _worker["detector"], job, _worker["settings"], collected, stop.is_set, lambda seconds, total: None
    )
    return ([] if collected is None else collected.records), error, not stop.is_set()
