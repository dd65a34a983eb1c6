"""The utterances of a recipe and their features, read once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamsed.config import require
from training.emotion.data import Utterance, read_emotion
from training.emotion.features import Segment, compute_features
from training.emotion.folds import Fold, make_folds, restricted
from training.emotion.recipe import EmotionRecipe


class Features(NamedTuple):
    """Features of N utterances, of one or more blocks.

    Attributes
    ----------
    values : ndarray, shape (N, D)
    names : tuple of D str
    blocks : tuple of int
        How many of each of the fused blocks, or of the only one.
    """

    values: npt.NDArray[np.float32]
    names: tuple[str, ...]
    blocks: tuple[int, ...]


class Material:
    """What the rows of a study are made from.

    Parameters
    ----------
    recipe : EmotionRecipe
    """

    def __init__(self, recipe: EmotionRecipe) -> None:
        self.recipe = recipe
        self._blocks: dict[str, tuple[npt.NDArray[np.float32], tuple[str, ...]]] = {}

    @cached_property
    def utterances(self) -> tuple[Utterance, ...]:
        """In the order of the rows of all features."""
        return read_emotion(self.recipe.data)

    @cached_property
    def folds(self) -> tuple[Fold, ...]:
        """What is left out at a time."""
        return make_folds(self.utterances, self.recipe.study.folds, self.recipe.study.groups)

    def features(self, row: str) -> Features:
        """Return the features of a row, "a+b" those of both side by side.

        Raises
        ------
        FeaturesUnavailable
            If a package or a model is not there.
        """
        found = [self._block(name) for name in row.split("+")]
        values = np.concatenate([block for block, _ in found], axis=1)
        names = tuple(name for _, block_names in found for name in block_names)
        return Features(values, names, tuple(block.shape[1] for block, _ in found))

    def of_segments(self, name: str, segments: list[Segment]) -> npt.NDArray[np.float32]:
        """Return the features of parts of utterances, shape (len(segments), D); NaN where there is too little sound."""
        return self._compute(name, segments, allow_empty=True)[0]

    def condition_folds(self, condition: str) -> tuple[Fold, ...]:
        """Return the folds of a condition: "all", a language, or "trained>tested".

        Raises
        ------
        ConfigError
            If the corpus has no such language.
        """
        if condition == "all":
            return self.folds
        train, _, test = condition.partition(">")
        sides = train, test or train
        known = sorted({item.language for item in self.utterances} - {""})
        unknown = sorted(set(sides) - {"all", *known})
        require(not unknown, "study.conditions", f"all, or languages among {known}", condition)
        found = (restricted(fold, self.utterances, *map(_speaks, sides)) for fold in self.folds)
        # A speaker who does not speak the language is no fold of it.
        return tuple(fold for fold in found if len(fold.test) and len(fold.train))

    def _block(self, name: str) -> tuple[npt.NDArray[np.float32], tuple[str, ...]]:
        if name not in self._blocks:
            self._blocks[name] = self._compute(name, [Segment(item.path) for item in self.utterances])
        return self._blocks[name]

    def _compute(
        self, name: str, segments: list[Segment], *, allow_empty: bool = False
    ) -> tuple[npt.NDArray[np.float32], tuple[str, ...]]:
        data = self.recipe.data
        return compute_features(
            name,
            self.recipe.features[name],
            segments,
            Path(data.cache) / "emotion",
            root=Path(data.root),
            workers=data.workers,
            allow_empty=allow_empty,
        )


def _speaks(language: str) -> Callable[[Utterance], bool]:
    return lambda utterance: language in ("all", utterance.language)
