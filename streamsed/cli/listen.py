"""``streamsed listen``: a device, a file or a pipe, as it sounds."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from typing import TYPE_CHECKING, Any

from streamsed.cli.console import FAILURE, complain, quiet_libraries
from streamsed.cli.interrupts import Interrupts
from streamsed.cli.parser import (
    FORMAT_NAMES,
    add_channel_option,
    add_command,
    add_model_options,
    count,
    not_negative,
    seconds,
)

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from streamsed.service import Session, SessionGroup
    from streamsed.sinks import FanOut
    from streamsed.types import Record

_DESCRIPTION = """\
Listen to a device (or a file, video or pipe as if it were one) and report events, or respiratory cycles, as they
happen. --device and --input may be repeated: all of them are listened to at once, through one model. On a
terminal there is a live view; through a pipe or with --format there are records, one a line. Ctrl-C closes open
events, writes the summary and ends; a second Ctrl-C ends at once.
"""

# As many labels as the view has room for, more would be work for nothing.
_VIEW_LABELS = 12
# The same for one of several sources, which has a line.
_LINE_LABELS = 3


def add_to(subparsers: Any) -> None:
    """Add the command."""
    parser = add_command(
        subparsers, "listen", "listen to a microphone, a file or a pipe", run, description=_DESCRIPTION
    )
    source = parser.add_argument_group("sources, each of which may be repeated")
    source.add_argument(
        "--device",
        action="append",
        default=[],
        metavar="N|NAME",
        help="index or part of the name (default: the default input)",
    )
    source.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="FILE|-",
        help="a recording, or - for raw PCM on stdin",
    )
    parser.add_argument(
        "--video",
        metavar="FILE|CAMERA",
        help="pictures for a model that takes them: a video file with its sound, or a camera beside the device, "
        "by number, path or FORMAT:NAME of FFmpeg (needs the extra video)",
    )
    parser.add_argument(
        "--rate", type=count, metavar="HZ", help="of raw PCM (default: 16000), or to open a device with"
    )
    parser.add_argument(
        "--channels", type=count, metavar="N", help="of raw PCM, or to open of a device (default: 1)"
    )
    parser.add_argument(
        "--pcm-format", choices=["s16le", "f32le"], default="s16le", help="of raw PCM (default: s16le)"
    )
    parser.add_argument("--realtime", action="store_true", help="take a file at the speed of sound")
    parser.add_argument("--duration", type=seconds, metavar="S", help="end after so many seconds of audio")
    parser.add_argument(
        "--once", metavar="LABEL", help="end after the first event or cycle of this label; exit 1 without one"
    )
    add_channel_option(parser)
    add_model_options(parser)
    parser.add_argument("--strict-realtime", action="store_true", help="exit 7 when processing falls behind")
    parser.add_argument(
        "--recovery",
        type=not_negative,
        default=30.0,
        metavar="S",
        help="how long a lost device may take to come back (default: 30)",
    )
    parser.add_argument(
        "--format", choices=FORMAT_NAMES, help="of the records (default: jsonl; -o: by extension)"
    )
    parser.add_argument(
        "-o", "--output", action="append", default=[], metavar="PATH", help="write records here too"
    )
    parser.add_argument("--force", action="store_true", help="replace existing output files")
    parser.add_argument(
        "--top-k", type=count, default=0, metavar="N", help="report the N strongest classes as well"
    )
    parser.add_argument("--save-audio", metavar="DIR", help="one WAV file per event or cycle")
    parser.add_argument(
        "--pre-roll",
        type=not_negative,
        default=1.0,
        metavar="S",
        help="audio before the onset in it (default: 1)",
    )


def run(arguments: Namespace) -> int:
    """Listen."""
    with Interrupts() as interrupts:
        from streamsed.cli.outputs import check_formats, check_outputs, when_reader_leaves

        check_outputs(arguments.output, arguments.force)
        check_formats(arguments.output, arguments.format, _is_several(arguments))
        view = sys.stdout.isatty() and arguments.format is None and os.environ.get("TERM") != "dumb"
        session = _session(arguments, view)
        interrupts.on_stop(session.stop)
        when_reader_leaves(session.stop)
        with _sinks(arguments, session, view) as sinks:
            found = _pass_on(session, sinks, arguments.once)
        if arguments.once is not None and not (found or interrupts.requested):
            complain(f"the sound ended without {arguments.once!r}")
            return FAILURE
        return FAILURE if sinks.failed else 0


def _is_several(arguments: Namespace) -> bool:
    return len(arguments.device) + len(arguments.input) > 1


def _session(arguments: Namespace, view: bool) -> Session | SessionGroup:
    from streamsed.cli.model_choice import load_detectors, thresholds
    from streamsed.service import listen

    several = _is_several(arguments)
    inputs = _inputs(arguments)
    detectors = load_detectors(arguments)
    labels = tuple(dict.fromkeys(label for detector in detectors for label in detector.labels))
    tagged = sum(detector.tag_count for detector in detectors)
    shown = min(tagged, _LINE_LABELS if several else _VIEW_LABELS)
    # A file knows its own rate, and what is piped in has been told its.
    opens_device = bool(arguments.device) or not inputs
    device: Any = arguments.device if several else next(iter(arguments.device), None)
    given: Any = inputs if several else next(iter(inputs), None)
    found: Session | SessionGroup = listen(
        device=device,
        input=given,
        model=detectors,
        sample_rate=arguments.rate if opens_device else None,
        channels=arguments.channels if opens_device else None,
        channel="mix" if arguments.channel is None else arguments.channel,
        latency=arguments.latency,
        thresholds=thresholds(arguments.threshold, labels),
        duration=arguments.duration,
        once=arguments.once,
        realtime=arguments.realtime,
        top_k=arguments.top_k or (shown if view else 0),
        strict_realtime=arguments.strict_realtime,
        recovery_seconds=arguments.recovery,
        save_audio=arguments.save_audio,
        pre_roll=arguments.pre_roll,
        video=arguments.video,
    )
    return found


def _inputs(arguments: Namespace) -> list[Any]:
    """Return what ``listen`` takes as its inputs."""
    from streamsed.config import require
    from streamsed.sources import PcmSource

    pipes = arguments.input.count("-")
    require(pipes <= 1, "--input", "stdin (-) once", arguments.input)
    told = bool(arguments.device or pipes or not arguments.input)
    require(
        told or (arguments.rate is None and arguments.channels is None),
        "--rate, --channels",
        "a device or raw PCM on stdin; a file knows its own",
        ", ".join(arguments.input),
    )
    if not pipes:
        return list(arguments.input)
    require(not sys.stdin.isatty(), "--input -", "raw PCM on stdin", "a terminal")
    pcm = PcmSource(sys.stdin.buffer, arguments.rate or 16000, arguments.channels or 1, arguments.pcm_format)
    return [pcm if item == "-" else item for item in arguments.input]


@contextlib.contextmanager
def _sinks(arguments: Namespace, session: Session | SessionGroup, view: bool) -> Iterator[FanOut]:
    """Open what the records go to; a live view counts as one."""
    from streamsed.cli.outputs import open_outputs, report_output, standard_output
    from streamsed.sinks import FanOut, make_format

    several = _is_several(arguments)
    files: list[Any] = list(open_outputs(arguments.output, arguments.format, arguments.force, several))
    if view and not arguments.top_k:
        files = [_WithoutTags(sink) for sink in files]
    with contextlib.ExitStack() as stack:
        shown: list[Any] = []
        if view:
            stack.enter_context(quiet_libraries())
            shown.append(stack.enter_context(_live_view(session)))
        else:
            shown.append(standard_output(make_format(arguments.format or "jsonl", several=several)))
            if sys.stderr.isatty() and stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode):
                shown.append(stack.enter_context(_levels(session)))
        sinks = FanOut([*shown, *files], report_output)
        try:
            yield sinks
        finally:
            sinks.close()


def _live_view(session: Session | SessionGroup) -> Any:
    from rich.console import Console

    from streamsed.cli.group_view import GroupView
    from streamsed.cli.live_view import LiveView
    from streamsed.detector import Detector
    from streamsed.service import SessionGroup

    if isinstance(session, SessionGroup):
        return GroupView(Console(), lambda: session.stats)
    limits = {
        label: detector.bundle.post_processing.for_label(label).threshold_on
        for detector in session.detectors
        if isinstance(detector, Detector)
        for label in detector.labels
    }
    return LiveView(Console(), lambda: session.stats, limits)


def _levels(session: Session | SessionGroup) -> Any:
    from rich.console import Console

    from streamsed.cli.view import LevelLines
    from streamsed.service import SessionGroup

    if isinstance(session, SessionGroup):
        return LevelLines(Console(stderr=True), lambda: session.stats.items())
    return LevelLines(Console(stderr=True), lambda: [("", session.stats)])


class _WithoutTags:
    """A sink that is not told what only the live view asked for."""

    def __init__(self, sink: Any) -> None:
        self._sink = sink
        self.close = sink.close

    def write(self, record: Record) -> None:
        """Pass on anything but Tags."""
        if record.type != "tags":
            self._sink.write(record)


def _pass_on(session: Session | SessionGroup, sinks: FanOut, wanted: str | None) -> bool:
    """Hand every record to the sinks; when stdout's reader is gone, what is left goes to the files.

    Returns whether an event or cycle of the label ``wanted`` came.
    """
    from streamsed.errors import OutputError
    from streamsed.sinks import ReaderGone
    from streamsed.types import Cycle, Event

    def write(record: Record) -> None:
        try:
            sinks.write(record)
        except (ReaderGone, OutputError):
            # An output that failed has been reported; without any, only the end is left to be waited for.
            session.stop()

    found = False
    with session:
        if session.lacks_pictures:
            complain("no pictures: the model has to do with the sound")
        for record in session:
            found |= isinstance(record, (Event, Cycle)) and record.label == wanted
            write(record)
    return found
