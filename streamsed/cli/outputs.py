"""From ``-o``, ``--format`` and ``--force`` to sinks."""

from __future__ import annotations

import os
import select
import stat
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from streamsed.cli.console import complain
from streamsed.errors import OutputError
from streamsed.sinks import RecordFormat, TextSink, format_of_path, make_format, open_sink
from streamsed.sinks.text_sink import can_be_written_to

STDOUT = "-"


def check_outputs(paths: Sequence[str], force: bool) -> None:
    """Refuse, before any work is done, what could not be written at its end.

    Raises
    ------
    OutputError
        If a file exists and may not be replaced, its folder does not exist, or two outputs are the same file.
    """
    seen: set[str] = set()
    for path in paths:
        if path == STDOUT:
            continue
        if not Path(path).parent.is_dir():
            raise OutputError(f"{path}: cannot write: no folder {Path(path).parent}")
        if not force and not can_be_written_to(path):
            raise OutputError(f"{path}: exists already; --force replaces it")
        real = os.path.realpath(path)
        if real in seen:
            raise OutputError(f"{path}: expected each output once")
        seen.add(real)


def check_formats(paths: Sequence[str], format_name: str | None, several: bool) -> None:
    """Raise :class:`ConfigError` if a format cannot tell several sources apart."""
    for path in paths:
        if path != STDOUT:
            make_format(format_name or format_of_path(path), several=several)
    make_format(format_name or "jsonl", several=several)


def open_outputs(
    paths: Sequence[str], format_name: str | None, force: bool, several: bool = False
) -> list[TextSink]:
    """Open files; without a format's name their extensions say it. ``several``: for records of several sources."""
    sinks: list[TextSink] = []
    try:
        for path in paths:
            if path != STDOUT:
                record_format = make_format(format_name or format_of_path(path), several=several)
                sinks.append(open_sink(path, record_format, force))
    except OutputError:
        for sink in sinks:
            sink.close()
        raise
    return sinks


def standard_output(record_format: RecordFormat) -> TextSink:
    """Return a sink that writes to stdout."""
    return TextSink(sys.stdout.buffer, record_format, "stdout", owns_stream=False)


def report_output(error: OutputError) -> None:
    """Say that an output is lost."""
    complain(str(error))


def when_reader_leaves(action: Callable[[], None]) -> None:
    """Call ``action`` from another thread as soon as nobody reads stdout any more, if that is a pipe.

    Otherwise a quiet room would keep ``streamsed listen | head -1`` running until the next event.
    """
    mode = os.fstat(sys.stdout.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return

    def watch() -> None:
        poll = select.poll()
        # Errors and hang-ups are reported without asking for them.
        poll.register(sys.stdout.fileno(), 0)
        poll.poll()
        action()

    threading.Thread(target=watch, name="streamsed reader watch", daemon=True).start()
