"""IEMOCAP: dyads in five sessions, from the official folders.

Busso et al., "IEMOCAP: interactive emotional dyadic motion capture database", Language Resources and Evaluation 42,
2008. ``Session<n>/dialog/EmoEvaluation/<dialogue>.txt`` has, for every turn, a line of times, name, category and the
mean [valence, activation, dominance], then a line for each rater; ``Session<n>/sentences/wav/<dialogue>/<turn>.wav`` is
its sound.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from streamsed.annotations import numbered_lines
from streamsed.errors import FormatError
from training.emotion.data.found import Found
from training.emotion.data.utterance import Levels, Scale

_TURN = re.compile(r"\[[^\]]*\]\s+(\S+)\s+(\S+)\s+\[([^,\]]*),([^,\]]*),([^,\]]*)\]\s*")
# Raters A-E1, ...; A-F1 and A-M1 are the actors about themselves, whom the official mean leaves out.
_RATING = re.compile(r"A-(E[0-9]+):\s*val\s*([^;]*);\s*act\s*([^;]*);\s*dom\s*([^;]*);.*")
_NAME = re.compile(r"Ses([0-9]{2})[FM]_.*_([FM])(?:[0-9X]+)")


def find(folder: Path, clip: bool) -> list[Found]:
    """Read the turns of all sessions.

    Raises
    ------
    FormatError
        If there is no session, or a line of an evaluation file cannot be understood.
    """
    scale = Scale(1.0, 5.0, clip)
    files = sorted(
        item for item in folder.glob("Session*/dialog/EmoEvaluation/*.txt") if not item.name.startswith(".")
    )
    if not files:
        raise FormatError(f"{folder}: expected Session<n>/dialog/EmoEvaluation/*.txt of IEMOCAP, found none")
    return [found for file in files for found in _turns(file, scale)]


def _turns(file: Path, scale: Scale) -> Iterator[Found]:
    session = file.parents[2]
    turn: tuple[str, str, str, Levels] | None = None
    ratings: dict[str, Levels] = {}
    for number, line in numbered_lines(file):
        where = f"{file}:{number}"
        if line.startswith("["):
            if turn is not None:
                yield _found(turn, ratings, session, file)
            match = _TURN.fullmatch(line)
            if match is None:
                raise FormatError(
                    f"{where}: expected [start - end] turn category [valence, activation, dominance], "
                    f"got {line.strip()!r}"
                )
            turn, ratings = (match[1], match[2], where, scale.levels(match.groups()[2:], where)), {}
        elif rating := _RATING.fullmatch(line.strip()):
            ratings[rating[1]] = scale.levels(rating.groups()[1:], where)
    if turn is not None:
        yield _found(turn, ratings, session, file)


def _found(
    turn: tuple[str, str, str, Levels], ratings: dict[str, Levels], session: Path, file: Path
) -> Found:
    name, category, where, official = turn
    match = _NAME.fullmatch(name)
    if match is None:
        raise FormatError(f"{where}: expected a turn like Ses01F_impro01_F000, got {name!r}")
    path = session / "sentences" / "wav" / file.stem / f"{name}.wav"
    return Found(path, where, f"{match[1]}{match[2]}", match[1], "en", official, dict(ratings), category)
