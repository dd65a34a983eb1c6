"""Any corpus, as a table: file, speaker, valence, arousal, dominance, or columns ``<dimension>_<rater>``."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from streamsed.annotations import numbered_lines
from streamsed.errors import FormatError
from streamsed.types import EMOTION_DIMENSIONS
from training.emotion.data.found import Found
from training.emotion.data.utterance import Levels, Scale


def find(table: Path, folder: Path, scale: Scale) -> list[Found]:
    """Read a table with commas or tabs; files are below ``folder``.

    Columns file and speaker are needed, and labels or ratings; session, language and category may be there.

    Raises
    ------
    FormatError
        If a column is missing, or a line is wrong.
    """
    lines = numbered_lines(table)
    text = "\n".join(line for _, line in lines)
    rows = csv.DictReader(io.StringIO(text), delimiter="\t" if lines and "\t" in lines[0][1] else ",")
    columns = [name.strip() for name in rows.fieldnames or ()]
    rows.fieldnames = columns
    labelled, raters = set(EMOTION_DIMENSIONS) <= set(columns), _raters(columns)
    if not {"file", "speaker"} <= set(columns) or not (labelled or raters):
        names = ", ".join(EMOTION_DIMENSIONS)
        expected = f"columns file, speaker, and {names} or those of raters, such as valence_a1"
        raise FormatError(f"{table}: expected {expected}, got {columns}")
    found = []
    for (number, _), row in zip(lines[1:], rows, strict=True):
        where = f"{table}:{number}"
        cells = {name: (row.get(name) or "").strip() for name in columns}
        if not cells["file"] or not cells["speaker"]:
            raise FormatError(
                f"{where}: expected a file and a speaker, got {cells['file']!r}, {cells['speaker']!r}"
            )
        ratings: dict[str, Levels] = {}
        for rater in raters:
            levels = scale.levels([cells.get(f"{name}_{rater}", "") for name in EMOTION_DIMENSIONS], where)
            if not all(map(math.isnan, levels)):
                ratings[rater] = levels
        official = scale.levels([cells[name] for name in EMOTION_DIMENSIONS], where) if labelled else None
        speaker = cells["speaker"]
        session = cells.get("session") or speaker
        path = folder / cells["file"]
        language, category = cells.get("language", ""), cells.get("category", "")
        found.append(Found(path, where, speaker, session, language, official, ratings, category))
    return found


def _raters(columns: Sequence[str]) -> list[str]:
    names = (column.partition("_") for column in columns)
    return sorted({rater for dimension, _, rater in names if dimension in EMOTION_DIMENSIONS and rater})
