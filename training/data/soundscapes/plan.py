"""What happens in a scene, drawn before any sample is touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from streamsed.config import require
from training.data.soundscapes.activity import Part
from training.data.soundscapes.catalogue import Catalogue, SourceClip
from training.data.soundscapes.config import BackgroundConfig, ChannelConfig, SoundscapeConfig

BackgroundKind = Literal["file", "noise", "near_silence", "digital_silence"]

EQ_BANDS = 6
# At least this share of an event lies inside the scene.
_VISIBLE_SHARE = 1 / 3


@dataclass(frozen=True)
class PlacedEvent:
    """Consecutive parts of one clip at a place of the scene; times in samples, levels in dB.

    Parameters
    ----------
    label : str
        Of all its parts.
    clip : int
        Number in the catalogue.
    parts : tuple of (int, int)
        Parts of the clip, each an event of its own.
    cut_start, cut_stop : bool
        Whether the sound goes on in the clip before and after them.
    position : int
        Where in the scene the first part begins; may be negative.
    level_db : float
        Level of the loud part relative to a normal background.
    eq_db : tuple of float
        Gains of the equaliser from low to high.
    impulse_response : int or None
        Number in the catalogue.
    """

    label: str
    clip: int
    parts: tuple[Part, ...]
    cut_start: bool
    cut_stop: bool
    position: int
    level_db: float
    eq_db: tuple[float, ...]
    impulse_response: int | None

    @property
    def spans(self) -> tuple[Part, ...]:
        """Where in the scene its parts lie; may reach beyond the scene's edges."""
        shift = self.position - self.parts[0][0]
        return tuple((start + shift, stop + shift) for start, stop in self.parts)


@dataclass(frozen=True)
class NoisePlan:
    """Generated noise; ``seed`` decides its samples."""

    seed: int
    level_db: float
    slope_db: float
    low_pass_hz: float | None
    hum_hz: float | None
    hum_db: float


@dataclass(frozen=True)
class BackgroundPlan:
    """What the events lie on; ``start`` is a share of the recording's length."""

    kind: BackgroundKind
    recording: int | None = None
    start: float = 0.0
    eq_db: tuple[float, ...] = ()
    noise: NoisePlan | None = None


@dataclass(frozen=True)
class ChannelPlan:
    """What happens to the scene as a whole."""

    peak_dbfs: float
    band_hz: tuple[float, float] | None
    soft_clip_drive_db: float | None


@dataclass(frozen=True)
class ScenePlan:
    """Everything about one scene: the same catalogue and plan always give the same samples."""

    seed: int
    index: int
    background: BackgroundPlan
    events: tuple[PlacedEvent, ...]
    channel: ChannelPlan


def draw_plan(catalogue: Catalogue, config: SoundscapeConfig, seed: int, index: int) -> ScenePlan:
    """Draw scene ``index`` of the series ``seed``; no other scene has any influence on it.

    Raises
    ------
    ConfigError
        If the catalogue has another sample rate, lacks a label, or a number is negative.
    """
    require(seed >= 0, "seed", "an integer >= 0", seed)
    require(index >= 0, "index", "an integer >= 0", index)
    rate = catalogue.sample_rate
    require(rate == config.sample_rate, "catalogue", f"clips at {config.sample_rate} Hz", rate)
    labels = config.labels or tuple(label for label in catalogue.labels if label not in config.interference)
    labels += config.interference
    unknown = sorted(set(labels) - set(catalogue.labels))
    require(not unknown, "labels", f"among {list(catalogue.labels)}", unknown)

    rng = np.random.default_rng([seed, index])
    weights = np.asarray(config.events.count_weights)
    count = int(rng.choice(len(weights), p=weights / weights.sum()))
    mean_db = rng.uniform(*config.events.snr_db)
    events = tuple(_draw_event(rng, catalogue, config, labels, mean_db) for _ in range(count))
    background = _draw_background(rng, catalogue, config.background, silent=count == 0)
    return ScenePlan(seed, index, background, events, _draw_channel(rng, config.channel, rate))


def _draw_event(
    rng: np.random.Generator,
    catalogue: Catalogue,
    config: SoundscapeConfig,
    labels: tuple[str, ...],
    mean_db: float,
) -> PlacedEvent:
    events = config.events
    label = labels[rng.integers(len(labels))]
    numbers = catalogue.by_label[label]
    number = numbers[rng.integers(len(numbers))]
    clip = catalogue.clips[number]
    chosen, cut_start, cut_stop = _draw_parts(rng, clip, config)
    parts, position = _place(rng, chosen, config)
    low, high = events.snr_db
    level = min(max(mean_db + rng.uniform(-events.spread_db, events.spread_db), low), high)
    eq = tuple(rng.uniform(-events.eq_db, events.eq_db, EQ_BANDS).tolist())
    room = None
    if rng.random() < events.reverb_probability and catalogue.impulse_responses:
        room = int(rng.integers(len(catalogue.impulse_responses)))
    return PlacedEvent(label, number, parts, cut_start, cut_stop, position, level, eq, room)


def _draw_parts(
    rng: np.random.Generator, clip: SourceClip, config: SoundscapeConfig
) -> tuple[tuple[Part, ...], bool, bool]:
    """Choose one part, an excerpt of a long one, or several short ones in a row."""
    events, rate = config.events, config.sample_rate
    first = int(rng.integers(len(clip.parts)))
    start, stop = clip.parts[first]
    if stop - start > events.long_seconds * rate:
        length = min(round(rng.uniform(*events.excerpt_seconds) * rate), stop - start)
        begin = start + int(rng.integers(stop - start - length + 1))
        return ((begin, begin + length),), begin > start, begin + length < stop
    last = first
    if rng.random() < events.sequence_probability:
        limit = start + events.max_sequence_seconds * rate
        while last + 1 < len(clip.parts) and clip.parts[last + 1][1] <= limit:
            last += 1
            if rng.random() >= events.continue_probability:
                break
    return clip.parts[first : last + 1], False, False


def _place(
    rng: np.random.Generator, parts: tuple[Part, ...], config: SoundscapeConfig
) -> tuple[tuple[Part, ...], int]:
    """Choose where the first part begins; parts of which less than the shortest event is left are dropped."""
    total = config.scene_samples
    length = parts[-1][1] - parts[0][0]
    shortest = round(config.activity.min_seconds * config.sample_rate)
    visible = min(length, total, max(round(length * _VISIBLE_SHARE), 2 * shortest))
    position = int(rng.integers(visible - length, total - visible + 1))
    shift = position - parts[0][0]
    kept = tuple(
        (start, stop)
        for start, stop in parts
        if min(stop + shift, total) - max(start + shift, 0) >= min(shortest, stop - start)
    )
    if not kept:
        # The scene shows a pause between two parts: begin with the first one instead.
        return parts[:1], int(rng.integers(max(total - (parts[0][1] - parts[0][0]), 0) + 1))
    return kept, kept[0][0] + shift


def _draw_background(
    rng: np.random.Generator, catalogue: Catalogue, config: BackgroundConfig, *, silent: bool
) -> BackgroundPlan:
    if silent and rng.random() < config.digital_silence_probability:
        return BackgroundPlan("digital_silence")
    file_weight = config.file_weight if catalogue.backgrounds else 0.0
    weights = np.array([file_weight, config.noise_weight, config.near_silence_weight])
    kind = int(rng.choice(3, p=weights / weights.sum()))
    if kind == 1:
        return BackgroundPlan("noise", noise=_draw_noise(rng, config, 0.0))
    if kind == 2:
        return BackgroundPlan(
            "near_silence", noise=_draw_noise(rng, config, rng.uniform(*config.near_silence_db))
        )
    number = int(rng.integers(len(catalogue.backgrounds)))
    start = rng.random()
    eq = tuple(rng.uniform(-config.eq_db, config.eq_db, EQ_BANDS).tolist())
    noise = None
    if rng.random() < config.added_noise_probability:
        noise = _draw_noise(rng, config, rng.uniform(*config.added_noise_db))
    return BackgroundPlan("file", number, start, eq, noise)


def _draw_noise(rng: np.random.Generator, config: BackgroundConfig, level_db: float) -> NoisePlan:
    low_pass = rng.uniform(*config.low_pass_hz) if rng.random() < config.low_pass_probability else None
    hum = float(rng.choice([50.0, 60.0])) if rng.random() < config.hum_probability else None
    return NoisePlan(
        seed=int(rng.integers(2**63)),
        level_db=level_db,
        slope_db=rng.uniform(*config.slope_db),
        low_pass_hz=low_pass,
        hum_hz=hum,
        hum_db=rng.uniform(*config.hum_db),
    )


def _draw_channel(rng: np.random.Generator, config: ChannelConfig, sample_rate: int) -> ChannelPlan:
    peak = rng.uniform(*config.peak_dbfs)
    which = rng.random()
    band = None
    if which < config.telephone_probability:
        band = (300.0, 3400.0)
    elif which < config.telephone_probability + config.low_pass_probability:
        band = (0.0, rng.uniform(*config.low_pass_hz))
    if band is not None and band[1] >= 0.49 * sample_rate:
        band = None if band[0] == 0 else (band[0], 0.49 * sample_rate)
    clips = rng.random() < config.soft_clip_probability
    return ChannelPlan(peak, band, rng.uniform(*config.soft_clip_drive_db) if clips else None)
