"""Recipes of models of dimensional emotion that listen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streamsed.config import EmotionConfig, FunctionalsConfig, from_mapping, require
from training.emotion.data import EmotionData
from training.emotion.svr import SvrSettings
from training.recipe import read_sections

TASK = "dimensional_emotion"


@dataclass(frozen=True)
class EnsembleSettings:
    """The regressors.

    Parameters
    ----------
    members : int
        Each is trained without one group of speakers, and their spread says how much that matters.
    components : int
        Principal components of the scaled functionals that a regressor takes: what ships has the size of these.
    windows : tuple of float
        In seconds: besides every utterance as a whole, one part of this length of those that are longer.
    disturbed : int
        Copies of every utterance in noise, four in ten of them in a room as well.
    snr_db : tuple of 2 float
        Of that noise.
    seed : int
        Of where these parts begin, and of the noise.
    resamples : int
        Of the bootstrap by speaker.
    """

    members: int = 4
    components: int = 192
    windows: tuple[float, ...] = (1.5, 2.0, 3.0)
    disturbed: int = 1
    snr_db: tuple[float, ...] = (5.0, 45.0)
    seed: int = 0
    resamples: int = 1000

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self.members >= 2, "members", "at least 2, as their spread is the uncertainty", self.members)
        require(self.components >= 1, "components", "at least 1", self.components)
        usable = all(0.5 <= seconds <= 60.0 for seconds in self.windows)
        require(usable, "windows", "lengths in [0.5, 60] s", self.windows)
        require(self.disturbed >= 0, "disturbed", "0 or more copies", self.disturbed)
        _check_range(self.snr_db)
        require(self.resamples >= 1, "resamples", "at least 1", self.resamples)


@dataclass(frozen=True)
class GateSettings:
    """The voice activity gate: what it is to tell from speech, which is that of the utterances.

    Parameters
    ----------
    sounds : str
        Pattern below ``data.root`` of recordings without speech, such as ``"esc10/audio/[123]-*.ogg"``; empty: made-up
        sounds alone.
    test_sounds, test_speech : str
        Patterns of recordings that the gate is tried with, and not trained on.
    made_up : int
        Noises, tones and pieces of music that are made from random numbers.
    windows : tuple of float
        Lengths in seconds of the parts of recordings.
    snr_db : tuple of 2 float
        Speech is also heard in rooms and in noise, or in the other sounds, at ratios in this range.
    components : int
        Principal components.
    seed : int
    """

    sounds: str = ""
    test_sounds: str = ""
    test_speech: str = ""
    made_up: int = 400
    windows: tuple[float, ...] = (1.0, 2.0, 3.0)
    snr_db: tuple[float, ...] = (0.0, 25.0)
    components: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self.made_up >= 10, "made_up", "at least 10", self.made_up)
        usable = bool(self.windows) and all(0.5 <= seconds <= 60.0 for seconds in self.windows)
        require(usable, "windows", "lengths in [0.5, 60] s", self.windows)
        _check_range(self.snr_db)
        require(self.components >= 1, "components", "at least 1", self.components)


@dataclass(frozen=True)
class EvaluationSettings:
    """What ``evaluate`` tries.

    Parameters
    ----------
    windows : tuple of float
        Lengths of windows in seconds.
    noise : str
        Pattern below ``data.root`` of a recording of noise; empty: none.
    snr_db : tuple of float
        Of that noise.
    """

    windows: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0)
    noise: str = ""
    snr_db: tuple[float, ...] = (20.0, 10.0)

    def __post_init__(self) -> None:
        """Check ranges."""
        usable = all(0.5 <= seconds <= 60.0 for seconds in self.windows)
        require(usable, "windows", "lengths in [0.5, 60] s", self.windows)


def _check_range(snr_db: tuple[float, ...]) -> None:
    in_order = len(snr_db) == 2 and snr_db[0] <= snr_db[1]
    require(in_order, "snr_db", "two numbers, the lower first", snr_db)


@dataclass(frozen=True)
class VoiceRecipe:
    """Everything that decides what the model does."""

    name: str
    data: EmotionData = field(default_factory=EmotionData)
    functionals: FunctionalsConfig = field(default_factory=FunctionalsConfig)
    svr: SvrSettings = field(default_factory=lambda: SvrSettings("tuned"))
    ensemble: EnsembleSettings = field(default_factory=EnsembleSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    emotion: EmotionConfig = field(default_factory=EmotionConfig)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    bundle: str = "voice-emotion"
    provenance: Mapping[str, str] = field(default_factory=dict)


_SECTIONS: dict[str, type[Any]] = {
    "data": EmotionData,
    "functionals": FunctionalsConfig,
    "svr": SvrSettings,
    "ensemble": EnsembleSettings,
    "gate": GateSettings,
    "emotion": EmotionConfig,
    "evaluation": EvaluationSettings,
}


def load_voice_recipe(name: str, overrides: Iterable[str] = ()) -> VoiceRecipe:
    """Read ``training/recipes/<name>/config.toml`` and apply overrides of the form ``section.key=value``.

    Raises
    ------
    ConfigError
        If the recipe does not exist or is for another task, or a section or key is unknown.
    """
    values = read_sections(name, TASK, _SECTIONS, overrides, keys=("bundle",))
    return from_mapping(VoiceRecipe, values, "config.toml")
