"""What an adapter finds, before labels are made of ratings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from training.emotion.data.utterance import Levels


class Found(NamedTuple):
    """An utterance as a corpus lists it.

    Attributes
    ----------
    path : Path
    where : str
        The place that lists it, as ``file:line``, for messages.
    speaker, session, language : str
    official : tuple of 3 float or None
        The label of the corpus in [0, 1], where it has one beside the ratings.
    ratings : mapping of str to tuple of 3 float
        In [0, 1]; NaN where a rater gave none.
    category : str
    """

    path: Path
    where: str
    speaker: str
    session: str
    language: str
    official: Levels | None
    ratings: Mapping[str, Levels]
    category: str
