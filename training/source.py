"""What a recipe learns from and is measured on, whether it is mixed from clips or read from a public data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from training.recipe import Recipe
from training.recordings import recording_source
from training.scenes import scene_maker, scene_samples

if TYPE_CHECKING:
    from training.scenes import Scenes

Events = list[tuple[float, float, str]]


class Source(Protocol):
    """The scenes of a split, which can be sent to another process."""

    def __len__(self) -> int: ...

    def make(self, index: int) -> tuple[npt.NDArray[np.float32], Events]:
        """Return samples (n,) and target events (onset, offset, label) in seconds of scene ``index``."""

    def fingerprint(self) -> Any:
        """Everything that the scenes depend on, for cache keys."""

    def describe(self) -> str:
        """What they are, for reports."""


class MixedScenes:
    """As many scenes of the mixer as the recipe asks for."""

    def __init__(self, scenes: Scenes, count: int, description: str) -> None:
        self._scenes = scenes
        self._count = count
        self._description = description

    def __len__(self) -> int:
        return self._count

    def make(self, index: int) -> tuple[npt.NDArray[np.float32], Events]:
        """Return samples (n,) and events (onset, offset, label) in seconds of scene ``index``."""
        return self._scenes.make(index)

    def fingerprint(self) -> Any:
        """Everything that the scenes depend on, but not their number."""
        return self._scenes.fingerprint()

    def describe(self) -> str:
        """Return what they are."""
        return self._description


def scene_source(recipe: Recipe, split: str) -> Source:
    """Return the scenes of split "train", "validation" or "test": those of ``data.recordings``, or else mixed ones.

    Raises
    ------
    ConfigError
        If there is no such split, or nothing for it.
    FormatError
        If the data are missing or wrong.
    """
    settings = recipe.data.recordings
    if settings is not None:
        return recording_source(
            settings,
            Path(recipe.data.root),
            recipe.front_end.sample_rate,
            split,
            skip_bad=recipe.data.skip_bad,
        )
    scenes = scene_maker(recipe, split)
    seconds = scene_samples(recipe) / recipe.front_end.sample_rate
    folds = list(getattr(recipe.data, f"{split}_folds"))
    description = f"scenes of {seconds:g} s mixed from clips of folds {folds}"
    return MixedScenes(scenes, getattr(recipe.data, f"{split}_scenes"), description)


def longest_scene(recipe: Recipe) -> int:
    """Samples of the longest scene, which is what a network that takes whole windows is made for."""
    settings = recipe.data.recordings
    return (
        scene_samples(recipe) if settings is None else round(settings.seconds * recipe.front_end.sample_rate)
    )
