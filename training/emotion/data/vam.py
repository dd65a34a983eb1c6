"""VAM-Audio: 947 sentences of 47 guests of a German talk show.

Grimm, Kroschel and Narayanan, "The Vera am Mittag German audio-visual emotional speech database", ICME 2008. Below
``data`` there is a folder for each speaker with ``Satz<speaker><sentence>.wav``, beside it ``.eva`` with a rater in
each line and ``.ewe`` with the evaluator-weighted mean of them; the columns are valence, activation and dominance in
[-1, 1].
"""

from __future__ import annotations

import re
from pathlib import Path

from streamsed.annotations import numbered_lines
from streamsed.errors import FormatError
from training.emotion.data.found import Found
from training.emotion.data.utterance import Levels, Scale

_NAME = re.compile(r"Satz([0-9]{2})([0-9]{3})")


def find(folder: Path, clip: bool) -> list[Found]:
    """Read all sentences.

    Raises
    ------
    FormatError
        If there is no sentence, one lacks its labels, or a line cannot be understood.
    """
    scale = Scale(-1.0, 1.0, clip)
    data = folder / "data"
    recordings = sorted(item for item in data.glob("*/*") if _NAME.fullmatch(item.stem) and _is_sound(item))
    if not recordings:
        raise FormatError(f"{data}: expected <speaker>/Satz<number>.wav of VAM-Audio, found none")
    return [_sentence(path, scale) for path in recordings]


def _sentence(path: Path, scale: Scale) -> Found:
    name = _NAME.fullmatch(path.stem)
    assert name is not None
    merged, single = path.with_suffix(".ewe"), path.with_suffix(".eva")
    official = None
    if merged.exists():
        levels = _lines(merged, scale)
        if len(levels) != 1:
            raise FormatError(
                f"{merged}: expected one line of valence, activation, dominance, got {len(levels)}"
            )
        official = levels[0]
    # Speakers 1 to 19 were heard by 17 people, the others by 6: not the same as the first 6 of them.
    panel = "first" if int(name[1]) <= 19 else "second"
    ratings: dict[str, Levels] = {}
    if single.exists():
        ratings = {f"{panel}{number}": levels for number, levels in enumerate(_lines(single, scale), 1)}
    if official is None and not ratings:
        raise FormatError(f"{path}: expected its labels in {merged.name} or {single.name}, found neither")
    return Found(
        path, str(merged if merged.exists() else single), name[1], name[1], "de", official, ratings, ""
    )


def _lines(file: Path, scale: Scale) -> list[Levels]:
    levels = []
    for number, line in numbered_lines(file):
        cells = line.replace(",", " ").split()
        if len(cells) != 3:
            raise FormatError(
                f"{file}:{number}: expected valence, activation and dominance, got {line.strip()!r}"
            )
        levels.append(scale.levels(cells, f"{file}:{number}"))
    return levels


def _is_sound(path: Path) -> bool:
    return path.suffix.lower() in (".wav", ".flac")
