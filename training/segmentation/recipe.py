"""Recipes of cycle segmenters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from streamsed.config import (
    CycleDecoderConfig,
    FrameClock,
    LogMelConfig,
    from_mapping,
    require,
)
from streamsed.segmentation import EnvelopeConfig
from training.augment import AugmentConfig
from training.nets.registry import NetConfig, is_causal, net_config, time_stride
from training.recipe import RECIPES, NetSettings, TrainSettings, read_sections

TASK = "cycle_segmentation"
LABELS = ("boundary", "lung_sound", "speech", "contact_noise")

Kind = Literal["speech", "contact_noise", "other"]


@dataclass(frozen=True)
class NegativeSource:
    """Recordings of what is no lung sound.

    Parameters
    ----------
    files : str
        Pattern below ``data.root``, such as ``"esc10/audio/*.ogg"``.
    kind : {"speech", "contact_noise", "other"}
        "other" has no label: it only is no lung sound.
    held_out : tuple of str
        Patterns of file names that are kept for the evaluation.
    """

    files: str
    kind: Kind = "other"
    held_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class SegmentationData:
    """Where the sounds are and which of them are used.

    Parameters
    ----------
    root : str
    recordings : str
        Folder below ``root`` in the official layout of ICBHI 2017.
    negatives : tuple of NegativeSource
    generated : int
        Besides them, so many pieces of contact noise, and of coloured noise and hum, are generated; for the evaluation
        a fifth of that.
    holdout : float
        In [0, 1): share of the cycles of the official train part whose patients are left out of the training, for
        validation. 0 trains on the whole part.
    seed : int
        Of the choice of patients.
    skip_bad : bool
        Leave unreadable recordings out instead of failing.
    """

    root: str = "data"
    recordings: str = "icbhi_sc"
    negatives: tuple[NegativeSource, ...] = ()
    generated: int = 50
    holdout: float = 0.33
    seed: int = 0
    skip_bad: bool = False

    def __post_init__(self) -> None:
        """Check the share."""
        require(self.generated >= 1, "generated", "at least 1", self.generated)
        require(0 <= self.holdout < 1, "holdout", "in [0, 1)", self.holdout)

    @property
    def validates(self) -> bool:
        """Whether patients are held out."""
        return self.holdout > 0


@dataclass(frozen=True)
class ExcerptSettings:
    """What a training example is made of: pieces of lung sounds and of other sounds, one after the other.

    Parameters
    ----------
    seconds : float
        Duration of an example.
    examples : int
        In an epoch; every epoch draws new ones.
    negative_probability : float
        That a piece is none of lung sounds.
    negative_seconds : tuple of float
        Range of the duration of such a piece.
    overlay_probability : float
        That speech or contact noise sounds over a piece of lung sounds.
    overlay_db : tuple of float
        Range of its level against the lung sounds.
    tempo : float
        Pieces are played slower or faster by up to this natural logarithm, at the same pitch.
    jitter_seconds : float
        Standard deviation of what every annotated boundary is moved by.
    boundary_seconds : float
        Standard deviation of the bell that is the target around a boundary.
    sound_weight : float
        Of the other labels' loss beside that of the boundary.
    """

    seconds: float = 20.0
    examples: int = 160
    negative_probability: float = 0.35
    negative_seconds: tuple[float, float] = (2.0, 12.0)
    overlay_probability: float = 0.25
    overlay_db: tuple[float, float] = (-5.0, 15.0)
    tempo: float = 0.3
    jitter_seconds: float = 0.03
    boundary_seconds: float = 0.12
    sound_weight: float = 0.3

    def __post_init__(self) -> None:
        """Turn the lists of TOML into tuples and check what would be found late."""
        for name in ("negative_seconds", "overlay_db"):
            low, high = getattr(self, name)
            require(low <= high, name, "a range [low, high]", (low, high))
            object.__setattr__(self, name, (low, high))
        require(self.seconds > 0, "seconds", "above 0", self.seconds)
        require(self.examples >= 1, "examples", "at least 1", self.examples)
        require(self.boundary_seconds > 0, "boundary_seconds", "above 0", self.boundary_seconds)


@dataclass(frozen=True)
class TuneTrials:
    """How many settings are tried.

    Parameters
    ----------
    decoder_trials, envelope_trials : int
    """

    decoder_trials: int = 300
    envelope_trials: int = 60


@dataclass(frozen=True)
class SegmentationRecipe:
    """Everything that decides what a training gives; the baselines beside it are compared with."""

    name: str
    front_end: LogMelConfig
    net: NetSettings = field(default_factory=NetSettings)
    data: SegmentationData = field(default_factory=SegmentationData)
    excerpts: ExcerptSettings = field(default_factory=ExcerptSettings)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    train: TrainSettings = field(default_factory=TrainSettings)
    decoder: CycleDecoderConfig = field(default_factory=CycleDecoderConfig)
    envelope: EnvelopeConfig = field(default_factory=EnvelopeConfig)
    grid_seconds: float = 3.0
    tune: TuneTrials = field(default_factory=TuneTrials)
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what the sections cannot know of each other."""
        mixing = (self.augment.overlay_probability, self.augment.mixup_probability)
        expected = "0, as excerpts are mixed when they are made"
        require(mixing == (0, 0), "augment.overlay_probability, augment.mixup_probability", expected, mixing)

    @property
    def labels(self) -> tuple[str, ...]:
        """Columns of the network's output."""
        return LABELS

    @property
    def net_config(self) -> NetConfig:
        """Configuration of the network, which has to stream."""
        config = net_config(self.net.kind, self.net.shape, self.front_end.n_mels, len(LABELS))
        require(is_causal(config), "net", "a causal network", self.net.kind)
        stride, frames = time_stride(config), self.net.look_ahead_frames
        require(frames % stride == 0, "look_ahead_frames", f"a multiple of {stride}", frames)
        return config

    @property
    def folder(self) -> Path:
        """Where the recipe lives."""
        return RECIPES / self.name

    @property
    def clock(self) -> FrameClock:
        """Clock of the posteriors."""
        front_end = self.front_end
        stride = time_stride(self.net_config)
        return FrameClock(front_end.sample_rate, front_end.hop_length, front_end.window_length, stride)

    @property
    def delay(self) -> int:
        """Posterior frames that the network says things later."""
        return self.net.look_ahead_frames // time_stride(self.net_config)


_SECTIONS: dict[str, type[Any]] = {
    "front_end": LogMelConfig,
    "net": NetSettings,
    "excerpts": ExcerptSettings,
    "augment": AugmentConfig,
    "train": TrainSettings,
    "decoder": CycleDecoderConfig,
    "envelope": EnvelopeConfig,
    "data": SegmentationData,
    "tune": TuneTrials,
}


def load_segmentation_recipe(name: str, overrides: Iterable[str] = ()) -> SegmentationRecipe:
    """Read ``training/recipes/<name>/config.toml`` and apply overrides of the form ``section.key=value``.

    Raises
    ------
    ConfigError
        If the recipe does not exist or is for another task, or a section or key is unknown.
    """
    values = read_sections(name, TASK, _SECTIONS, overrides, keys=["grid_seconds"])
    return from_mapping(SegmentationRecipe, values, "config.toml")
