"""Reading the folder as it is distributed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from streamsed.annotations import AUDIO_EXTENSIONS, AnnotatedCycle, read_icbhi_cycles
from streamsed.config import require
from streamsed.errors import FormatError
from training.data.adapters import Skipped
from training.data.adapters.entries import audio_by_stem, require_folder, visible
from training.data.icbhi.audio import Header, read_header
from training.data.icbhi.names import parse_name
from training.data.icbhi.recording import IcbhiData, LungRecording, Patient
from training.data.icbhi.tables import Tables, is_document, match_parts, read_tables

AUDIO_FOLDER = "audio_and_txt_files"
TOLERANCE_SECONDS = 0.1
_SHOWN_PROBLEMS = 10


def read_icbhi(
    root: str | Path, skip_bad: bool = False, *, tolerance_seconds: float = TOLERANCE_SECONDS
) -> IcbhiData:
    """Read an ICBHI 2017 folder.

    Parameters
    ----------
    root : str or Path
        Holds recordings (wav, flac, ...), each with its annotation, a txt file of the same name; or holds them in
        ``audio_and_txt_files``. The official split, the diagnoses and the demographic data beside them are read
        where they are there.
    skip_bad : bool
        Leave out recordings whose audio is missing or unreadable, instead of failing. All audio is then decoded.
    tolerance_seconds : float
        How far a cycle may reach into the next one or beyond its audio; it is cut there, and that is noted.
        Annotations are rounded.

    Returns
    -------
    IcbhiData

    Raises
    ------
    ConfigError
        If the tolerance is out of range.
    FormatError
        If the folder is none of this, or anything in it is wrong: every problem is named with its file and, in
        text, its line.
    """
    require(0 <= tolerance_seconds <= 1, "tolerance_seconds", "seconds in [0, 1]", tolerance_seconds)
    data, problems = _read(Path(root), skip_bad, tolerance_seconds)
    if problems:
        more = len(problems) - _SHOWN_PROBLEMS
        lines = problems[:_SHOWN_PROBLEMS] + ([f"and {more} more problems"] if more > 0 else [])
        raise FormatError("\n  ".join(lines))
    return data


def _read(root: Path, skip_bad: bool, tolerance: float) -> tuple[IcbhiData, list[str]]:
    problems: list[str] = []
    notes: list[str] = []
    require_folder(root, f"recordings and txt files, or {AUDIO_FOLDER}/ with them")
    folder = root / AUDIO_FOLDER if (root / AUDIO_FOLDER).is_dir() else root
    places = [root, folder] + ([root.parent] if root.name == AUDIO_FOLDER else [])
    tables = read_tables(places, problems.append)
    audio = audio_by_stem(folder)
    annotations = _annotations(folder, audio, tables, notes)
    if not audio or not annotations:
        there = f"{len(audio)} audio files and {len(annotations)} annotations"
        raise FormatError(
            f"{folder}: expected recordings of ICBHI 2017, such as 101_1b1_Al_sc_Meditron.wav, each with a txt "
            f"file of the same name, got {there}"
        )
    recordings: list[LungRecording] = []
    skipped: list[Skipped] = []
    for stem in sorted({*audio, *annotations}):
        path = audio.get(stem, folder / f"{stem}.wav")
        try:
            fields = parse_name(stem, str(audio.get(stem, annotations.get(stem, path))))
            if stem not in annotations:
                raise FormatError(f"{path}: no annotation; expected {folder / f'{stem}.txt'}")
            cycles, cut = read_icbhi_cycles(annotations[stem], tolerance)
            if not cycles:
                raise FormatError(f"{annotations[stem]}: expected at least one cycle, got an empty file")
        except FormatError as error:
            problems.append(str(error))
            continue
        try:
            if stem not in audio:
                expected = " ".join(sorted(AUDIO_EXTENSIONS))
                raise FormatError(f"{annotations[stem]}: no recording of this name beside it ({expected})")
            header = read_header(path, decode=skip_bad)
        except FormatError as error:
            if skip_bad:
                skipped.append(Skipped(path, str(error)))
            else:
                problems.append(str(error))
            continue
        notes += cut
        try:
            inside = _within(cycles, header, annotations[stem], path, tolerance, notes)
        except FormatError as error:
            problems.append(str(error))
            continue
        patient = tables.patients.get(fields.patient, Patient())
        recordings.append(
            LungRecording(stem, path, *fields, *header, inside, None, diagnosis=patient.diagnosis)
        )
    if skipped:
        total = len(skipped) + len(recordings)
        notes.append(f"left out {len(skipped)} of {total} recordings, whose audio cannot be read")
    if not recordings and not problems:
        problems.append(f"{folder}: expected at least one readable recording, got none")
    sides = match_parts([item.name for item in recordings], tables.parts, notes.append)
    placed = tuple(replace(item, part=sides[item.name]) for item in recordings)
    return IcbhiData(placed, tuple(notes), tables.patients, tuple(skipped)), problems


def _annotations(folder: Path, audio: dict[str, Path], tables: Tables, notes: list[str]) -> dict[str, Path]:
    """Return the annotations by name; note text files that are none."""
    found = {}
    for path in visible(folder.iterdir()):
        if path.suffix.lower() != ".txt" or path in tables.files or is_document(path):
            continue
        if path.stem not in audio:
            try:
                parse_name(path.stem, str(path))
            except FormatError:
                notes.append(f"{path}: is no annotation of a recording and is left out")
                continue
        found[path.stem] = path
    return found


def _within(
    cycles: list[AnnotatedCycle],
    header: Header,
    annotation: Path,
    audio: Path,
    tolerance: float,
    notes: list[str],
) -> tuple[AnnotatedCycle, ...]:
    """Cut cycles at the end of the audio; one that reaches far beyond it is an error."""
    inside = []
    for cycle in cycles:
        over = cycle.offset - header.duration
        if over > tolerance or cycle.onset >= header.duration:
            times = f"{cycle.onset:g} to {cycle.offset:g} s"
            raise FormatError(
                f"{annotation}:{cycle.line}: expected a cycle within the {header.duration:g} s of {audio}, got {times}"
            )
        if over > 0:
            # Times are written in milliseconds: less than that is rounding and not worth a note.
            if over > 0.001:
                notes.append(
                    f"{annotation}:{cycle.line}: ends {over:.3g} s after {audio.name} and is cut there"
                )
            cycle = replace(cycle, offset=header.duration)
        inside.append(cycle)
    return tuple(inside)
