"""``streamsed evaluate REF EST``: compare event lists."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from streamsed.cli.console import complain
from streamsed.cli.counts import count_table, counts_json
from streamsed.cli.parser import add_command, count, seconds
from streamsed.cli.tables import calibration_table
from streamsed.errors import ConfigError

if TYPE_CHECKING:
    from argparse import Namespace

    from streamsed.annotations import EventList, Listing
    from streamsed.cli.tag_scores import TagReport
    from streamsed.metrics import Calibration
    from streamsed.tag_lists import TagList

_DESCRIPTION = """\
Compare estimated events with a reference: segment- and event-based F1 and error rate (equal to sed_eval),
calibration of the confidences where the estimate has them, and from posteriors AP, AUROC, ECE, Brier score and
PSDS. docs/evaluation.md says what each number means.

Respiratory cycles (ICBHI annotations against cycle records or ICBHI annotations) are compared as such: F1 by
overlap, boundaries and rate, and the ICBHI scores of the labels for two classes and four.

Tags of whole recordings (weak tables with filename and event_labels, records of detect --tags) are compared with
tags or with the labels of events: F1 of the clips, and mean average precision where the estimate has posteriors.

Levels of valence, arousal and dominance (emotion records, or tables with these columns) are compared as such:
concordance correlation coefficient and root mean square error, with intervals by recording.

REF and EST are files or folders: JSON Lines of streamsed, DCASE tables (filename onset offset event_label),
sed_eval or Audacity lists (onset offset label), RTTM, ICBHI annotations. Recordings are matched by name
without folder and extension. A recording that one side lacks counts as having no events there.
"""


def add_to(subparsers: Any) -> None:
    """Add the command."""
    parser = add_command(
        subparsers, "evaluate", "compare events with a reference", run, description=_DESCRIPTION
    )
    parser.add_argument("reference", metavar="REF")
    parser.add_argument("estimated", metavar="EST")
    parser.add_argument(
        "--as",
        dest="kind",
        choices=("events", "cycles", "tags", "emotion"),
        help="what is compared (default: cycles or emotion if both lists have them, tags if one has nothing else)",
    )
    parser.add_argument(
        "--common", action="store_true", help="leave out recordings that one of the two does not list"
    )
    parser.add_argument(
        "--iou",
        type=float,
        default=0.5,
        metavar="R",
        help="least overlap of matched respiratory cycles, intersection over union (default: 0.5)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument(
        "--segment-length",
        type=seconds,
        default=1.0,
        metavar="S",
        help="of segment-based scores (default: 1)",
    )
    parser.add_argument(
        "--collar",
        type=seconds,
        default=0.2,
        metavar="S",
        help="tolerance of event-based scores (default: 0.2)",
    )
    parser.add_argument(
        "--offset-fraction",
        type=float,
        default=0.2,
        metavar="R",
        help="offsets may be off by this part of the event's length if that is more (default: 0.2)",
    )
    parser.add_argument("--onset-only", action="store_true", help="event-based scores ignore offsets")
    parser.add_argument(
        "--bootstrap",
        type=count,
        metavar="N",
        help="95%% intervals of F1 from N drawings of the recordings (1000 are enough; of cycles always, by patient)",
    )
    parser.add_argument(
        "--posteriors",
        "--scores",
        dest="posteriors",
        metavar="DIR",
        help="DCASE score files, DIR/<recording>.tsv: onset offset LABEL…, a row per frame",
    )
    parser.add_argument(
        "--durations",
        metavar="TSV",
        help="filename duration of each recording; PSDS needs it, segments may use it",
    )
    parser.add_argument("--plots", metavar="DIR", help="draw what is printed, and timelines, as PNG into DIR")
    parser.add_argument("--audio", metavar="DIR", help="recordings, for the log-mels of the timelines")
    parser.add_argument(
        "--timelines",
        type=count,
        default=5,
        metavar="N",
        help="of the N recordings with the most errors (default: 5)",
    )
    parser.add_argument("--force", action="store_true", help="replace plots that are there")


def run(arguments: Namespace) -> int:
    """Evaluate and print."""
    from streamsed.annotations import read_cycle_list, read_event_list
    from streamsed.tag_lists import holds_tags, read_tag_list

    if arguments.plots:
        from streamsed.cli.plots import check_drawing

        check_drawing(arguments.plots, arguments.force)
    paths = arguments.reference, arguments.estimated
    kind = arguments.kind or _kind(*paths)
    if kind == "cycles":
        return _run_cycles(arguments, *_paired(arguments, *map(read_cycle_list, paths)))
    if kind == "emotion":
        return _run_emotion(arguments)
    if kind == "tags":
        return _run_tags(arguments, *_paired(arguments, *map(read_tag_list, paths), things="tags"))
    tags = None
    if holds_tags(arguments.estimated) == "beside events":
        tags = _tag_report(arguments, *_paired(arguments, *map(read_tag_list, paths), things=None))
    return _run_events(arguments, *_paired(arguments, *map(read_event_list, paths)), tags)


def _kind(reference: str, estimated: str) -> str:
    """What both lists hold, tags if one of them holds nothing else."""
    from streamsed.annotations import holds_cycles
    from streamsed.emotion_lists import holds_emotion
    from streamsed.tag_lists import holds_tags

    if holds_cycles(reference) and holds_cycles(estimated):
        return "cycles"
    if holds_emotion(reference) and holds_emotion(estimated):
        return "emotion"
    return "tags" if "alone" in (holds_tags(reference), holds_tags(estimated)) else "events"


def _paired(
    arguments: Namespace, reference: Listing, estimated: Listing, *, things: str | None = "events"
) -> tuple[Listing, Listing]:
    from streamsed.annotations import pair_recordings
    from streamsed.errors import FormatError

    reference, estimated = pair_recordings(reference, estimated)
    if not arguments.common:
        if things:
            _warn_about_names(reference, estimated, things)
        return reference, estimated
    names = [name for name in reference.recordings if name in estimated.recordings]
    if not names:
        raise FormatError(
            f"{arguments.reference}, {arguments.estimated}: expected a recording in common, got none"
        )
    left = len({*reference.recordings, *estimated.recordings}) - len(names)
    if left and things:
        complain(f"note: {left} recordings are left out, which one of the two does not list")
    return reference.only(names), estimated.only(names)


def _refuse(arguments: Namespace, what: str, *more: str) -> None:
    """Refuse options that belong to events."""
    for name in ("posteriors", "durations", "onset_only", *more):
        if getattr(arguments, name):
            option = "--" + name.replace("_", "-")
            raise ConfigError(f"{option}: expected none for {what} (--as events compares events)")


def _run_cycles(arguments: Namespace, reference: EventList, estimated: EventList) -> int:
    from streamsed.cli.cycle_scores import cycle_json, cycle_report, cycle_tables

    _refuse(arguments, "respiratory cycles")
    report = cycle_report(reference, estimated, arguments.iou, arguments.bootstrap)
    if arguments.plots:
        from streamsed.cli.plots import draw_cycles

        draw_cycles(report, arguments.plots, arguments.audio, arguments.timelines)
    if arguments.json:
        print(json.dumps(_plain(cycle_json(report)), allow_nan=False))
    else:
        print(cycle_tables(report))
    return 0


def _run_emotion(arguments: Namespace) -> int:
    from streamsed.cli.emotion_scores import emotion_json, emotion_report, emotion_tables
    from streamsed.emotion_lists import read_emotion_list

    _refuse(arguments, "emotion", "plots")
    lists = map(read_emotion_list, (arguments.reference, arguments.estimated))
    report = emotion_report(*_paired(arguments, *lists, things="levels"), arguments.bootstrap)
    if arguments.json:
        print(json.dumps(_plain(emotion_json(report)), allow_nan=False))
    else:
        print(emotion_tables(report))
    return 0


def _run_tags(arguments: Namespace, reference: TagList, estimated: TagList) -> int:
    from streamsed.cli.tag_scores import tag_json, tag_tables

    _refuse(arguments, "tags", "plots")
    report = _tag_report(arguments, reference, estimated)
    if arguments.json:
        print(
            json.dumps(_plain({"files": len(report.counts.recordings), **tag_json(report)}), allow_nan=False)
        )
        return 0
    total = report.counts.report().micro
    sizes = f"{total.reference} reference tags, {total.estimated} estimated"
    print(f"{len(report.counts.recordings)} recordings, {sizes}\n\n{tag_tables(report)}")
    return 0


def _tag_report(arguments: Namespace, reference: TagList, estimated: TagList) -> TagReport:
    from streamsed.cli.tag_scores import tag_report

    return tag_report(reference, estimated, arguments.bootstrap)


def _run_events(
    arguments: Namespace, reference: EventList, estimated: EventList, tags: TagReport | None
) -> int:
    from streamsed.annotations import read_durations
    from streamsed.cli.frame_scores import frame_json, frame_report, frame_table, read_matching_scores
    from streamsed.cli.psds import psds_or_reason
    from streamsed.cli.tag_scores import tag_json, tag_tables
    from streamsed.metrics import event_counts, segment_counts

    truth, guess = reference.tuples(), estimated.tuples()
    durations = None
    if arguments.durations:
        listed = read_durations(arguments.durations)
        # Recordings are called by their bare names once they are paired.
        durations = listed | {PurePosixPath(name).name: length for name, length in listed.items()}
    scores = read_matching_scores(arguments.posteriors, list(truth), truth) if arguments.posteriors else None
    segments = segment_counts(truth, guess, segment_length=arguments.segment_length, durations=durations)
    events = event_counts(
        truth,
        guess,
        collar=arguments.collar,
        offset_fraction=arguments.offset_fraction,
        evaluate_offset=not arguments.onset_only,
    )
    calibration = _calibration(reference, estimated, arguments)
    frames = frame_report(scores, truth) if scores else None
    psds, no_psds = psds_or_reason(truth, scores, durations)
    if arguments.plots:
        from streamsed.cli.plots import Drawing, draw

        drawing = Drawing(truth, guess, segments, events, calibration, frames, scores)
        draw(drawing, arguments.plots, arguments.audio, arguments.timelines)
    if arguments.json:
        result = {
            "files": len(segments.recordings),
            "segment_based": counts_json(segments, arguments.bootstrap),
            "event_based": counts_json(events, arguments.bootstrap),
            "calibration": dataclasses.asdict(calibration) if calibration else None,
            "frame_based": frame_json(frames) if frames else None,
            "psds": psds,
            **(tag_json(tags) if tags else {}),
        }
        print(json.dumps(_plain(result), allow_nan=False))
        return 0
    total = events.report().micro
    print(
        f"{len(events.recordings)} recordings, {total.reference} reference events, {total.estimated} estimated\n"
    )
    title = f"segment-based, segments of {arguments.segment_length:g} s"
    print(count_table(title, segments, arguments.bootstrap))
    ends = (
        "onset"
        if arguments.onset_only
        else f"onset and offset ({arguments.offset_fraction:.0%} of the length)"
    )
    title = f"event-based, collar {1000 * arguments.collar:g} ms, {ends}"
    print("\n" + count_table(title, events, arguments.bootstrap))
    print(_calibration_lines(calibration))
    if frames:
        print("\n" + frame_table(frames))
    if tags:
        print("\n" + tag_tables(tags))
    print("\nPSDS " + (", ".join(f"{name} {value:.3f}" for name, value in psds.items()) if psds else no_psds))
    return 0


def _warn_about_names(reference: Listing, estimated: Listing, things: str) -> None:
    known, found = set(reference.recordings), set(estimated.recordings)
    for names, where in ((known - found, "the estimate"), (found - known, "the reference")):
        if names:
            shown = ", ".join(sorted(names)[:3]) + (", …" if len(names) > 3 else "")
            complain(
                f"note: {len(names)} of {len(known | found)} recordings have no {things} in {where}: {shown}"
            )


def _calibration(reference: EventList, estimated: EventList, arguments: Namespace) -> Calibration | None:
    from streamsed.metrics import calibration, event_hits

    confidences = [event.confidence for events in estimated.recordings.values() for event in events]
    known = [value for value in confidences if value is not None]
    if not known or len(known) < len(confidences):
        return None
    hits = event_hits(
        reference.tuples(),
        estimated.tuples(),
        collar=arguments.collar,
        offset_fraction=arguments.offset_fraction,
        evaluate_offset=not arguments.onset_only,
    )
    outcomes = [bool(hit) for name in estimated.recordings for hit in hits[name]]
    return calibration(known, outcomes)


def _calibration_lines(result: Calibration | None) -> str:
    if result is None:
        return "\ncalibration: the estimate has no confidences"
    return "\n" + calibration_table(result, "event confidences", "events")


def _plain(value: Any) -> Any:
    """Replace NaN and Inf, which JSON lacks, by null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
