"""Recipes of studies of dimensional emotion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from streamsed.config import from_mapping, require
from training.emotion.data import EmotionData
from training.emotion.features import FeatureSettings
from training.emotion.folds import Unit
from training.emotion.svr import SvrSettings
from training.recipe import read_sections

TASK = "emotion_study"


@dataclass(frozen=True)
class StudySettings:
    """What is compared.

    Parameters
    ----------
    rows : tuple of str
        Names of features; "a+b" is their concatenation (early fusion).
    folds : {"speaker", "speaker_group", "session"}
        What is left out at a time.
    groups : int
        Of speakers, with folds = "speaker_group".
    presets : tuple of {"paper", "tuned"}
        See :class:`~training.emotion.svr.SvrSettings`.
    block_scaling : bool
        Fused rows also with blocks of equal weight, under the condition "all".
    conditions : tuple of str
        "all"; a language, such as "da", on both sides; or "da>en", trained on one and tested on the other; either may
        be "all". Speakers of the test side are never trained on, whatever the language.
    analysis : tuple of str
        Features whose concordance with the labels is looked at one by one (section 5 of the paper).
    windows : tuple of float
        Lengths in seconds, shorter than an utterance, that a live model would hear.
    window_features : str
        Features of the windows.
    window_hop : float
        In seconds.
    resamples : int
        Of the bootstrap by speaker.
    unavailable : {"refuse", "leave_empty"}
        What becomes of a row whose package or model is not there.
    shipped : str
        Predictions of another model on the same folds, to compare with ``shipped_against``.
    shipped_against : tuple of str
        Rows.
    """

    rows: tuple[str, ...]
    folds: Unit = "speaker"
    groups: int = 5
    presets: tuple[Literal["paper", "tuned"], ...] = ("paper",)
    block_scaling: bool = False
    conditions: tuple[str, ...] = ("all",)
    analysis: tuple[str, ...] = ()
    windows: tuple[float, ...] = ()
    window_features: str = ""
    window_hop: float = 0.5
    resamples: int = 1000
    unavailable: Literal["refuse", "leave_empty"] = "refuse"
    shipped: str = ""
    shipped_against: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check what can be known without the data."""
        for name in ("rows", "presets", "conditions"):
            values = getattr(self, name)
            require(bool(values) and len(set(values)) == len(values), name, "different names", values)
        usable = all(0.1 <= seconds <= 60.0 for seconds in self.windows)
        require(usable, "windows", "lengths in [0.1, 60] s", self.windows)
        require(
            bool(self.windows) == bool(self.window_features),
            "window_features",
            "one, with windows",
            self.windows,
        )
        require(0.05 <= self.window_hop <= 60.0, "window_hop", "in [0.05, 60] s", self.window_hop)
        require(self.resamples >= 1, "resamples", "at least 1", self.resamples)


@dataclass(frozen=True)
class EmotionRecipe:
    """Everything that decides what a study says."""

    name: str
    study: StudySettings
    data: EmotionData = field(default_factory=EmotionData)
    svr: SvrSettings = field(default_factory=SvrSettings)
    features: Mapping[str, FeatureSettings] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the features that are asked for are there."""
        study, known = self.study, sorted(self.features)
        asked = [name for row in study.rows for name in row.split("+")]
        asked += [*study.analysis, *([study.window_features] if study.window_features else ())]
        unknown = sorted(set(asked) - set(known))
        require(not unknown, "study", f"features among {known}", unknown)
        fused = [
            row for row in study.rows if "+" in row and any(self.is_direct(part) for part in row.split("+"))
        ]
        require(not fused, "study.rows", "no fusion with the predictions of an end-to-end model", fused)

    def is_direct(self, row: str) -> bool:
        """Whether a row is the predictions of a model, without a regressor."""
        return row in self.features and self.features[row].kind == "end_to_end"


_SECTIONS: dict[str, type[Any]] = {"data": EmotionData, "svr": SvrSettings, "study": StudySettings}


def load_emotion_recipe(name: str, overrides: Iterable[str] = ()) -> EmotionRecipe:
    """Read ``training/recipes/<name>/config.toml`` and apply overrides of the form ``section.key=value``.

    Raises
    ------
    ConfigError
        If the recipe does not exist or is for another task, or a section or key is unknown.
    """
    values = read_sections(name, TASK, _SECTIONS, overrides, tables=("features",))
    features = values.pop("features", {})
    require(isinstance(features, dict), "features", "a table of tables", features)
    values["features"] = {
        key: from_mapping(FeatureSettings, settings, f"features.{key}") for key, settings in features.items()
    }
    return from_mapping(EmotionRecipe, values, "config.toml")
