"""Recipes of classifiers of respiratory cycles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from streamsed.config import CyclePreparation, LogMelConfig, from_mapping, require
from streamsed.types import CYCLE_LABELS
from training.augment import AugmentConfig
from training.ensemble import EnsembleSettings
from training.lung.registry import LungNetConfig, lung_net_config
from training.recipe import NetSettings, TrainSettings, read_sections, toml_value
from training.schedule import Schedule

TASK = "lung_sounds"
BINARY_LABELS = ("normal", "abnormal")


@dataclass(frozen=True)
class LungData:
    """Which cycles are trained on, validated on and tested on.

    Parameters
    ----------
    root : str
        Folder that ``recordings`` is below.
    recordings : str
        Folder in the official layout of ICBHI 2017.
    split : {"official", "random", "patients"}
        The official list by recording; all cycles at random, 80 to 20, as the paper has it (with patients on both
        sides); or folds without a patient in two of them.
    number : int
        Which of the random splits, or which fold.
    folds : int
        How many folds of patients.
    seed : int
        Of the random splits and folds.
    drop_shared : bool
        Leave patients of the official test part out of the training: the list has such.
    validation_share : float
        In [0, 0.5]: share of the cycles of the training side that is held out; 0: none.
    validation_by : {"cycle", "recording", "patient"}
        What of them is never divided.
    validation_folds, validation_fold : int
        Instead of a share: folds of patients of the training side, one of which is held out. 0: none.
    skip_bad : bool
        Leave unreadable recordings out, which are counted and named, instead of failing.
    """

    root: str = "data"
    recordings: str = "."
    split: Literal["official", "random", "patients"] = "official"
    number: int = 0
    folds: int = 5
    seed: int = 0
    drop_shared: bool = False
    validation_share: float = 0.0
    validation_by: Literal["cycle", "recording", "patient"] = "patient"
    validation_folds: int = 0
    validation_fold: int = 0
    skip_bad: bool = False

    def __post_init__(self) -> None:
        """Check what the fields say of each other."""
        require(self.number >= 0, "number", "0 or more", self.number)
        share = self.validation_share
        require(0.0 <= share <= 0.5, "validation_share", "in [0, 0.5]", share)
        folds, fold = self.validation_folds, self.validation_fold
        require(folds == 0 or folds >= 2, "validation_folds", "0, or at least 2", folds)
        require(folds == 0 or share == 0, "validation_folds", "0 beside a validation_share", folds)
        require(folds == 0 or 0 <= fold < folds, "validation_fold", f"in [0, {folds})", fold)

    @property
    def validates(self) -> bool:
        """Whether cycles of the training side are held out."""
        return self.validation_share > 0 or self.validation_folds > 0


@dataclass(frozen=True)
class CycleAugmentation:
    """Copies of cycles that are made before the training begins, by class: normal, crackle, wheeze, both.

    Parameters
    ----------
    stretched : tuple of 4 int
        Copies played slower or faster at the same pitch; ``(0, 0, 1, 1)`` doubles wheeze and both.
    stretch : float
        Their speed is uniform in 1 ± this.
    warped : tuple of 4 int
        Copies of every cycle, and of every stretched copy, with a warped filter bank (VTLP).
    warp : float
        The warp factor is uniform in 1 ± this.
    warp_high_hz : tuple of float
        Range of the frequency that the warp bends at, below half the sample rate.
    moved : tuple of 4 int
        Copies that are cut elsewhere, as a segmenter would.
    move : float
        Both ends of them are moved by a share of the duration that is uniform in ± this.
    recoloured : tuple of 4 int
        Copies as another stethoscope in another place might have recorded them.
    equaliser_db, noise_db : float, tuple of float
        Of these: their level is changed by a curve over the frequency within ± the one, and noise of random colour is
        added, so many dB below.
    suppression_probability : float
        In [0, 1]: share of them that went through noise suppression, see :func:`training.lung.material.suppressed`.
    roll : bool
        Turn the frames of a segment by a random time, each time anew.
    epoch_segments : int
        Segments of an epoch, drawn from all; 0: all of them.
    balance : float
        In [0, 1]: segments are drawn with probability n_k^-balance, n_k those of their class; 0: each once.
    balance_devices : bool
        Draw each class of a device as often as if all devices had the same share of it: nothing is learnt from what a
        stethoscope happened to be used for (Kamiran and Calders 2012, *reweighing*). Needs ``balance`` above 0.
    mixup_alpha : float
        λ ~ Beta(α, α) of every example with a second one of the batch, in what the network's weights begin with
        (Zhang et al. 2018); 0: none.
    """

    stretched: tuple[int, ...] = (0, 0, 1, 1)
    stretch: float = 0.1
    warped: tuple[int, ...] = (1, 3, 4, 7)
    warp: float = 0.1
    warp_high_hz: tuple[float, ...] = (3200.0, 3800.0)
    moved: tuple[int, ...] = (0, 0, 0, 0)
    move: float = 0.1
    recoloured: tuple[int, ...] = (0, 0, 0, 0)
    equaliser_db: float = 12.0
    noise_db: tuple[float, ...] = (10.0, 45.0)
    suppression_probability: float = 0.0
    roll: bool = True
    epoch_segments: int = 0
    balance: float = 0.0
    balance_devices: bool = False
    mixup_alpha: float = 0.0

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("stretched", "warped", "moved", "recoloured"):
            counts = tuple(getattr(self, name))
            usable = len(counts) == len(CYCLE_LABELS) and all(count >= 0 for count in counts)
            require(usable, name, f"a count of 0 or more for each of {list(CYCLE_LABELS)}", counts)
            object.__setattr__(self, name, counts)
        for name in ("stretch", "warp", "move"):
            require(0.0 <= getattr(self, name) <= 0.5, name, "in [0, 0.5]", getattr(self, name))
        for name, unit in (("warp_high_hz", "Hz"), ("noise_db", "dB")):
            low_high = tuple(getattr(self, name))
            usable = len(low_high) == 2 and 0 < low_high[0] <= low_high[1]
            require(usable, name, f"a range [low, high] in {unit}, above 0", low_high)
            object.__setattr__(self, name, low_high)
        require(self.equaliser_db >= 0.0, "equaliser_db", "0 or more", self.equaliser_db)
        require(self.epoch_segments >= 0, "epoch_segments", "0 or more", self.epoch_segments)
        share = self.suppression_probability
        require(0.0 <= share <= 1.0, "suppression_probability", "in [0, 1]", share)
        require(0.0 <= self.balance <= 1.0, "balance", "in [0, 1]", self.balance)
        expected = "false, or with balance above 0"
        require(
            self.balance > 0 or not self.balance_devices, "balance_devices", expected, self.balance_devices
        )
        require(self.mixup_alpha >= 0.0, "mixup_alpha", "0 or more", self.mixup_alpha)


# As published: nothing beside the copies.
NO_AUGMENTATION = AugmentConfig(
    overlay_probability=0.0,
    gain_db=(0.0, 0.0),
    equaliser_probability=0.0,
    band_limit_probability=0.0,
    shift_probability=0.0,
    noise_floor_db=(-300.0, -300.0),
    mask_probability=0.0,
    digital_silence_probability=0.0,
)


@dataclass(frozen=True)
class LungRecipe:
    """Everything that decides what a training gives.

    Parameters
    ----------
    classes : int
        4 (normal, crackle, wheeze, both) or 2 (normal, abnormal).
    gamma : float
        Of the focal loss; 0 is cross-entropy.
    train : TrainSettings
        ``weight_decay`` is coupled (Adam), and on the network's ``regularised()`` weights alone, those of the
        convolutions: Keras' L2 of 0.001 is 0.002.
    augment : AugmentConfig
        What may happen to a chunk at every step; needs a logarithmic front-end of power.
    """

    name: str
    front_end: LogMelConfig
    classes: int = 4
    gamma: float = 1.0
    preparation: CyclePreparation = field(default_factory=CyclePreparation)
    net: NetSettings = field(default_factory=lambda: NetSettings(kind="lung_cnn"))
    data: LungData = field(default_factory=LungData)
    copies: CycleAugmentation = field(default_factory=CycleAugmentation)
    augment: AugmentConfig = NO_AUGMENTATION
    train: TrainSettings = field(default_factory=TrainSettings)
    ensemble: EnsembleSettings = field(default_factory=EnsembleSettings)
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what the sections cannot know of each other."""
        require(self.classes in (2, 4), "classes", "2 or 4", self.classes)
        require(self.gamma >= 0, "gamma", "0 or more", self.gamma)
        kind = self.front_end.normalisation
        require(kind == "none", "front_end.normalisation", "none: the training set gives the z-score", kind)
        joint = (self.augment.overlay_probability, self.augment.digital_silence_probability)
        expected = "0: a cycle has one label"
        name = "augment.overlay_probability, augment.digital_silence_probability"
        require(joint == (0, 0), name, expected, joint)
        half, high = self.front_end.sample_rate / 2, self.copies.warp_high_hz[1]
        warps = any(self.copies.warped)
        require(not warps or high < half, "copies.warp_high_hz", f"below {half:g} Hz", high)
        logarithm = self.front_end.log == "ln" and self.front_end.spectrum == "power"
        plain = self.augment == NO_AUGMENTATION
        fixed = plain and not self.copies.roll
        expected = "none, nor copies.roll: the statistics of lung_contrast are computed once"
        require(fixed or not self.is_condensed, "augment", expected, self.augment)
        require(plain or logarithm, "augment", "none without natural log-mel power", self.augment)

    @property
    def labels(self) -> tuple[str, ...]:
        """Columns of the posteriors."""
        return CYCLE_LABELS if self.classes == 4 else BINARY_LABELS

    @property
    def is_condensed(self) -> bool:
        """Whether the network takes statistics of chunks that no weight has a part in."""
        return self.net.kind == "lung_contrast"

    @property
    def net_config(self) -> LungNetConfig:
        """Configuration of the network."""
        return lung_net_config(self.net.kind, _tuples(self.net.shape), self.front_end.n_mels, self.classes)

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Files below a run that become the members of the bundle."""
        cyclic = Schedule(self.train.schedule) is Schedule.CYCLIC_COSINE
        return self.ensemble.files(self.train.cycles if cyclic else 0, f"{self.train.keep}.ckpt")


_SECTIONS: dict[str, type[Any]] = {
    "front_end": LogMelConfig,
    "preparation": CyclePreparation,
    "net": NetSettings,
    "data": LungData,
    "copies": CycleAugmentation,
    "augment": AugmentConfig,
    "train": TrainSettings,
    "ensemble": EnsembleSettings,
}


def load_lung_recipe(name: str, overrides: Iterable[str] = ()) -> LungRecipe:
    """Read ``training/recipes/<name>/config.toml`` and apply overrides of the form ``section.key=value``.

    ``classes=2`` and ``gamma=0`` are overrides, too.

    Raises
    ------
    ConfigError
        If the recipe does not exist or is for another task, or a section or key is unknown.
    """
    given = list(overrides)
    values = read_sections(
        name, TASK, _SECTIONS, [item for item in given if not _is_key(item)], keys=("classes", "gamma")
    )
    for item in given:
        if _is_key(item):
            key, _, text = item.partition("=")
            values[key] = toml_value(text)
    return from_mapping(LungRecipe, values, "config.toml")


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def _is_key(override: str) -> bool:
    return override.partition("=")[0] in ("classes", "gamma")
