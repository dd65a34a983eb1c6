"""Speaker-independent folds: one speaker, group of speakers or session is left out at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from streamsed.config import require
from training.emotion.data import Utterance

Indices = npt.NDArray[np.int64]
Unit = Literal["speaker", "speaker_group", "session"]


class Fold(NamedTuple):
    """What is left out, and the indices of both sides.

    Attributes
    ----------
    name : str
    train, test : ndarray of int64
    """

    name: str
    train: Indices
    test: Indices


def make_folds(utterances: Sequence[Utterance], by: Unit = "speaker", groups: int = 5) -> tuple[Fold, ...]:
    """Divide utterances; each is in the test side of one fold.

    Parameters
    ----------
    utterances : sequence of Utterance
    by : {"speaker", "speaker_group", "session"}
        What is left out at a time.
    groups : int
        Of "speaker_group": how many; the speakers with the most utterances are dealt first, each to the smallest group,
        so that the division follows from the data alone.

    Raises
    ------
    ConfigError
        If there are fewer than two speakers, groups or sessions, or a speaker is in two sessions.
    """
    names = _names(utterances, by, groups)
    different = sorted(set(names))
    require(len(different) >= 2, by, "at least two to leave one out of", len(different))
    column = np.array(names)
    folds = tuple(
        Fold(name, np.flatnonzero(column != name), np.flatnonzero(column == name)) for name in different
    )
    for fold in folds:
        require_apart(utterances, fold)
    return folds


def restricted(
    fold: Fold,
    utterances: Sequence[Utterance],
    train: Callable[[Utterance], bool],
    test: Callable[[Utterance], bool],
) -> Fold:
    """Return a fold without the utterances that the conditions refuse, such as those of another language."""
    return Fold(
        fold.name,
        np.array([index for index in fold.train if train(utterances[index])], np.int64),
        np.array([index for index in fold.test if test(utterances[index])], np.int64),
    )


def require_apart(utterances: Sequence[Utterance], fold: Fold) -> None:
    """Refuse a fold with a speaker, or an utterance, on both sides.

    Raises
    ------
    ConfigError
        With the names of the speakers.
    """
    sides = [{utterances[index].speaker for index in side} for side in (fold.train, fold.test)]
    both = sorted(sides[0] & sides[1])
    require(not both, "folds", f"no speaker on both sides of {fold.name!r}", both)


def _names(utterances: Sequence[Utterance], by: Unit, groups: int) -> list[str]:
    if by == "session":
        return [item.session for item in utterances]
    if by == "speaker":
        return [item.speaker for item in utterances]
    require(by == "speaker_group", "by", "speaker, speaker_group or session", by)
    counts = Counter(item.speaker for item in utterances)
    require(2 <= groups <= len(counts), "groups", f"in [2, {len(counts)} speakers]", groups)
    sizes, group_of = [0] * groups, {}
    for speaker, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        smallest = sizes.index(min(sizes))
        group_of[speaker] = f"group {smallest + 1}"
        sizes[smallest] += count
    return [group_of[item.speaker] for item in utterances]
