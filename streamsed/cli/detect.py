"""``streamsed detect``: whole recordings, as fast as they compute."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamsed.cli.console import INPUT, complain
from streamsed.cli.detect_work import Job, Settings, in_lanes, in_processes
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

_DESCRIPTION = """\
Detect the events, respiratory cycles or emotion of whole recordings of any length and any format that libsndfile
reads, and of videos (with the extra video), whose pictures a model that takes them sees. Folders are searched
for recordings. --tags says which sounds there are in each recording instead, whenever they sound.
Without -o the records go to stdout, otherwise into one file per
recording. A recording that cannot be read is named and does not stop the others; the exit code is 6 then.
"""


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
        "-j", "--jobs", type=count, default=1, metavar="N", help="processes, a recording each (default: 1)"
    )
    parser.add_argument(
        "--batch",
        type=count,
        metavar="N",
        help="recordings whose sound shares runs of the networks in one process (default: 1, on a GPU 64)",
    )
    add_channel_option(parser)
    # Nobody waits for the single record of a file: what waiting can improve, it shall.
    add_model_options(parser, latency="high")


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
        one_of_both = arguments.jobs == 1 or arguments.batch is None
        require(one_of_both, "--batch", "--jobs 1 beside it", arguments.jobs)
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
            if arguments.jobs > 1 and len(jobs) > 1:
                failed = in_processes(jobs, settings, arguments.jobs, interrupts, progress)
            else:
                failed = in_lanes(jobs, settings, arguments.batch, interrupts, progress)
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
