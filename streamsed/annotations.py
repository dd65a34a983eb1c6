"""Event lists from text: JSON Lines, DCASE tables, sed_eval and Audacity lists, RTTM, ICBHI annotations.

Respiratory cycles, where every instant belongs to one of a row of cycles, are read by functions of their own.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, Generic, Self, TypeVar

from streamsed.errors import FormatError
from streamsed.types import CYCLE_LABELS, Cycle, Event, Start, record_from_dict

_AUDIO = "wav wave flac ogg oga opus mp3 aif aiff aifc au snd caf w64 rf64"
AUDIO_EXTENSIONS = frozenset(f".{name}" for name in _AUDIO.split())
# What is cut off a recording's name; any other dot belongs to the name.
_MEDIA_EXTENSIONS = AUDIO_EXTENSIONS | {".m4a", ".aac", ".wma", ".webm", ".mp4", ".mkv", ".mov", ".avi"}
_TEXT = "jsonl ndjson json tsv csv txt labels rttm"
_TEXT_EXTENSIONS = frozenset(f".{name}" for name in _TEXT.split())
_ICBHI_NAME = re.compile(r"([0-9]+)_[0-9A-Za-z]+_(?:Tc|[APL][lr])_(?:sc|mc)_[0-9A-Za-z]+")
_CYCLE_RECORD = re.compile(r'"type": *"cycle(_open)?"')
# Neighbours in lists with rounded times may overlap by that.
_ROUNDING_SECONDS = 2e-3
_ICBHI_TOLERANCE_SECONDS = 0.1

Content = TypeVar("Content")
Listing = TypeVar("Listing", bound="RecordingList[Any]")


@dataclass(frozen=True)
class LabelledEvent:
    """One line of an event list; ``confidence`` where the format has it, ``line`` its number in the file."""

    onset: float
    offset: float
    label: str
    confidence: float | None = None
    line: int | None = field(default=None, compare=False)


@dataclass
class RecordingList(Generic[Content]):
    """What there is to know of each recording, under the names that the files give them, extension removed."""

    recordings: dict[str, Content] = field(default_factory=dict)

    def renamed(self, names: dict[str, str]) -> Self:
        """Return the same under other names; a name that ``names`` lacks is kept."""
        return type(self)({names.get(name, name): content for name, content in self.recordings.items()})

    def only(self, names: Iterable[str]) -> Self:
        """Return that of these recordings."""
        return type(self)({name: self.recordings[name] for name in names})


class EventList(RecordingList[list[LabelledEvent]]):
    """Events by recording."""

    def tuples(self) -> dict[str, list[tuple[float, float, str]]]:
        """Return the events as :mod:`streamsed.metrics` takes them."""
        return {
            name: [(event.onset, event.offset, event.label) for event in events]
            for name, events in self.recordings.items()
        }


@dataclass(frozen=True)
class AnnotatedCycle:
    """A respiratory cycle: times in seconds, and which adventitious sounds are in it.

    ``confidence`` where the format has it; ``line`` is its number in the file.
    """

    onset: float
    offset: float
    crackle: bool
    wheeze: bool
    confidence: float | None = field(default=None, compare=False)
    line: int | None = field(default=None, compare=False)

    @property
    def label(self) -> str:
        """One of :data:`CYCLE_LABELS`."""
        return CYCLE_LABELS[self.crackle + 2 * self.wheeze]


def read_icbhi_cycles(path: str | Path, tolerance: float = 0.0) -> tuple[list[AnnotatedCycle], list[str]]:
    """Read the annotation of one recording of ICBHI 2017: lines of start, end, crackles, wheezes.

    Parameters
    ----------
    path : str or Path
    tolerance : float
        Seconds by which a cycle may reach into the next one; it is cut there. Longer overlaps are errors.

    Returns
    -------
    cycles : list of AnnotatedCycle
        In order of time; empty if the file is.
    notes : list of str
        What was cut.

    Raises
    ------
    FormatError
        If the file cannot be read, or a line does not parse or is reversed or overlaps the one before; the
        message names file and line.
    """
    path = Path(path)
    cycles: list[AnnotatedCycle] = []
    notes: list[str] = []
    for number, line in numbered_lines(path):
        where = f"{path}:{number}"
        try:
            cycle = _icbhi_cycle(line, number)
        except ValueError as error:
            raise FormatError(f"{where}: {error}") from None
        before = cycles[-1] if cycles else None
        if before is not None and cycle.onset < before.offset:
            over = before.offset - cycle.onset
            if over > tolerance or cycle.onset <= before.onset:
                times = (
                    f"{cycle.onset:g} s, where the cycle of line {before.line} ends at {before.offset:g} s"
                )
                raise FormatError(
                    f"{where}: expected cycles one after the other, got one that begins at {times}"
                )
            notes.append(f"{path}:{before.line}: overlaps the next cycle by {over:.3g} s and is cut there")
            cycles[-1] = replace(before, offset=cycle.onset)
        cycles.append(cycle)
    return cycles, notes


def _icbhi_cycle(line: str, number: int | None = None) -> AnnotatedCycle:
    cells = line.replace(",", " ").split()
    if len(cells) != 4 or not all(_is_number(cell) for cell in cells[:2]) or not set(cells[2:]) <= {"0", "1"}:
        expected = "start, end, crackles (0 or 1), wheezes (0 or 1)"
        raise ValueError(f"expected {expected}, got {line.strip()[:80]!r}")
    onset, offset = float(cells[0]), float(cells[1])
    if not 0 <= onset < offset < math.inf:
        raise ValueError(f"expected times 0 <= start < end, got {cells[0]}, {cells[1]}")
    return AnnotatedCycle(onset, offset, cells[2] == "1", cells[3] == "1", line=number)


def read_event_list(path: str | Path) -> EventList:
    """Read one file, or every text file below a folder.

    Parameters
    ----------
    path : str or Path
        The format is recognised from the content. Lists without a column for the recording take its name
        from the file's.

    Raises
    ------
    FormatError
        If nothing is there, or a line cannot be understood (named with file and line), or two files list the
        same recording.
    """
    return EventList(merged(text_files(Path(path)), read_event_file))


def read_cycle_list(path: str | Path) -> EventList:
    """Read respiratory cycles: of one file, or of every text file below a folder.

    Parameters
    ----------
    path : str or Path
        ICBHI annotations, ``cycle`` records, or any list of events whose labels are :data:`CYCLE_LABELS`. Of an ICBHI
        folder, ``audio_and_txt_files`` alone is read.

    Returns
    -------
    EventList
        One event per cycle, in order of time.

    Raises
    ------
    FormatError
        As :func:`read_event_list`; and if a label is no cycle's, or cycles of a recording overlap. Those of ICBHI
        annotations may by 0.1 s, which is cut.
    """
    path = Path(path)
    inner = path / "audio_and_txt_files"
    return EventList(merged(text_files(inner if inner.is_dir() else path), _read_cycles))


def holds_cycles(path: str | Path) -> bool:
    """Whether a file or folder has respiratory cycles to read: ICBHI annotations or ``cycle`` records.

    Raises
    ------
    FormatError
        If nothing is there or it is no text.
    """
    path = Path(path)
    inner = path / "audio_and_txt_files"
    return any(_has_cycles(file) for file in text_files(inner if inner.is_dir() else path))


def icbhi_patients(names: Iterable[str]) -> dict[str, str] | None:
    """Return the patient of each recording by its ICBHI name; None unless all are such names."""
    found = {name: _ICBHI_NAME.fullmatch(PurePosixPath(name).name) for name in names}
    return {name: match[1] for name, match in found.items() if match} if all(found.values()) else None


def text_files(path: Path) -> list[Path]:
    """Return the file, or every text file below the folder, sorted.

    Raises
    ------
    FormatError
        If the folder has none.
    """
    if not path.is_dir():
        return [path]
    files = sorted(
        item for item in path.rglob("*") if item.is_file() and item.suffix.lower() in _TEXT_EXTENSIONS
    )
    if not files:
        raise FormatError(f"{path}: no event lists ({' '.join(sorted(_TEXT_EXTENSIONS))}) in this folder")
    return files


def merged(files: list[Path], read: Callable[[Path], dict[str, Content]]) -> dict[str, Content]:
    """Return what ``read`` finds in all files.

    Raises
    ------
    FormatError
        If two files list the same recording.
    """
    found: dict[str, Content] = {}
    origin: dict[str, Path] = {}
    for file in files:
        for name, content in read(file).items():
            if name in found:
                raise FormatError(f"{file}: recording {name!r} is listed in {origin[name]} as well")
            found[name] = content
            origin[name] = file
    return found


def read_durations(path: str | Path) -> dict[str, float]:
    """Read a DCASE table of ``filename duration`` in seconds.

    Raises
    ------
    FormatError
        If the file or a line cannot be understood.
    """
    path = Path(path)
    durations = {}
    for number, line in numbered_lines(path):
        cells = [cell.strip() for cell in _cells(line)]
        if cells[0].lower() in ("filename", "file"):
            continue
        if len(cells) < 2 or not _is_number(cells[1]) or not 0 < float(cells[1]) < math.inf:
            raise FormatError(f"{path}:{number}: expected a file name and seconds > 0, got {line.strip()!r}")
        durations[recording_name(cells[0])] = float(cells[1])
    return durations


def pair_recordings(reference: Listing, estimated: Listing) -> tuple[Listing, Listing]:
    """Rename the recordings of both so that the same recording has the same name.

    Names that differ in their folder alone are the same recording, unless that is ambiguous; one recording
    on either side is one pair, whatever the names.
    """
    if len(reference.recordings) == len(estimated.recordings) == 1:
        (name,) = reference.recordings
        return reference, estimated.renamed({next(iter(estimated.recordings)): name})
    plain = [{name: PurePosixPath(name).name for name in side.recordings} for side in (reference, estimated)]
    if any(len(set(names.values())) < len(names) for names in plain):
        return reference, estimated
    return reference.renamed(plain[0]), estimated.renamed(plain[1])


def recording_name(name: str) -> str:
    """Return ``name`` without its audio extension."""
    suffix = PurePosixPath(name).suffix
    return name[: -len(suffix)] if suffix.lower() in _MEDIA_EXTENSIONS else name


def numbered_lines(path: str | Path) -> list[tuple[int, str]]:
    """Return the lines of a text file that are not blank, each with its number from 1.

    Raises
    ------
    FormatError
        If the file cannot be read or is no text in UTF-8.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FormatError(f"{path}: cannot read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: not a text file (UTF-8): {error}") from error
    return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def read_event_file(path: Path) -> dict[str, list[LabelledEvent]]:
    """Read one file, as :func:`read_event_list` does."""
    lines = numbered_lines(path)
    if not lines:
        return {path.stem: []}
    return _parsed(path, lines, _recognise(path, lines[0][1]))


def _read_cycles(path: Path) -> dict[str, list[LabelledEvent]]:
    lines = numbered_lines(path)
    if not lines:
        return {path.stem: []}
    parse = _recognise(path, lines[0][1])
    if isinstance(parse, _Icbhi):
        cycles, _ = read_icbhi_cycles(path, _ICBHI_TOLERANCE_SECONDS)
        return {path.stem: [LabelledEvent(c.onset, c.offset, c.label, c.confidence, c.line) for c in cycles]}
    recordings = _parsed(path, lines, _JsonCycles() if isinstance(parse, _JsonLines) else parse)
    for name, events in recordings.items():
        events.sort(key=lambda event: event.onset)
        for event in events:
            if event.label not in CYCLE_LABELS:
                expected = ", ".join(CYCLE_LABELS)
                raise FormatError(
                    f"{path}:{event.line}: expected a label among {expected}, got {event.label!r}"
                )
            if event.onset == event.offset:
                raise FormatError(
                    f"{path}:{event.line}: expected a cycle with onset < offset, got {event.onset}"
                )
        for before, event in pairwise(events):
            if event.onset < before.offset - _ROUNDING_SECONDS or event.onset == before.onset:
                raise FormatError(
                    f"{path}:{event.line}: expected cycles of {name} one after the other, got one that begins at "
                    f"{event.onset:g} s, where that of line {before.line} ends at {before.offset:g} s"
                )
    return recordings


def _has_cycles(path: Path) -> bool:
    lines = numbered_lines(path)
    if not lines:
        return False
    parse = _recognise(path, lines[0][1])
    if isinstance(parse, _JsonLines):
        return any(_CYCLE_RECORD.search(line) for _, line in lines)
    return isinstance(parse, _Icbhi)


def _parsed(path: Path, lines: list[tuple[int, str]], parse: _Parser) -> dict[str, list[LabelledEvent]]:
    recordings: dict[str, list[LabelledEvent]] = {}
    for number, line in lines:
        try:
            parsed = list(parse(line))
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(f"{path}:{number}: {error}") from error
        for name, event in parsed:
            events = recordings.setdefault(recording_name(name), [])
            if event is not None:
                if not (math.isfinite(event.offset) and 0 <= event.onset <= event.offset):
                    times = f"{event.onset}, {event.offset}"
                    raise FormatError(f"{path}:{number}: expected times 0 <= onset <= offset, got {times}")
                events.append(replace(event, line=number))
    return recordings


# Each parser turns one line into pairs (recording, event); an event of None says only that the recording
# exists.
_Parser = Callable[[str], Iterator[tuple[str, LabelledEvent | None]]]


def _recognise(path: Path, first_line: str) -> _Parser:
    first = first_line.strip()
    if first.startswith("{"):
        return _JsonLines()
    if first.split()[0] in ("SPEAKER", ";;"):
        return _rttm
    cells = _cells(first_line)
    if "onset" in [cell.strip().lower() for cell in cells]:
        return _Table(path.stem, first_line)
    if len(cells) == 4 and all(_is_number(cell) for cell in cells):
        return _Icbhi(path.stem)
    return _PlainList(path.stem)


class _JsonLines:
    """Records of the output contract; those that are no events only tell which recordings there are."""

    _record: type[Event] | type[Cycle] = Event

    def __call__(self, line: str) -> Iterator[tuple[str, LabelledEvent | None]]:
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from error
        if not isinstance(fields, dict):
            raise TypeError(f"expected a JSON object, got {line.strip()[:40]!r}")
        if fields.get("type") not in (Start.type, self._record.type):
            return
        record = record_from_dict(fields)
        if isinstance(record, (Event, Cycle)):
            yield (
                record.source,
                LabelledEvent(float(record.onset), float(record.offset), record.label, record.confidence),
            )
        elif isinstance(record, Start):
            yield record.source, None


class _JsonCycles(_JsonLines):
    """The same of respiratory cycles."""

    _record = Cycle


class _Table:
    """DCASE: a header, then tab- or comma-separated rows; one without times is a recording without events."""

    def __init__(self, stem: str, header: str) -> None:
        self._stem = stem
        self._header = header
        self._separator = "\t" if "\t" in header else ","
        names = [name.strip().lower() for name in header.rstrip("\n").split(self._separator)]
        self._column = {name: index for index, name in enumerate(names)}
        if "label" in self._column:
            self._column.setdefault("event_label", self._column["label"])
        missing = sorted({"onset", "offset", "event_label"} - set(self._column))
        self._fault = f"expected columns onset, offset, event_label; {missing} missing in {names}"
        self._fault = self._fault if missing else ""

    def __call__(self, line: str) -> Iterator[tuple[str, LabelledEvent | None]]:
        if self._fault:
            raise ValueError(self._fault)
        if line == self._header:
            return
        cells = [cell.strip() for cell in line.split(self._separator)]
        cells += [""] * (len(self._column) - len(cells))
        at = self._column
        name = cells[at["filename"]] if "filename" in at else self._stem
        if not (cells[at["onset"]] or cells[at["offset"]] or cells[at["event_label"]]):
            yield name, None
            return
        confidence = _number("confidence", cells[at["confidence"]]) if "confidence" in at else None
        yield name, _event(cells[at["onset"]], cells[at["offset"]], cells[at["event_label"]], confidence)


class _PlainList:
    """sed_eval and Audacity: ``[file] onset offset label`` without a header."""

    def __init__(self, stem: str) -> None:
        self._stem = stem

    def __call__(self, line: str) -> Iterator[tuple[str, LabelledEvent | None]]:
        # Audacity writes the frequency range of a spectral label into a line of its own that starts with a
        # backslash.
        if line.startswith("\\"):
            return
        cells = [cell.strip() for cell in _cells(line)]
        if len(cells) >= 4 and not _is_number(cells[0]):
            yield cells[0], _event(cells[1], cells[2], cells[3])
            return
        if len(cells) < 3:
            raise ValueError(f"expected onset, offset and label, got {line.strip()!r}")
        # A label may have blanks where blanks separate.
        label = cells[2] if "\t" in line else " ".join(cells[2:])
        yield self._stem, _event(cells[0], cells[1], label)


class _Icbhi:
    """ICBHI 2017: ``start end crackles wheezes`` of each respiratory cycle, the last two 0 or 1."""

    def __init__(self, stem: str) -> None:
        self._stem = stem

    def __call__(self, line: str) -> Iterator[tuple[str, LabelledEvent | None]]:
        cycle = _icbhi_cycle(line)
        yield self._stem, None
        for label, heard in (("crackle", cycle.crackle), ("wheeze", cycle.wheeze)):
            if heard:
                yield self._stem, LabelledEvent(cycle.onset, cycle.offset, label)


def _rttm(line: str) -> Iterator[tuple[str, LabelledEvent | None]]:
    cells = line.split()
    if cells[0] != "SPEAKER":
        return
    if len(cells) < 8:
        raise ValueError(f"expected at least 8 fields, got {len(cells)}")
    onset = _number("onset", cells[3])
    confidence = _number("confidence", cells[8]) if len(cells) > 8 and cells[8] != "<NA>" else None
    yield cells[1], LabelledEvent(onset, onset + _number("duration", cells[4]), cells[7], confidence)


def _event(onset: str, offset: str, label: str, confidence: float | None = None) -> LabelledEvent:
    if not label:
        raise ValueError("event_label: expected a label, got nothing")
    return LabelledEvent(_number("onset", onset), _number("offset", offset), label, confidence)


def _number(what: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{what}: expected a number, got {text!r}") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _cells(line: str) -> list[str]:
    for separator in ("\t", ",", ";"):
        if separator in line:
            return line.rstrip("\n").split(separator)
    return line.split()
