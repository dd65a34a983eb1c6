"""What a layout finds, before labels are mapped and audio is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from streamsed.annotations import AUDIO_EXTENSIONS, LabelledEvent, read_event_list
from streamsed.config import require
from streamsed.errors import FormatError
from streamsed.sources.containers import CONTAINER_EXTENSIONS
from training.data.adapters.labels import LabelMap
from training.data.adapters.recording import Fold, Supervision
from training.data.soundscapes import SceneEvent


@dataclass(frozen=True)
class ReadOptions:
    """How a folder is read.

    Parameters
    ----------
    labels : LabelMap, optional
        Without one, labels stay as they are spelled and all of them are targets.
    skip_bad : bool
        Leave files out that are missing or unreadable, instead of failing.
    decode : bool
        Decode every file to its end; otherwise only its header is read.
    overrun_seconds : float
        How far an annotation may reach beyond its audio; it is cut there. Official annotations round the end.
    subsets : tuple of str
        Official parts to read; empty: all.
    annotations : Path, optional
        Where the event annotations are, for layouts that do not come with them.
    """

    labels: LabelMap | None = None
    skip_bad: bool = False
    decode: bool = False
    overrun_seconds: float = 0.1
    subsets: tuple[str, ...] = ()
    annotations: Path | None = None

    def __post_init__(self) -> None:
        """Check the number."""
        require(
            0 <= self.overrun_seconds <= 10, "overrun_seconds", "seconds in [0, 10]", self.overrun_seconds
        )


class Line(NamedTuple):
    """A strong label and where it is written, as ``file:line``."""

    event: SceneEvent
    where: str


class Weak(NamedTuple):
    """A label of a whole file and where it is written."""

    label: str
    where: str


@dataclass(frozen=True)
class Entry:
    """A file that the layout lists; ``listed_in`` tells why it is expected."""

    path: Path
    recording_id: str
    scene: str
    subset: str
    listed_in: str
    lines: tuple[Line, ...] = ()
    supervision: Supervision = "strong"
    weak: tuple[Weak, ...] = ()


@dataclass
class Findings:
    """What a layout collects: files, folds, and everything that is wrong."""

    entries: list[Entry] = field(default_factory=list)
    folds: dict[str, Fold] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Note a FormatError as a problem and go on after the block."""
        try:
            yield
        except FormatError as error:
            self.problems.append(str(error))


def require_folder(folder: Path, what: str) -> Path:
    """Return the folder, or raise FormatError that says what it should hold."""
    if not folder.is_dir():
        raise FormatError(f"{folder}: no such folder; expected {what}")
    return folder


def visible(paths: Iterable[Path]) -> list[Path]:
    """Leave out what file managers add (``.DS_Store``, ``._name``); the rest by name."""
    return sorted(path for path in paths if not path.name.startswith("."))


def audio_by_stem(folder: Path) -> dict[str, Path]:
    """Return the audio files of one folder by their name without extension; a video file where there is no other.

    Raises
    ------
    FormatError
        If two audio or two video files have the same one.
    """
    audio: dict[str, Path] = {}
    containers: dict[str, Path] = {}
    for path in visible(folder.iterdir()):
        suffix = path.suffix.lower()
        if suffix not in AUDIO_EXTENSIONS | CONTAINER_EXTENSIONS or not path.is_file():
            continue
        found = audio if suffix in AUDIO_EXTENSIONS else containers
        if path.stem in found:
            raise FormatError(f"{path}: the same name as {found[path.stem].name}; expected one of them")
        found[path.stem] = path
    return containers | audio


def add_pairs(
    findings: Findings,
    audio_folder: Path,
    annotation_folder: Path,
    suffix: str,
    *,
    scene: str = "",
    subset: str = "",
    read: Callable[[Path, str], tuple[Line, ...]] | None = None,
) -> None:
    """Add the files of a folder, each annotated in a file of the same name in another folder.

    A file without annotation is a problem. An annotation without a file is listed, and fails when the audio is
    opened.
    """
    with findings.collecting():
        audio = audio_by_stem(require_folder(audio_folder, "audio files"))
        folder = require_folder(annotation_folder, f"{suffix} files, one for each of {audio_folder}")
        annotations = {path.stem: path for path in visible(folder.glob(f"*{suffix}"))}
        for stem in sorted(set(audio) - set(annotations)):
            expected = annotation_folder / f"{stem}{suffix}"
            findings.problems.append(f"{audio[stem]}: no annotation; expected {expected}")
        for stem, table in annotations.items():
            path = audio.get(stem, audio_folder / f"{stem}.wav")
            with findings.collecting():
                lines = (read or lines_of)(table, stem)
                findings.entries.append(Entry(path, stem, scene, subset, str(table), lines))


def lines_of(table: Path, stem: str) -> tuple[Line, ...]:
    """Read a list of events of one recording.

    Raises
    ------
    FormatError
        If a line does not parse, or the file lists another recording.
    """
    recordings = read_event_list(table).recordings
    others = sorted(name for name in recordings if PurePosixPath(name).name != stem)
    if others:
        raise FormatError(f"{table}: expected events of {stem!r} alone, got {others}")
    return tuple(line for events in recordings.values() for line in as_lines(table, events))


def as_lines(table: Path, events: Iterable[LabelledEvent]) -> list[Line]:
    """Say of each event where it is written."""
    return [
        Line(SceneEvent(event.onset, event.offset, event.label), f"{table}:{event.line}") for event in events
    ]


def require_subsets(wanted: Iterable[str], known: Iterable[str]) -> None:
    """Raise ConfigError if a wanted official part does not exist."""
    known = sorted(known)
    unknown = sorted(set(wanted) - set(known))
    require(not unknown, "subsets", f"among {known}", unknown)
