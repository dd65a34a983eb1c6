"""Read a corpus: its layout, what is kept of it, and labels from ratings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from streamsed.config import require
from streamsed.errors import FormatError
from streamsed.types import EMOTION_DIMENSIONS
from training.emotion.data import emotale, iemocap, table, vam
from training.emotion.data.estimator import weighted_estimate
from training.emotion.data.found import Found
from training.emotion.data.utterance import Levels, Scale, Utterance
from training.sound import seconds_of


@dataclass(frozen=True)
class EmotionData:
    """Which utterances there are.

    Parameters
    ----------
    root : str
        Folder that the other paths are below.
    layout : {"emotale", "iemocap", "vam", "table"}
        Of the corpus; "table" is any other, see :mod:`training.emotion.data.table`.
    folder : str
        Of the corpus, in its official layout; of a table, the folder of its files.
    table : str
        The table, of that layout.
    scale : tuple of 2 float
        The ends of a table's scale; the others know theirs.
    labels : {"official", "mean", "ewe"}
        Those of the corpus (of EmoTale, which has none, the mean), or of its single ratings the mean or the
        evaluator-weighted estimate, see :func:`weighted_estimate`.
    outside : {"refuse", "clip"}
        What is done with values that are outside of the scale.
    languages : tuple of str
        Those that are kept; empty: all.
    min_seconds, max_seconds : float
        An utterance that is shorter or longer is an error: features describe an utterance as a whole.
    cache : str
        Folder of the features.
    workers : int
        Processes that compute features.
    """

    root: str = "data"
    layout: Literal["emotale", "iemocap", "vam", "table"] = "table"
    folder: str = "."
    table: str = ""
    scale: tuple[float, ...] = ()
    labels: Literal["official", "mean", "ewe"] = "official"
    outside: Literal["refuse", "clip"] = "refuse"
    languages: tuple[str, ...] = ()
    min_seconds: float = 0.1
    max_seconds: float = 120.0
    cache: str = "work_data"
    workers: int = 1

    def __post_init__(self) -> None:
        """Check that a table has what only tables need."""
        is_table = self.layout == "table"
        require(bool(self.table) == is_table, "table", "a file, of layout table alone", self.table)
        expected = "its two ends, of layout table alone"
        require(len(self.scale) == (2 if is_table else 0), "scale", expected, self.scale)
        within = 0.0 < self.min_seconds < self.max_seconds
        require(within, "min_seconds", f"in (0, max_seconds={self.max_seconds:g})", self.min_seconds)
        require(self.workers >= 1, "workers", "at least 1", self.workers)


def read_emotion(settings: EmotionData) -> tuple[Utterance, ...]:
    """Read the utterances of a corpus, in order of their files.

    Raises
    ------
    FormatError
        If it is missing, a line of it is wrong, a label is outside of its scale, or a recording is missing, unreadable,
        too short or too long; files and lines are named.
    ConfigError
        If nothing is left, or it has no ratings that ``labels`` asks for.
    """
    found = _find(settings)
    kept = [item for item in found if not settings.languages or item.language in settings.languages]
    expected = f"some of {sorted({item.language for item in found})}"
    require(bool(kept), "data.languages", expected, settings.languages)
    kept.sort(key=lambda item: str(item.path))
    labels = _labels(kept, settings.labels)
    for item in kept:
        _check_length(item, settings)
    return tuple(
        Utterance(item.path, item.speaker, item.session, item.language, label, item.ratings, item.category)
        for item, label in zip(kept, labels, strict=True)
    )


def _find(settings: EmotionData) -> list[Found]:
    root = Path(settings.root)
    folder, clip = root / settings.folder, settings.outside == "clip"
    if settings.layout == "table":
        low, high = settings.scale
        return table.find(root / settings.table, folder, Scale(low, high, clip))
    return {"emotale": emotale, "iemocap": iemocap, "vam": vam}[settings.layout].find(folder, clip)


def _labels(found: Sequence[Found], kind: str) -> list[Levels]:
    officials = [item.official for item in found]
    if kind == "official" and any(officials):
        lacking = next((item for item in found if item.official is None), None)
        if lacking is not None:
            raise FormatError(
                f"{lacking.where}: expected the label of the corpus, as others have it, got none"
            )
        labels = [official for official in officials if official is not None]
    elif kind == "ewe":
        labels = _weighted(found)
    else:
        labels = [_mean(item) for item in found]
    for item, label in zip(found, labels, strict=True):
        lacking = [name for name, level in zip(EMOTION_DIMENSIONS, label, strict=True) if math.isnan(level)]
        if lacking:
            raise FormatError(f"{item.where}: expected a value of {', '.join(lacking)}, got none")
    return labels


def _mean(item: Found) -> Levels:
    if not item.ratings:
        raise FormatError(f"{item.where}: expected single ratings to take the mean of, got none")
    table = np.array(list(item.ratings.values()))
    valence, arousal, dominance = (
        float(np.mean(column[~np.isnan(column)])) if not np.isnan(column).all() else math.nan
        for column in table.T
    )
    return valence, arousal, dominance


def _weighted(found: Sequence[Found]) -> list[Levels]:
    raters = sorted({rater for item in found for rater in item.ratings})
    lacking = next((item for item in found if not item.ratings), None)
    if lacking is not None:
        raise FormatError(f"{lacking.where}: expected single ratings for labels = 'ewe', got none")
    nothing = (math.nan,) * len(EMOTION_DIMENSIONS)
    ratings = np.array([[item.ratings.get(rater, nothing) for rater in raters] for item in found])
    estimates = [weighted_estimate(ratings[..., number]) for number in range(len(EMOTION_DIMENSIONS))]
    return [(float(v), float(a), float(d)) for v, a, d in zip(*estimates, strict=True)]


def _check_length(item: Found, settings: EmotionData) -> None:
    try:
        seconds = seconds_of(item.path, decode=False)
    except FormatError as error:
        listed = "" if item.path.is_file() else f"; {item.where} lists it"
        raise FormatError(f"{error}{listed}") from None
    if not settings.min_seconds <= seconds <= settings.max_seconds:
        expected = f"an utterance of {settings.min_seconds:g} to {settings.max_seconds:g} s"
        raise FormatError(f"{item.path}: expected {expected}, got {seconds:.2f} s")
