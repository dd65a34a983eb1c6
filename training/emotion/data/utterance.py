"""An utterance, and the scale that its labels come from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streamsed.config import require
from streamsed.errors import FormatError
from streamsed.types import EMOTION_DIMENSIONS

Levels = tuple[float, float, float]


@dataclass(frozen=True)
class Utterance:
    """A recording of one speaker who says one thing.

    Attributes
    ----------
    path : Path
    speaker : str
    session : str
        Recording session, or broadcast; the speaker where there is none.
    language : str
        ISO 639-1, or empty.
    labels : tuple of 3 float
        Valence, arousal and dominance in [0, 1].
    ratings : mapping of str to tuple of 3 float
        The same of each rater, NaN where one of them did not rate a dimension; empty where the corpus has no single
        ratings.
    category : str
        What the speaker acted or the raters named, where the corpus says it.
    """

    path: Path
    speaker: str
    session: str
    language: str
    labels: Levels
    ratings: Mapping[str, Levels] = field(default_factory=dict)
    category: str = ""


@dataclass(frozen=True)
class Scale:
    """The scale of an annotation.

    Parameters
    ----------
    low, high : float
        Its ends, which become 0 and 1.
    clip : bool
        Take the nearer end for a value that is outside, instead of refusing it: IEMOCAP is known to have such.
    """

    low: float
    high: float
    clip: bool = False

    def __post_init__(self) -> None:
        """Check the ends."""
        usable = math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high
        require(usable, "scale", "two finite ends, low < high", (self.low, self.high))

    def level(self, text: str, dimension: str, where: str) -> float:
        """Return a value as a level in [0, 1].

        Raises
        ------
        FormatError
            If it is no number, or outside of the scale unless that is clipped; the message names ``where``.
        """
        try:
            value = float(text)
        except ValueError:
            raise FormatError(f"{where}: {dimension}: expected a number, got {text!r}") from None
        if not math.isfinite(value) or (not self.clip and not self.low <= value <= self.high):
            expected = f"a value in [{self.low:g}, {self.high:g}]"
            raise FormatError(f"{where}: {dimension}: expected {expected}, got {text}")
        return (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)

    def levels(self, texts: Sequence[str], where: str) -> Levels:
        """Return three values as levels of valence, arousal and dominance; NaN for an empty one.

        Raises
        ------
        FormatError
            As :meth:`level`.
        """
        valence, arousal, dominance = (
            self.level(text, name, where) if text.strip() else math.nan
            for name, text in zip(EMOTION_DIMENSIONS, texts, strict=True)
        )
        return valence, arousal, dominance
