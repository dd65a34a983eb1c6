"""Levels that were estimated for utterances that a model was not trained on, as a table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamsed.config import require
from streamsed.errors import FormatError
from streamsed.metrics import EmotionMoments, emotion_moments
from streamsed.types import EMOTION_DIMENSIONS
from training.emotion.data import Utterance
from training.files import whole_file

Floats = npt.NDArray[np.float64]

_FACTS = ("file", "speaker", "language", "fold")
_TRUTHS = tuple(f"truth_{name}" for name in EMOTION_DIMENSIONS)


@dataclass(frozen=True)
class Predictions:
    """Truth and estimate of N utterances.

    Attributes
    ----------
    files, speakers, languages, folds : tuple of N str
        Names of the recordings without their folder, who speaks in which language, and what was left out then.
    truth, estimate : ndarray, shape (N, 3)
        Valence, arousal, dominance.
    """

    files: tuple[str, ...]
    speakers: tuple[str, ...]
    languages: tuple[str, ...]
    folds: tuple[str, ...]
    truth: Floats
    estimate: Floats

    def moments(self) -> EmotionMoments:
        """Return what scores and intervals by speaker are made of."""
        return emotion_moments(self.truth, self.estimate, self.speakers)

    def of_files(self, files: Sequence[str]) -> Predictions:
        """Return these recordings, in this order.

        Raises
        ------
        ConfigError
            If one is missing.
        """
        place = {name: index for index, name in enumerate(self.files)}
        missing = [name for name in files if name not in place]
        require(not missing, "predictions", "all recordings of the other table", f"none of {missing[:3]}")
        chosen = [place[name] for name in files]
        facts = (tuple(column[index] for index in chosen) for column in self._facts())
        return Predictions(*facts, self.truth[chosen], self.estimate[chosen])

    def of_language(self, language: str) -> Predictions:
        """Return the recordings in a language."""
        pairs = zip(self.files, self.languages, strict=True)
        return self.of_files([name for name, spoken in pairs if spoken == language])

    def _facts(self) -> tuple[tuple[str, ...], ...]:
        return self.files, self.speakers, self.languages, self.folds


def make_predictions(
    utterances: Sequence[Utterance], folds: Sequence[str], truth: npt.ArrayLike, estimate: npt.ArrayLike
) -> Predictions:
    """Return the table of utterances, each with the name of its fold."""
    names = tuple(item.path.name for item in utterances)
    require(len(set(names)) == len(names), "utterances", "recordings of different names", "some of one name")
    return Predictions(
        names,
        tuple(item.speaker for item in utterances),
        tuple(item.language for item in utterances),
        tuple(folds),
        np.asarray(truth, np.float64),
        np.asarray(estimate, np.float64),
    )


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write a CSV: file, speaker, language, fold, truth_<dimension>..., <dimension>...."""
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = zip(*predictions._facts(), strict=True)
    with whole_file(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*_FACTS, *_TRUTHS, *EMOTION_DIMENSIONS])
        for fact, truth, estimate in zip(facts, predictions.truth, predictions.estimate, strict=True):
            writer.writerow([*fact, *(f"{value:.6f}" for value in (*truth, *estimate))])


def read_predictions(path: Path) -> Predictions:
    """Read what :func:`write_predictions` wrote.

    Raises
    ------
    FormatError
        If the file or a column is missing, or a cell is no number.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise FormatError(f"{path}: cannot read: {error.strerror}") from error
    columns = (*_FACTS, *_TRUTHS, *EMOTION_DIMENSIONS)
    missing = sorted(set(columns) - set(rows[0] if rows else ()))
    if missing:
        raise FormatError(f"{path}: expected columns {list(columns)}, missing {missing}")
    facts = (tuple(row[name] for row in rows) for name in _FACTS)
    try:
        numbers = [
            np.array([[float(row[name]) for name in names] for row in rows])
            for names in (_TRUTHS, EMOTION_DIMENSIONS)
        ]
    except (TypeError, ValueError) as error:
        raise FormatError(f"{path}: {error}") from None
    return Predictions(*facts, *numbers)
