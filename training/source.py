"""What a recipe learns from and is measured on, whether it is mixed from clips or read from a public data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from streamsed.config import require
from training.labelled import LabelledScene, SupervisionShares
from training.recipe import Recipe
from training.recordings import recording_source
from training.scenes import scene_maker, scene_samples

if TYPE_CHECKING:
    from training.scenes import Scenes


class Source(Protocol):
    """The scenes of a split, which can be sent to another process."""

    def __len__(self) -> int: ...

    def make(self, index: int) -> LabelledScene:
        """Return scene ``index`` with what is known of it; its events are those of targets."""

    def fingerprint(self) -> Any:
        """Everything that the scenes depend on, for cache keys."""

    def describe(self) -> str:
        """What they are, for reports."""


class MixedScenes:
    """As many scenes of the mixer as the recipe asks for, of which it may be told less than the mixer knows."""

    def __init__(
        self, scenes: Scenes, count: int, description: str, shares: SupervisionShares | None = None
    ) -> None:
        self._scenes = scenes
        self._count = count
        self._description = description
        self._shares = shares or SupervisionShares()

    def __len__(self) -> int:
        return self._count

    def make(self, index: int) -> LabelledScene:
        """Return scene ``index`` with what is known of it."""
        return self._scenes.make(index).known_as(self._shares.of(index))

    def fingerprint(self) -> Any:
        """Everything that the scenes depend on, but not their number."""
        scenes = self._scenes.fingerprint()
        return scenes if self._shares.all_strong else {"scenes": scenes, "supervision": self._shares}

    def describe(self) -> str:
        """Return what they are."""
        return self._description


def scene_source(recipe: Recipe, split: str) -> Source:
    """Return the scenes of split "train", "validation" or "test": those of ``data.recordings``, or else mixed ones.

    Raises
    ------
    ConfigError
        If there is no such split, or nothing for it, or scenes are not strongly labelled without ``[weak]``.
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
            strong_only=recipe.weak is None,
        )
    shares = recipe.data.supervision
    expected = "strong = 1 without [weak], which trains on scenes that less is known of"
    require(shares.all_strong or recipe.weak is not None, "data.supervision", expected, shares)
    scenes = scene_maker(recipe, split)
    seconds = scene_samples(recipe) / recipe.front_end.sample_rate
    folds = list(getattr(recipe.data, f"{split}_folds"))
    description = f"scenes of {seconds:g} s mixed from clips of folds {folds}"
    count = getattr(recipe.data, f"{split}_scenes")
    return MixedScenes(scenes, count, description, shares if split == "train" else None)


def longest_scene(recipe: Recipe) -> int:
    """Samples of the longest scene, which is what a network that takes whole windows is made for."""
    settings = recipe.data.recordings
    return (
        scene_samples(recipe) if settings is None else round(settings.seconds * recipe.front_end.sample_rate)
    )
