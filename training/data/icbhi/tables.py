"""The tables beside the recordings: official split, diagnoses, demographic data; found by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import cast

from streamsed.annotations import numbered_lines, recording_name
from streamsed.errors import FormatError
from training.data.icbhi.names import NameFields, parse_name
from training.data.icbhi.recording import Part, Patient

_TABLES = {"split": r"train[-_ ]*test", "diagnosis": r"diagnos", "demographic": r"demographic"}
_DOCUMENTS = r"filename[-_ ]*(format|differences)|readme|licen[cs]e|event"


@dataclass
class Tables:
    """What was read of them; ``files`` are their paths, which are no annotations."""

    parts: dict[str, tuple[Part, str]] = field(default_factory=dict)
    patients: dict[str, Patient] = field(default_factory=dict)
    files: set[Path] = field(default_factory=set)


def read_tables(folders: Iterable[Path], problem: Callable[[str], None]) -> Tables:
    """Read the tables in these folders; what is wrong in one is told to ``problem``."""
    tables = Tables()
    found: dict[str, Path] = {}
    for path in sorted({path for folder in folders for path in folder.iterdir() if _is_text(path)}):
        kind = next((kind for kind, name in _TABLES.items() if re.search(name, path.stem, re.I)), None)
        if kind is None:
            continue
        tables.files.add(path)
        try:
            if kind in found:
                raise FormatError(f"{path}: expected one {kind} table, there is {found[kind]} as well")
            found[kind] = path
            _READERS[kind](path, tables)
        except FormatError as error:
            problem(str(error))
    return tables


def match_parts(
    names: Sequence[str], parts: dict[str, tuple[Part, str]], note: Callable[[str], None]
) -> dict[str, Part | None]:
    """Find the side of each recording, also where the distributions spell a name differently.

    A name of the list that is no recording's exactly is compared without regard to case, then without the device,
    then without the mode as well; a match counts only if it is one to one. Each is noted.

    Parameters
    ----------
    names : sequence of str
        Of recordings.
    parts : dict
        Side and place (``file:line``) by the name in the list.
    note : callable
        Takes a sentence.
    """
    sides: dict[str, Part | None] = {name: parts[name][0] if name in parts else None for name in names}
    spare = {name for name in parts if name not in sides}
    for level, what in enumerate(("case", "device", "mode and device")):
        open_names = [name for name in names if sides[name] is None]
        by_key = _by_key(open_names, level)
        spare_by_key = _by_key(spare, level)
        for key in sorted(by_key.keys() & spare_by_key.keys()):
            if len(by_key[key]) == len(spare_by_key[key]) == 1:
                (name,), (listed,) = by_key[key], spare_by_key[key]
                sides[name], where = parts[listed]
                note(f"{where}: {listed} is taken for {name}, which differs in {what}")
                spare.discard(listed)
    missing = [name for name in names if sides[name] is None]
    if parts and missing:
        note(f"official split: {len(missing)} recordings are not listed: {_some(missing)}")
    if spare:
        note(f"official split: {len(spare)} names are listed without a recording: {_some(sorted(spare))}")
    return sides


def _by_key(names: Iterable[str], level: int) -> dict[tuple[str, ...], list[str]]:
    found: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        fields = parse_name(name, name)
        cells = tuple(cell.lower() for cell in fields)
        found.setdefault(cells[: len(NameFields._fields) - level], []).append(name)
    return found


def _is_text(path: Path) -> bool:
    return (
        path.is_file() and path.suffix.lower() in (".txt", ".csv", ".tsv") and not path.name.startswith(".")
    )


def is_document(path: Path) -> bool:
    """Whether a text file is one that distributions have beside the annotations."""
    return bool(re.search(_DOCUMENTS, path.stem, re.I))


def _read_split(path: Path, tables: Tables) -> None:
    for number, line in numbered_lines(path):
        where = f"{path}:{number}"
        cells = line.replace(",", " ").replace(";", " ").split()
        if len(cells) != 2 or cells[1].lower() not in ("train", "test"):
            if number == 1 and not re.match(r"\d", cells[0]):
                continue
            raise FormatError(f"{where}: expected a recording and train or test, got {line.strip()[:80]!r}")
        name = recording_name(PurePosixPath(cells[0].replace("\\", "/")).name)
        name = name.removesuffix(".txt")
        parse_name(name, where)
        part = cast(Part, cells[1].lower())
        if tables.parts.get(name, (part,))[0] != part:
            raise FormatError(
                f"{where}: expected one side for {name}, got {part} and, in {tables.parts[name][1]}, the other"
            )
        tables.parts.setdefault(name, (part, where))


def _read_diagnosis(path: Path, tables: Tables) -> None:
    for number, line in numbered_lines(path):
        cells = [cell.strip() for cell in re.split(r"[,;\t]|\s+", line.strip(), maxsplit=1)]
        if number == 1 and not cells[0].isdigit():
            continue
        if len(cells) != 2 or not cells[0].isdigit() or not cells[1]:
            raise FormatError(
                f"{path}:{number}: expected a patient and a diagnosis, got {line.strip()[:80]!r}"
            )
        known = tables.patients.get(cells[0], Patient())
        if known.diagnosis not in (None, cells[1]):
            raise FormatError(
                f"{path}:{number}: expected one diagnosis of patient {cells[0]}, "
                f"got {cells[1]!r} after {known.diagnosis!r}"
            )
        tables.patients[cells[0]] = replace(known, diagnosis=cells[1])


def _read_demographic(path: Path, tables: Tables) -> None:
    for number, line in numbered_lines(path):
        where = f"{path}:{number}"
        split = "," if "," in line else "\t" if "\t" in line else None
        cells = [cell.strip() for cell in line.strip("\n").split(split)]
        if number == 1 and not cells[0].isdigit():
            continue
        if len(cells) != 6 or not cells[0].isdigit():
            expected = "patient, age, sex, adult BMI, child weight, child height"
            raise FormatError(f"{where}: expected {expected}, got {line.strip()[:80]!r}")
        age, bmi, weight, height = (
            _number(cells[column], name, where)
            for column, name in ((1, "age"), (3, "adult BMI"), (4, "child weight"), (5, "child height"))
        )
        sex = None if cells[2] in ("", "NA") else cells[2]
        known = tables.patients.get(cells[0], Patient())
        tables.patients[cells[0]] = replace(known, age=age, sex=sex, bmi=bmi, weight=weight, height=height)


_READERS: dict[str, Callable[[Path, Tables], None]] = {
    "split": _read_split,
    "diagnosis": _read_diagnosis,
    "demographic": _read_demographic,
}


def _number(cell: str, name: str, where: str) -> float | None:
    if cell.upper() in ("", "NA", "NAN"):
        return None
    try:
        return float(cell)
    except ValueError:
        raise FormatError(f"{where}: {name}: expected a number or NA, got {cell!r}") from None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
