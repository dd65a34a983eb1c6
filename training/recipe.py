"""Recipes: a TOML file read into frozen dataclasses, with overrides from the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from streamsed.config import ClassPost, LogMelConfig, from_mapping, require
from streamsed.errors import ConfigError
from training.augment import AugmentConfig
from training.ensemble import EnsembleSettings
from training.eow.confidence import ConfidenceConfig
from training.eow.config import EowConfig
from training.fusion.settings import FusionSettings
from training.labelled import SupervisionShares
from training.losses import LossConfig
from training.nets.registry import NetConfig, is_causal, net_config, time_stride
from training.recordings import RecordingSettings, recording_labels
from training.schedule import Schedule
from training.weak.config import WeakConfig

RECIPES = Path(__file__).parent / "recipes"

T = TypeVar("T")


@dataclass(frozen=True)
class NetSettings:
    """Which network is trained, and its delay.

    Parameters
    ----------
    kind : {"streaming_crnn", "baseline_crnn", "duration_crnn", "fusion_crnn"}
        See :mod:`training.nets.registry`.
    shape : mapping
        Fields of its configuration; bands and classes follow from the recipe.
    look_ahead_frames : int
        Log-mel frames that are heard before the network has to say what there was: it is trained on labels, and its
        posteriors are read, that much later. 0 for a network that takes whole windows.
    """

    kind: str = "streaming_crnn"
    shape: Mapping[str, Any] = field(default_factory=dict)
    look_ahead_frames: int = 0

    def __post_init__(self) -> None:
        """Check the look-ahead."""
        require(self.look_ahead_frames >= 0, "look_ahead_frames", ">= 0", self.look_ahead_frames)


@dataclass(frozen=True)
class ClipSource:
    """Labelled clips: those of a CSV, or all recordings of a folder under one label; paths below ``data.root``.

    Parameters
    ----------
    audio : str
        Folder of the recordings.
    table : str
        CSV with file, label and fold; ``columns`` names its columns where they have unusual names
        (``"file=...,label=...,fold=..."``).
    label : str
        Of every recording, without a table.
    fold : int or None
        Of every recording, without a table.
    speaker_folds : str
        Instead of ``fold``, by the speaker that a file name begins with: ``"03,08=1;09,10=2"``.
    """

    audio: str
    table: str = ""
    columns: str = ""
    label: str = ""
    fold: int | None = None
    speaker_folds: str = ""

    def __post_init__(self) -> None:
        """Check that there is one way to labels and folds."""
        require(bool(self.table) != bool(self.label), "table, label", "one of them", (self.table, self.label))
        given = (self.fold is not None) + bool(self.speaker_folds)
        expected = "one of them with a label, none with a table"
        require(given == bool(self.label), "fold, speaker_folds", expected, (self.fold, self.speaker_folds))


@dataclass(frozen=True)
class DataSettings:
    """Where the clips are and how many scenes are mixed from which of them, or which recordings there are instead.

    Parameters
    ----------
    root : str
        Folder that all other paths are below.
    recordings : RecordingSettings, optional
        A public data set, which nothing is mixed from: of what follows, ``cache``, ``workers`` and ``skip_bad`` count.
    clips : tuple of ClipSource
    backgrounds, impulse_responses : str
        Folders of recordings.
    cache : str
        Folder for the log-mels of the scenes.
    train_folds, validation_folds, test_folds : tuple of int
        Folds of the clips.
    holdout : str
        Clips that the training leaves out and the validation is made of, as ``fold:remainder/divisor``; empty:
        none, and nothing is validated.
    train_scenes, validation_scenes, test_scenes : int
    train_speeds : tuple of float
        Speeds at which the clips of the training scenes are there; those of the others are as recorded.
    seed : int
    workers : int
        Processes that mix or read.
    skip_bad : bool
        Leave unreadable clips or recordings out, which are counted and named in a warning, instead of failing. All are
        decoded to their end first.
    supervision : SupervisionShares
        How much of what the mixer knows is told of the training scenes; other than everything, with ``[weak]`` alone.
    peak_normalise : bool
        Scale each scene so that its largest sample is 1: for whole recordings alone, as a stream does not know it.
    """

    root: str = "data"
    recordings: RecordingSettings | None = None
    clips: tuple[ClipSource, ...] = ()
    backgrounds: str = "backgrounds"
    impulse_responses: str = "impulse_responses"
    cache: str = "work_data"
    train_folds: tuple[int, ...] = (1, 2, 3)
    validation_folds: tuple[int, ...] = (3,)
    test_folds: tuple[int, ...] = (4,)
    holdout: str = "3:0/3"
    train_scenes: int = 4000
    validation_scenes: int = 250
    test_scenes: int = 250
    train_speeds: tuple[float, ...] = (1.0,)
    seed: int = 1
    workers: int = 2
    skip_bad: bool = False
    supervision: SupervisionShares = field(default_factory=SupervisionShares)
    peak_normalise: bool = False

    def __post_init__(self) -> None:
        """Turn the lists of TOML into tuples, and check the counts and that there is one source."""
        for name in ("train_folds", "validation_folds", "test_folds", "train_speeds"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        require(self.train_scenes >= 1, "train_scenes", "at least 1", self.train_scenes)
        require(self.workers >= 1, "workers", "at least 1", self.workers)
        both = self.recordings is not None and bool(self.clips)
        require(not both, "clips", "none beside data.recordings", len(self.clips))
        told = self.recordings is None or self.supervision == SupervisionShares()
        require(told, "supervision", "none beside data.recordings, whose labels say it", self.supervision)

    @property
    def validates(self) -> bool:
        """Whether something is held out to validate on."""
        return bool(self.holdout) if self.recordings is None else self.recordings.validates


@dataclass(frozen=True)
class TrainSettings:
    """Optimisation.

    Parameters
    ----------
    epochs : int
    batch_size : int
        With ``[weak]``, which composes its own, of the validation alone.
    learning_rate, weight_decay : float
        Of AdamW.
    schedule : {"cosine", "exponential_warm_up", "cyclic_cosine", "mean_teacher"}
        See :class:`training.schedule.Schedule`.
    warm_up_steps : int
    warm_up_epochs : float
        Instead of ``warm_up_steps``, where above 0.
    cycles : int
        Of the cyclic schedule; the weights at the end of each are kept as ``snapshot<number>.ckpt``.
    patience : int
        Epochs after the warm-up without a lower validation loss, after which the training stops; 0: never.
    keep : {"last", "best"}
        Which weights are exported: those of the last epoch, or those with the lowest validation loss after the
        warm-up.
    settle_epochs : float
        Patience and "best" look at nothing before so many epochs, even if the warm-up is shorter: for what is
        switched on late, such as the second term of EOW-Softmax.
    ema_decay : float
        Of the averaged weights, which are what is evaluated and exported; 0: those of the last step.
    clip_norm : float
        Largest norm of the gradient.
    label_smoothing : float
        Targets become y (1 - 2 e) + e.
    precision : str
        Of Lightning: "32-true" or "bf16-mixed".
    seed : int
    threads : int
        CPU threads of torch.
    warm_start : str
        Checkpoint whose averaged weights the training begins with; empty: from scratch.
    logger : {"csv", "tensorboard", "both"}
        Where the curves go: ``<run>/log/metrics.csv``, which ``plot`` draws, or event files in ``<run>/tensorboard``.
    """

    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    schedule: str = "cosine"
    warm_up_steps: int = 150
    warm_up_epochs: float = 0.0
    cycles: int = 1
    patience: int = 0
    keep: Literal["last", "best"] = "last"
    settle_epochs: float = 0.0
    ema_decay: float = 0.998
    clip_norm: float = 2.0
    label_smoothing: float = 0.0
    precision: str = "bf16-mixed"
    seed: int = 0
    threads: int = 2
    warm_start: str = ""
    logger: Literal["csv", "tensorboard", "both"] = "csv"

    def __post_init__(self) -> None:
        """Check what the trainer would find out late."""
        names = [item.value for item in Schedule]
        require(self.schedule in names, "schedule", f"one of {names}", self.schedule)
        require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        for name in ("warm_up_epochs", "settle_epochs"):
            within = 0 <= getattr(self, name) <= self.epochs
            require(within, name, f"in [0, epochs={self.epochs}]", getattr(self, name))
        whole = self.cycles >= 1 and self.epochs % self.cycles == 0
        require(whole, "cycles", f"a divisor of epochs={self.epochs}", self.cycles)
        require(self.patience >= 0, "patience", "0 or more epochs", self.patience)
        require(self.keep in ("last", "best"), "keep", "last or best", self.keep)
        known = self.logger in ("csv", "tensorboard", "both")
        require(known, "logger", "csv, tensorboard or both", self.logger)
        require(0 <= self.ema_decay < 1, "ema_decay", "in [0, 1)", self.ema_decay)

    def warm_up(self, total_steps: int) -> int:
        """Return the optimiser steps of the warm-up in a training of so many."""
        if self.warm_up_epochs > 0:
            return round(total_steps * self.warm_up_epochs / self.epochs)
        return self.warm_up_steps

    def settled(self, total_steps: int) -> int:
        """Return the optimiser steps before which patience and "best" look at nothing."""
        return max(self.warm_up(total_steps), round(total_steps * self.settle_epochs / self.epochs))


@dataclass(frozen=True)
class TuneSettings:
    """Which post-processing is tried on the validation scenes.

    Parameters
    ----------
    method : {"hysteresis", "change", "both"}
        See :class:`streamsed.config.ClassPost`; "both" keeps what is better, label by label.
    shared_weight : float
        In [0, 1]: how much the mean score over all labels says about each. A label with a handful of validation clips
        is told more by what a setting does for all; with 1 they share one setting.
    """

    method: Literal["hysteresis", "change", "both"] = "hysteresis"
    shared_weight: float = 0.3

    def __post_init__(self) -> None:
        """Check every field."""
        known = self.method in ("hysteresis", "change", "both")
        require(known, "method", "hysteresis, change or both", self.method)
        require(0 <= self.shared_weight <= 1, "shared_weight", "in [0, 1]", self.shared_weight)


class AnyRecipe(Protocol):
    """What trainings and checkpoints ask of a recipe, whatever its task."""

    @property
    def name(self) -> str:
        """Folder below training/recipes."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Columns of the posteriors."""

    @property
    def front_end(self) -> LogMelConfig:
        """What the network hears."""

    @property
    def net(self) -> NetSettings:
        """Kind and shape of the network, as the recipe says it."""

    @property
    def net_config(self) -> Any:
        """The same, checked: a frozen dataclass."""

    @property
    def train(self) -> TrainSettings:
        """How it is trained."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a training gives."""

    name: str
    labels: tuple[str, ...]
    front_end: LogMelConfig
    net: NetSettings = field(default_factory=NetSettings)
    data: DataSettings = field(default_factory=DataSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    loss: LossConfig = field(default_factory=LossConfig)
    weak: WeakConfig | None = None
    fusion: FusionSettings = field(default_factory=FusionSettings)
    eow: EowConfig = field(default_factory=EowConfig)
    confidence: ConfidenceConfig = field(default_factory=ConfidenceConfig)
    ensemble: EnsembleSettings = field(default_factory=EnsembleSettings)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    post: ClassPost = field(default_factory=ClassPost)
    tune: TuneSettings = field(default_factory=TuneSettings)
    scenes: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def net_config(self) -> NetConfig:
        """Configuration of the network, checked against its look-ahead."""
        config = net_config(
            self.net.kind,
            self.net.shape,
            self.front_end.n_mels,
            len(self.labels),
            spectral=self.fusion.spectral,
            sides=self.fusion.net_sides,
        )
        stride, frames = time_stride(config), self.net.look_ahead_frames
        require(frames % stride == 0, "look_ahead_frames", f"a multiple of {stride}", frames)
        possible = frames == 0 or is_causal(config)
        require(possible, "look_ahead_frames", "0 for a network that takes whole windows", frames)
        streams = not (is_causal(config) and self.offline_only)
        require(streams, "causal", f"false with {', '.join(self.offline_only)}, which needs the future", True)
        return config

    @property
    def offline_only(self) -> tuple[str, ...]:
        """Settings that need a whole recording, so that no stream can do the same; none: the recipe can be exported."""
        needed = {
            "data.peak_normalise = true": self.data.peak_normalise,
            "front_end.center = true": self.front_end.center,
            'fusion.alignment = "index"': bool(self.fusion.sides) and self.fusion.alignment == "index",
        }
        return tuple(name for name, is_so in needed.items() if is_so)

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Files below a run that become the members of the bundle."""
        cyclic = Schedule(self.train.schedule) is Schedule.CYCLIC_COSINE
        return self.ensemble.files(self.train.cycles if cyclic else 0, f"{self.train.keep}.ckpt")

    @property
    def folder(self) -> Path:
        """Where the recipe lives."""
        return RECIPES / self.name


_SECTIONS: dict[str, type[Any]] = {
    "front_end": LogMelConfig,
    "net": NetSettings,
    "data": DataSettings,
    "train": TrainSettings,
    "loss": LossConfig,
    "weak": WeakConfig,
    "fusion": FusionSettings,
    "eow": EowConfig,
    "confidence": ConfidenceConfig,
    "ensemble": EnsembleSettings,
    "augment": AugmentConfig,
    "post": ClassPost,
    "tune": TuneSettings,
}


SOUND_EVENTS = "sound_events"


def recipe_task(name: str) -> str:
    """Return what ``training/recipes/<name>`` is for: the ``task`` of its config.toml, by default sound events.

    Raises
    ------
    ConfigError
        If the recipe does not exist.
    """
    return str(_read(name).get("task", SOUND_EVENTS))


def _read(name: str) -> dict[str, Any]:
    path = RECIPES / name / "config.toml"
    known = sorted(item.parent.name for item in RECIPES.glob("*/config.toml"))
    require(path.exists(), "recipe", f"one of {known}", name)
    return tomllib.loads(path.read_text())


def read_sections(
    name: str,
    task: str,
    sections: Mapping[str, type[Any]],
    overrides: Iterable[str] = (),
    keys: Iterable[str] = (),
    tables: Iterable[str] = (),
) -> dict[str, Any]:
    """Read ``training/recipes/<name>/config.toml`` and apply overrides of the form ``section.key=value``.

    Values are TOML (``train.epochs=3``, ``data.root="/data"``); what is no TOML counts as a string.

    Parameters
    ----------
    name : str
    task : str
        That the recipe has to be for.
    sections : mapping of str to dataclass
        Tables that are read into dataclasses.
    overrides : iterable of str
    keys, tables : iterable of str
        What else there may be, and stays as TOML gives it; overrides reach tables alone.

    Returns
    -------
    dict
        The sections that were given, the other keys, and ``name``.

    Raises
    ------
    ConfigError
        If the recipe does not exist or is for another task, or a section or key is unknown.
    """
    values = _read(name)
    found = values.pop("task", SOUND_EVENTS)
    require(found == task, "recipe", f"one with task = {task!r}", f"{name} with task = {found!r}")
    for override in overrides:
        key, separator, text = override.partition("=")
        section, *path_of_key = key.split(".")
        require(bool(separator and path_of_key and all(path_of_key)), "--set", "section.key=value", override)
        reached = sorted({*sections, *tables, "provenance"})
        require(section in reached, "--set", f"a section among {reached}", section)
        table = values.setdefault(section, {})
        for inner in path_of_key[:-1]:
            table = table.setdefault(inner, {})
            require(isinstance(table, dict), "--set", f"a table called {inner!r}", override)
        table[path_of_key[-1]] = toml_value(text)
    unknown = sorted(set(values) - {*sections, *keys, *tables, "provenance"})
    if unknown:
        raise ConfigError(f"config.toml: expected sections among {sorted(sections)}, got unknown {unknown}")
    for section, cls in sections.items():
        if section in values:
            values[section] = from_mapping(cls, _tuples(values[section]), section)
    values["name"] = name
    return values


def load_recipe(name: str, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe for sound events; see :func:`read_sections`.

    Raises
    ------
    ConfigError
        If the recipe does not exist or is for another task, or a section or key is unknown.
    """
    values = read_sections(name, SOUND_EVENTS, _SECTIONS, overrides, ("labels",), ("scenes",))
    recordings = values["data"].recordings if "data" in values else None
    if recordings is not None:
        expected = "none beside data.recordings.labels, whose targets they are"
        require("labels" not in values, "labels", expected, values.get("labels"))
        values["labels"] = recording_labels(recordings)
    values["labels"] = tuple(values.get("labels", ()))
    return from_mapping(Recipe, values, "config.toml")


def toml_value(text: str) -> Any:
    """Read a value of TOML; what is none counts as a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
