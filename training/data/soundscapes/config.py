"""Settings of the scene generator, as frozen dataclasses that a TOML file can fill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streamsed.config import from_mapping, require

# Pauses that belong to one event: about the rhythm of the sound (a clock ticks every half or whole second).
_BRIDGE_SECONDS = {
    "baby_cry": 0.4,
    "chainsaw": 1.0,
    "clock_tick": 1.2,
    "dog_bark": 0.25,
    "fire_crackling": 1.0,
    "helicopter": 1.0,
    "person_sneeze": 0.25,
    "rain": 1.0,
    "rooster": 0.4,
    "sea_waves": 1.5,
    "speech": 0.5,
}
_TEXTURES = ("chainsaw", "fire_crackling", "helicopter", "rain", "sea_waves")


def _require_range(name: str, value: tuple[float, ...], low: float, high: float) -> None:
    ordered = len(value) == 2 and low <= value[0] <= value[1] <= high
    require(ordered, name, f"two numbers in order, within [{low:g}, {high:g}]", list(value))


def _require_number(name: str, value: float, low: float, high: float) -> None:
    require(low <= value <= high, name, f"a number within [{low:g}, {high:g}]", value)


class _Section:
    """Checks that the sections share."""

    def _freeze(self, *names: str) -> None:
        for name in names:
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def _require_numbers(self, low: float, high: float, *names: str) -> None:
        for name in names:
            _require_number(name, getattr(self, name), low, high)


@dataclass(frozen=True)
class ActivityConfig(_Section):
    """What counts as the active part of a clip; levels in dB, times in seconds.

    Parameters
    ----------
    frame_seconds : float
        Length of the frames whose energy is looked at, and so the accuracy of onsets and offsets.
    range_db, texture_range_db : float
        An event begins within this distance below the clip's own loud level; the second is for textures.
    hysteresis_db : float
        It goes on this much further down.
    noise_margin_db : float
        An event lies this much above the clip's quiet frames, as long as that is no more than
        ``noise_limit_db`` below the loud level. Textures fill their clip, so they have no such floor.
    noise_limit_db : float
        See ``noise_margin_db``.
    floor_dbfs : float
        Below it there is digital silence, which never is part of an event.
    bridge_seconds : mapping
        The longest pause that belongs to one event, by label, on top of those built in;
        ``default_bridge_seconds`` for labels that neither has.
    min_seconds : float
        Shorter parts are dropped.
    textures : tuple of str
        Labels of sustained sounds without a beginning or an end of their own.
    """

    frame_seconds: float = 0.005
    range_db: float = 30.0
    texture_range_db: float = 40.0
    hysteresis_db: float = 6.0
    noise_margin_db: float = 8.0
    noise_limit_db: float = 15.0
    floor_dbfs: float = -80.0
    bridge_seconds: Mapping[str, float] = field(default_factory=dict)
    default_bridge_seconds: float = 0.3
    min_seconds: float = 0.06
    textures: tuple[str, ...] = _TEXTURES

    def __post_init__(self) -> None:
        """Check every field."""
        self._freeze("textures")
        object.__setattr__(self, "bridge_seconds", {**_BRIDGE_SECONDS, **self.bridge_seconds})
        self._require_numbers(0.001, 0.01, "frame_seconds")
        self._require_numbers(1, 100, "range_db", "texture_range_db")
        self._require_numbers(0, 100, "hysteresis_db", "noise_margin_db", "noise_limit_db")
        self._require_numbers(-150, 0, "floor_dbfs")
        self._require_numbers(0, 60, "default_bridge_seconds", "min_seconds")
        for label, seconds in self.bridge_seconds.items():
            _require_number(f"bridge_seconds.{label}", seconds, 0, 60)

    def bridge(self, label: str) -> float:
        """Return the longest pause in seconds that belongs to one event of ``label``."""
        return self.bridge_seconds.get(label, self.default_bridge_seconds)


@dataclass(frozen=True)
class EventConfig(_Section):
    """How events are drawn; levels in dB, times in seconds.

    Parameters
    ----------
    count_weights : tuple of float
        Probability of 0, 1, 2, ... events in a scene, up to a factor.
    long_seconds : float
        Of an active part longer than this a random excerpt of ``excerpt_seconds`` is taken.
    excerpt_seconds : tuple of float
        Shortest and longest excerpt.
    sequence_probability, continue_probability : float
        How often a short part is followed by the next one of its clip, and that by its next one.
    max_sequence_seconds : float
        Longest such sequence.
    snr_db : tuple of float
        Level of the loud part of an event over the background. A scene draws its mean from this range, an
        event departs from it by up to ``spread_db``, within the range.
    spread_db : float
        See ``snr_db``.
    eq_db : float
        Largest gain of the random equaliser, up or down; 0 turns it off.
    reverb_probability : float
        Share of events that go through an impulse response.
    extend_seconds : mapping
        By label: a shorter clip of a sustained sound goes round and round, cross-faded, until it has this length. For
        sounds that last longer than the clips there are of them.
    speeds : tuple of float
        Every clip is there at each of these speeds, pitch and tempo together, like a tape: for training sets of
        few recordings.
    fade_seconds : float
        Fades where a sound is cut.
    lead_seconds, tail_seconds : float
        What is kept of the clip before and after an active part, if it is free of other events.
    """

    count_weights: tuple[float, ...] = (0.10, 0.15, 0.20, 0.20, 0.15, 0.12, 0.08)
    long_seconds: float = 3.0
    excerpt_seconds: tuple[float, ...] = (0.6, 5.0)
    sequence_probability: float = 0.5
    continue_probability: float = 0.6
    max_sequence_seconds: float = 5.0
    snr_db: tuple[float, ...] = (-3.0, 25.0)
    spread_db: float = 6.0
    eq_db: float = 6.0
    reverb_probability: float = 0.4
    extend_seconds: Mapping[str, float] = field(default_factory=dict)
    speeds: tuple[float, ...] = (1.0,)
    fade_seconds: float = 0.01
    lead_seconds: float = 0.02
    tail_seconds: float = 0.1

    def __post_init__(self) -> None:
        """Check every field."""
        self._freeze("count_weights", "excerpt_seconds", "snr_db", "speeds")
        usable = min(self.count_weights, default=-1) >= 0 < sum(self.count_weights)
        require(usable, "count_weights", "numbers >= 0, one of them > 0", list(self.count_weights))
        _require_range("excerpt_seconds", self.excerpt_seconds, 0.1, 3600)
        _require_range("snr_db", self.snr_db, -60, 100)
        usable = bool(self.speeds) and min(self.speeds) >= 0.25 and max(self.speeds) <= 4
        require(usable, "speeds", "at least one number within [0.25, 4]", list(self.speeds))
        self._require_numbers(0.1, 3600, "long_seconds", "max_sequence_seconds")
        for label, seconds in self.extend_seconds.items():
            _require_number(f"extend_seconds.{label}", seconds, 0.1, 3600)
        self._require_numbers(0, 1, "sequence_probability", "continue_probability", "reverb_probability")
        self._require_numbers(0, 60, "spread_db")
        self._require_numbers(0, 24, "eq_db")
        self._require_numbers(0, 0.05, "fade_seconds")
        self._require_numbers(0, 1, "lead_seconds", "tail_seconds")


@dataclass(frozen=True)
class BackgroundConfig(_Section):
    """What the events lie on; levels in dB relative to a normal background.

    Parameters
    ----------
    file_weight, noise_weight, near_silence_weight : float
        How often a recording, generated noise or almost nothing is the background, up to a factor. Without
        recordings, noise takes their share.
    near_silence_db : tuple of float
        Level of the noise in "almost nothing".
    digital_silence_probability : float
        Share of the scenes without events that hold zeros alone.
    part : tuple of float
        The share of each recording's time that may be used, so that scenes for training, validation and
        test have no second in common.
    part_min_seconds : float
        Shorter recordings are not divided; they are used if ``part`` begins at 0.
    eq_db : float
        Largest gain of the random equaliser.
    added_noise_probability : float
        Share of recordings with generated noise at ``added_noise_db`` on top.
    added_noise_db : tuple of float
        See ``added_noise_probability``.
    slope_db : tuple of float
        Spectral slope of generated noise in dB per octave (0 white, -3 pink, -6 brown).
    low_pass_probability, low_pass_hz : float, tuple of float
        Generated noise that ends early.
    hum_probability, hum_db : float, tuple of float
        Mains hum (50 or 60 Hz and harmonics) and its level over the noise.
    """

    file_weight: float = 0.55
    noise_weight: float = 0.33
    near_silence_weight: float = 0.12
    near_silence_db: tuple[float, ...] = (-60.0, -35.0)
    digital_silence_probability: float = 0.2
    part: tuple[float, ...] = (0.0, 1.0)
    part_min_seconds: float = 10.0
    eq_db: float = 6.0
    added_noise_probability: float = 0.3
    added_noise_db: tuple[float, ...] = (-30.0, -3.0)
    slope_db: tuple[float, ...] = (-7.0, 2.0)
    low_pass_probability: float = 0.33
    low_pass_hz: tuple[float, ...] = (500.0, 6000.0)
    hum_probability: float = 0.2
    hum_db: tuple[float, ...] = (-15.0, 6.0)

    def __post_init__(self) -> None:
        """Check every field."""
        self._freeze("near_silence_db", "part", "added_noise_db", "slope_db", "low_pass_hz", "hum_db")
        weights = (self.file_weight, self.noise_weight, self.near_silence_weight)
        usable = min(weights) >= 0 and self.noise_weight + self.near_silence_weight > 0
        require(usable, "noise_weight", "weights >= 0, noise or near silence > 0", weights)
        _require_range("part", self.part, 0, 1)
        require(self.part[0] < self.part[1], "part", "a beginning before its end", list(self.part))
        _require_range("near_silence_db", self.near_silence_db, -150, 0)
        _require_range("added_noise_db", self.added_noise_db, -150, 30)
        _require_range("slope_db", self.slope_db, -24, 24)
        _require_range("low_pass_hz", self.low_pass_hz, 50, 200_000)
        _require_range("hum_db", self.hum_db, -150, 60)
        self._require_numbers(0, 24, "eq_db")
        self._require_numbers(0, 3600, "part_min_seconds")
        shares = ("digital_silence_probability", "added_noise_probability", "low_pass_probability")
        self._require_numbers(0, 1, *shares, "hum_probability")


@dataclass(frozen=True)
class ChannelConfig(_Section):
    """What happens to the whole scene on its way through a microphone or a line.

    Parameters
    ----------
    peak_dbfs : tuple of float
        Peak of the finished scene.
    low_pass_probability, low_pass_hz : float, tuple of float
        Scenes whose upper band is missing.
    telephone_probability : float
        Scenes limited to 300-3400 Hz.
    soft_clip_probability : float
        Scenes driven into saturation (tanh) by ``soft_clip_drive_db`` over their peak.
    soft_clip_drive_db : tuple of float
        See ``soft_clip_probability``.
    """

    peak_dbfs: tuple[float, ...] = (-30.0, 0.0)
    low_pass_probability: float = 0.09
    low_pass_hz: tuple[float, ...] = (4000.0, 7000.0)
    telephone_probability: float = 0.03
    soft_clip_probability: float = 0.04
    soft_clip_drive_db: tuple[float, ...] = (0.0, 15.0)

    def __post_init__(self) -> None:
        """Check every field."""
        self._freeze("peak_dbfs", "low_pass_hz", "soft_clip_drive_db")
        _require_range("peak_dbfs", self.peak_dbfs, -100, 0)
        _require_range("low_pass_hz", self.low_pass_hz, 50, 200_000)
        _require_range("soft_clip_drive_db", self.soft_clip_drive_db, -20, 60)
        shares = ("low_pass_probability", "telephone_probability", "soft_clip_probability")
        self._require_numbers(0, 1, *shares)
        total = self.low_pass_probability + self.telephone_probability
        require(total <= 1, "telephone_probability", "at most 1 with low_pass_probability", total)


@dataclass(frozen=True)
class SoundscapeConfig(_Section):
    """Everything that decides what a scene sounds like, apart from the clips and the seed.

    Parameters
    ----------
    sample_rate : int
        Of the scenes, in Hz; clips are resampled to it once.
    scene_seconds : float
        Length of each scene.
    labels : tuple of str
        Labels to draw from, each equally often; empty means all that the clips have.
    interference : tuple of str
        Labels that are mixed in like the others, as often as each of them, and are no labels of the scene: sounds that
        a detector should not mistake for its own.
    activity, events, background, channel
        The sections above.
    """

    sample_rate: int = 16000
    scene_seconds: float = 10.0
    labels: tuple[str, ...] = ()
    interference: tuple[str, ...] = ()
    activity: ActivityConfig = field(default_factory=ActivityConfig)
    events: EventConfig = field(default_factory=EventConfig)
    background: BackgroundConfig = field(default_factory=BackgroundConfig)
    channel: ChannelConfig = field(default_factory=ChannelConfig)

    def __post_init__(self) -> None:
        """Check every field."""
        self._freeze("labels", "interference")
        self._require_numbers(4000, 192_000, "sample_rate")
        self._require_numbers(0.5, 3600, "scene_seconds")
        require(len(set(self.labels)) == len(self.labels), "labels", "each label once", list(self.labels))
        both = [*self.labels, *self.interference]
        expected = f"each label once and none of labels={list(self.labels)}"
        require(len(set(both)) == len(both), "interference", expected, list(self.interference))

    @property
    def scene_samples(self) -> int:
        """Samples of one scene."""
        return round(self.scene_seconds * self.sample_rate)


def config_from_mapping(values: Mapping[str, Any], where: str = "soundscapes") -> SoundscapeConfig:
    """Build the configuration from what a TOML file gives.

    Raises
    ------
    ConfigError
        An unknown key or a value out of range; the message names it with its path.
    """
    return from_mapping(SoundscapeConfig, values, where)
