"""EmoTale: acted sentences in Danish and English, three raters on scales from 1 to 5."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from streamsed.annotations import numbered_lines
from streamsed.errors import FormatError
from training.emotion.data.found import Found
from training.emotion.data.utterance import Levels, Scale

_NAME = re.compile(r"(DK|EN)_([0-9]{3})_([A-Z])_[0-9]+")
_LANGUAGES = {"DK": "da", "EN": "en"}
_RATER = re.compile(r"(a[0-9]+)_V")


def find(folder: Path, clip: bool) -> list[Found]:
    """Read ``annotations.csv`` beside ``audio/``.

    Raises
    ------
    FormatError
        If the table is missing or a line of it is wrong.
    """
    scale = Scale(1.0, 5.0, clip)
    table = folder / "annotations.csv"
    lines = numbered_lines(table)
    rows = csv.DictReader(io.StringIO("\n".join(line for _, line in lines)))
    columns = list(rows.fieldnames or ())
    raters = [match[1] for match in map(_RATER.fullmatch, columns) if match]
    if "file" not in columns or not raters:
        raise FormatError(f"{table}: expected columns file, a1_A, a1_V, a1_D, ..., got {columns}")
    found = []
    for (number, _), row in zip(lines[1:], rows, strict=True):
        where = f"{table}:{number}"
        name = _NAME.match(row["file"])
        if name is None:
            raise FormatError(f"{where}: expected a name like DK_001_A_1.flac, got {row['file']!r}")
        ratings: dict[str, Levels] = {
            rater: scale.levels([row.get(f"{rater}_{letter}") or "" for letter in "VAD"], where)
            for rater in raters
        }
        path = folder / "audio" / row["file"]
        language = _LANGUAGES[name[1]]
        found.append(Found(path, where, name[2], name[2], language, None, ratings, name[3]))
    return found
