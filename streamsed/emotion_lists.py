"""Levels of valence, arousal and dominance over time from text: ``emotion`` records and tables."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streamsed.annotations import RecordingList, merged, numbered_lines, recording_name, text_files
from streamsed.errors import FormatError
from streamsed.types import EMOTION_DIMENSIONS, Start

Levels = tuple[float, float, float]


@dataclass(frozen=True)
class EmotionSegment:
    """Valence, arousal and dominance in [0, 1] of a part of a recording, in seconds; ``inf`` is its end."""

    onset: float
    offset: float
    levels: Levels


class EmotionList(RecordingList[list[EmotionSegment]]):
    """Segments by recording, in order of time; they may overlap, as windows do."""


def read_emotion_list(path: str | Path) -> EmotionList:
    """Read one file, or every text file below a folder.

    Parameters
    ----------
    path : str or Path
        ``emotion`` records, or tables with a header: valence, arousal, dominance, and filename (or file), onset, offset
        where they have them. Without a name, the recording is called as the table; without times, a row is about a
        whole recording.

    Raises
    ------
    FormatError
        If nothing is there, a line cannot be understood or a level is outside of [0, 1] (named with file and line), or
        two files list the same recording.
    """
    return EmotionList(merged(text_files(Path(path)), _read_file))


def holds_emotion(path: str | Path) -> bool:
    """Whether a file or folder has levels of emotion to read.

    Raises
    ------
    FormatError
        If nothing is there or it is no text.
    """
    for file in text_files(Path(path)):
        lines = numbered_lines(file)
        if not lines:
            continue
        if not lines[0][1].lstrip().startswith("{"):
            if _columns(lines[0][1]) is not None:
                return True
        elif any(_is_record(line) for _, line in lines):
            return True
    return False


def _read_file(path: Path) -> dict[str, list[EmotionSegment]]:
    lines = numbered_lines(path)
    if not lines:
        return {path.stem: []}
    if lines[0][1].lstrip().startswith("{"):
        found = _records(path, lines)
    else:
        header = _columns(lines[0][1])
        if header is None:
            expected = f"records, or a header with {', '.join(EMOTION_DIMENSIONS)}"
            raise FormatError(f"{path}:{lines[0][0]}: expected {expected}, got {lines[0][1].strip()[:80]!r}")
        found = _rows(path, lines[1:], *header)
    for segments in found.values():
        segments.sort(key=lambda segment: segment.onset)
    return found


def _is_record(line: str) -> bool:
    return '"emotion"' in line.partition('"type"')[2][:20]


def _records(path: Path, lines: list[tuple[int, str]]) -> dict[str, list[EmotionSegment]]:
    found: dict[str, list[EmotionSegment]] = {}
    for number, line in lines:
        where = f"{path}:{number}"
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as error:
            raise FormatError(f"{where}: not JSON: {error.msg} at column {error.colno}") from None
        if not isinstance(fields, dict):
            raise FormatError(f"{where}: expected a JSON object, got {line.strip()[:40]!r}")
        kind, name = fields.get("type"), recording_name(str(fields.get("source") or path.stem))
        if kind == Start.type:
            found.setdefault(name, [])
        elif kind == "emotion":
            found.setdefault(name, []).append(_segment(fields, where))
    return found


def _columns(header: str) -> tuple[str, list[str]] | None:
    """Return separator and names of the columns of a table of emotion, None for anything else."""
    separator = "\t" if "\t" in header else ","
    names = [name.strip().lower() for name in header.split(separator)]
    names = ["filename" if name == "file" else name for name in names]
    return (separator, names) if set(EMOTION_DIMENSIONS) <= set(names) else None


def _rows(
    path: Path, lines: list[tuple[int, str]], separator: str, names: list[str]
) -> dict[str, list[EmotionSegment]]:
    found: dict[str, list[EmotionSegment]] = {}
    for number, line in lines:
        cells = dict(zip(names, (cell.strip() for cell in line.split(separator)), strict=False))
        name = recording_name(cells.get("filename") or path.stem)
        segments = found.setdefault(name, [])
        # A recording may be listed without a level, as one in which nobody speaks.
        if any(cells.get(dimension) for dimension in EMOTION_DIMENSIONS):
            segments.append(_segment(cells, f"{path}:{number}"))
    return found


def _segment(fields: Mapping[str, object], where: str) -> EmotionSegment:
    onset = _number(fields.get("onset") or 0.0, "onset", where)
    offset = fields.get("offset")
    end = math.inf if offset in (None, "") else _number(offset, "offset", where)
    if not 0.0 <= onset < end:
        raise FormatError(f"{where}: expected times 0 <= onset < offset, got {onset}, {end}")
    valence, arousal, dominance = (_number(fields.get(name), name, where) for name in EMOTION_DIMENSIONS)
    for name, level in zip(EMOTION_DIMENSIONS, (valence, arousal, dominance), strict=True):
        if not 0.0 <= level <= 1.0:
            raise FormatError(f"{where}: {name}: expected a level in [0, 1], got {level:g}")
    return EmotionSegment(onset, end, (valence, arousal, dominance))


def _number(value: object, name: str, where: str) -> float:
    try:
        number = float(str(value))
    except ValueError:
        raise FormatError(f"{where}: {name}: expected a number, got {value!r}") from None
    if not math.isfinite(number):
        raise FormatError(f"{where}: {name}: expected a finite number, got {value!r}")
    return number
