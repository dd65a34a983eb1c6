"""DESED as DCASE task 4 distributes it: tables below ``metadata``, sound below ``audio``, under the same paths.

The data of DCASE 2018 task 4 are laid out alike: ``train/weak.csv``, ``train/unlabel_in_domain.csv``,
``train/unlabel_out_of_domain.csv``, ``test/test.csv`` and ``eval/eval.csv``, in ``audio`` and ``metadata`` or below a
folder ``dataset``. Videos lie below ``video``, or beside the sound; where there is no audio file, theirs is read.

Synthetic soundscapes, AudioSet clips with strong labels, validation and public evaluation are strongly labelled,
``weak`` has labels of whole clips, ``unlabel_in_domain`` nothing.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from streamsed.annotations import read_event_list, recording_name
from streamsed.errors import FormatError
from training.data.adapters.entries import (
    Entry,
    Findings,
    Line,
    ReadOptions,
    Weak,
    as_lines,
    audio_by_stem,
    require_folder,
    require_subsets,
    visible,
)
from training.data.adapters.recording import Supervision
from training.data.adapters.tables import Row, header_of, read_columns, read_rows

# Where the folder is not called as the table.
_FOLDERS = {"train/audioset_strong": "train/strong_label_real"}
# The 2018 names of two halves of the validation set.
_HALVES = dict.fromkeys(("validation/eval_dcase2018", "validation/test_dcase2018"), "validation/validation")
# The baseline keeps resampled copies beside the originals.
_SUFFIXES = ("", "_16k")
_CLIP = re.compile(r"Y?(.{11})_\d+\.\d+_\d+\.\d+")
# The description of 2018 has semicolons, its files have commas.
_COMMAS = re.compile("[,;]")
# What a table without header is, by its number of columns.
_BARE: dict[int, Supervision] = {1: "unlabelled", 2: "weak", 4: "strong"}
# The generator's own name of a soundscape.
_GENERATED = (".jams",)


def find(folder: Path, options: ReadOptions, findings: Findings) -> None:
    """Find the files of every table; a subset is named by its table's path, such as ``train/weak``."""
    if not (folder / "metadata").is_dir() and (folder / "dataset" / "metadata").is_dir():
        folder = folder / "dataset"
    metadata = require_folder(folder / "metadata", "tables such as train/weak.tsv")
    if not (folder / "video").is_dir():
        require_folder(folder / "audio", "sound under the paths of the tables")
    tables = {
        table.relative_to(metadata).with_suffix("").as_posix(): table
        for table in visible(metadata.rglob("*"))
        if table.suffix in (".tsv", ".csv") and _supervision(table) is not None
    }
    tables = {name: table for name, table in tables.items() if _HALVES.get(name) not in tables}
    if not tables:
        raise FormatError(f"{metadata}: expected tables with a column 'filename', got none")
    bare = _unlabelled_folders(folder, tables)
    require_subsets(options.subsets, [*tables, *bare])
    for name in options.subsets or [*tables, *bare]:
        with findings.collecting():
            if name in bare:
                for path in _media(folder, name)[1].values():
                    findings.entries.append(_entry(path, name, str(bare[name]), supervision="unlabelled"))
            else:
                _add_table(folder, name, tables[name], findings)


def _add_table(folder: Path, name: str, table: Path, findings: Findings) -> None:
    audio_folder, audio = _media(folder, name)
    listed: set[Path] = set()
    for entry in _entries(table, name, audio_folder, audio):
        if entry.path in listed:
            findings.problems.append(f"{entry.listed_in}: {entry.path.name} is listed twice")
            continue
        listed.add(entry.path)
        findings.entries.append(entry)
    findings.problems += [
        f"{path}: no annotation; expected a row in {table}" for path in audio.values() if path not in listed
    ]


def _entries(table: Path, name: str, folder: Path, audio: dict[str, Path]) -> list[Entry]:
    def path_of(filename: str) -> Path:
        plain = PurePosixPath(filename)
        stem = plain.stem if plain.suffix in _GENERATED else recording_name(plain.name)
        return audio.get(stem, folder / f"{stem}.wav")

    supervision = _supervision(table)
    if supervision == "strong":
        return [
            _entry(path_of(filename), name, str(table), lines=tuple(as_lines(table, events)))
            for filename, events in read_event_list(table).recordings.items()
        ]
    if supervision == "weak":
        rows = _rows(table, ("filename", "event_labels"))
        return [
            _entry(
                path_of(filename),
                name,
                where,
                supervision="weak",
                weak=tuple(Weak(label.strip(), where) for label in _COMMAS.split(labels) if label.strip()),
            )
            for (filename, labels), where in rows
        ]
    rows = _rows(table, ("filename",))
    return [_entry(path_of(filename), name, where, supervision="unlabelled") for (filename,), where in rows]


def _entry(
    path: Path,
    subset: str,
    listed_in: str,
    *,
    supervision: Supervision = "strong",
    lines: tuple[Line, ...] = (),
    weak: tuple[Weak, ...] = (),
) -> Entry:
    # Clips of the same video stay together, whatever their subset.
    match = _CLIP.fullmatch(path.stem)
    identity = match[1] if match is not None else f"{subset}/{path.stem}"
    return Entry(path, identity, "", subset, listed_in, lines, supervision, weak)


def _supervision(table: Path) -> Supervision | None:
    """Return what a table with this header says, or None: durations, licences, lists of other names."""
    header = header_of(table)
    if _has_no_header(header):
        return _BARE.get(len(header))
    columns = set(header)
    if {"filename", "onset", "offset"} <= columns:
        return "strong"
    if {"filename", "event_labels"} <= columns:
        return "weak"
    return "unlabelled" if columns == {"filename"} else None


def _has_no_header(first_line: tuple[str, ...]) -> bool:
    return bool(first_line) and recording_name(first_line[0]) != first_line[0]


def _rows(table: Path, columns: tuple[str, ...]) -> list[Row]:
    """Read these columns, which are all that there are in a table without a header."""
    if not _has_no_header(header_of(table)):
        return read_columns(table, columns)
    return [Row(cells[: len(columns)], where) for cells, where in read_rows(table, len(columns))]


def _media(folder: Path, name: str) -> tuple[Path, dict[str, Path]]:
    """Return the folder of a table's sound, and its files by name: audio files, and videos that have none.

    Raises
    ------
    FormatError
        If there is neither.
    """
    places = [_FOLDERS.get(name, name), PurePosixPath(name).parent.as_posix()]
    found: dict[str, tuple[Path, dict[str, Path]]] = {}
    for kind in ("audio", "video"):
        for candidate in [folder / kind / f"{place}{suffix}" for place in places for suffix in _SUFFIXES]:
            files = audio_by_stem(candidate) if candidate.is_dir() else {}
            if files:
                found[kind] = (candidate, files)
                break
    if not found:
        shown = ", ".join(
            str(folder / "audio" / f"{place}{suffix}") for place in places for suffix in _SUFFIXES
        )
        raise FormatError(
            f"{name}: no audio files; expected them in one of {shown}, or videos below {folder / 'video'}"
        )
    where = next(iter(found.values()))[0]
    files = [files for _, files in found.values()]
    # An audio file is believed before a video of the same name.
    return where, {stem: path for part in reversed(files) for stem, path in part.items()}


def _unlabelled_folders(root: Path, tables: dict[str, Path]) -> dict[str, Path]:
    """Return the folders of unlabelled clips that no table lists."""
    found: dict[str, Path] = {}
    folders = [*(root / "audio" / "train").glob("unlabel*"), *(root / "video" / "train").glob("unlabel*")]
    for folder in visible(folders):
        name = f"train/{folder.name.removesuffix(_SUFFIXES[1])}"
        if folder.is_dir() and name not in tables:
            found.setdefault(name, folder)
    return found
