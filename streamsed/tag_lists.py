"""Tags of recordings from text: weak tables, records of ``detect --tags``, and the labels of event lists."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streamsed.annotations import (
    RecordingList,
    merged,
    numbered_lines,
    read_event_file,
    recording_name,
    text_files,
)
from streamsed.errors import FormatError
from streamsed.types import Tags, record_from_dict

_TAGS_RECORD = re.compile(r'"type": *"tags"')
_EVENT_RECORD = re.compile(r'"type": *"event"')


@dataclass(frozen=True)
class RecordingTags:
    """Labels of a recording, and the posteriors that they were chosen by, where the format has them."""

    labels: frozenset[str]
    posteriors: Mapping[str, float] | None = None


class TagList(RecordingList[RecordingTags]):
    """Tags by recording."""

    def labels(self) -> dict[str, frozenset[str]]:
        """Return the labels as :func:`streamsed.metrics.clip_counts` takes them."""
        return {name: tags.labels for name, tags in self.recordings.items()}

    def posteriors(self) -> dict[str, Mapping[str, float]] | None:
        """Return the posteriors of every recording; None if any recording has none."""
        found = {
            name: tags.posteriors for name, tags in self.recordings.items() if tags.posteriors is not None
        }
        return found if found and len(found) == len(self.recordings) else None


def read_tag_list(path: str | Path) -> TagList:
    """Read one file, or every text file below a folder.

    Parameters
    ----------
    path : str or Path
        Weak tables (a header with ``filename`` and ``event_labels``, the labels with commas between), the ``tags``
        records of whole recordings, or anything that :func:`streamsed.annotations.read_event_list` reads: then a
        recording has the labels of its events.

    Raises
    ------
    FormatError
        If nothing is there, or a line cannot be understood (named with file and line), or two files list the same
        recording.
    """
    return TagList(merged(text_files(Path(path)), _read_file))


def holds_tags(path: str | Path) -> Literal["alone", "beside events", "no"]:
    """Whether a file or folder has tags of whole recordings, and whether it has events as well.

    Raises
    ------
    FormatError
        If nothing is there or it is no text.
    """
    tags = events = False
    for file in text_files(Path(path)):
        lines = numbered_lines(file)
        if not lines or _columns(lines[0][1]) is not None:
            tags |= bool(lines)
            continue
        if not lines[0][1].lstrip().startswith("{"):
            events = True
            continue
        tags |= any(_TAGS_RECORD.search(line) and '"clip_posteriors"' not in line for _, line in lines)
        events |= any(_EVENT_RECORD.search(line) for _, line in lines)
    if not tags:
        return "no"
    return "beside events" if events else "alone"


def _read_file(path: Path) -> dict[str, RecordingTags]:
    lines = numbered_lines(path)
    columns = _columns(lines[0][1]) if lines else None
    if columns is not None:
        return _weak_table(path, lines[1:], columns)
    found = {
        name: RecordingTags(frozenset(event.label for event in events))
        for name, events in read_event_file(path).items()
    }
    if lines and lines[0][1].lstrip().startswith("{"):
        found |= _records(path, lines)
    return found


def _columns(header: str) -> tuple[str, int, int] | None:
    """Return separator and the columns of name and labels of a weak table, None for anything else."""
    separator = "\t" if "\t" in header else ","
    names = [name.strip().lower() for name in header.split(separator)]
    labels = [name for name in ("event_labels", "event_label") if name in names]
    if "filename" not in names or not labels or "onset" in names:
        return None
    return separator, names.index("filename"), names.index(labels[0])


def _weak_table(
    path: Path, lines: list[tuple[int, str]], columns: tuple[str, int, int]
) -> dict[str, RecordingTags]:
    separator, at_name, at_labels = columns
    found: dict[str, frozenset[str]] = {}
    for number, line in lines:
        cells = [cell.strip() for cell in line.split(separator)]
        name = recording_name(cells[at_name]) if at_name < len(cells) else ""
        if not name:
            raise FormatError(f"{path}:{number}: filename: expected a name, got nothing")
        # Where commas separate the columns as well, the labels are all that is left of the row.
        rest = cells[at_labels:] if separator == "," else cells[at_labels : at_labels + 1]
        labels = {label.strip().strip('"') for cell in rest for label in cell.split(",")}
        found[name] = found.get(name, frozenset()) | (labels - {""})
    return {name: RecordingTags(labels) for name, labels in found.items()}


def _records(path: Path, lines: list[tuple[int, str]]) -> dict[str, RecordingTags]:
    found: dict[str, RecordingTags] = {}
    for number, line in lines:
        fields = json.loads(line)
        if fields.get("type") != Tags.type:
            continue
        try:
            record = record_from_dict(fields)
        except ValueError as error:
            raise FormatError(f"{path}:{number}: {error}") from error
        if not (isinstance(record, Tags) and record.is_whole):
            continue
        name = recording_name(record.source or path.stem)
        if name in found:
            raise FormatError(f"{path}:{number}: recording {name!r} has tags already")
        found[name] = RecordingTags(frozenset(record.tags or ()), record.posteriors)
    return found
