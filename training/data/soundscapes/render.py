"""From a plan to samples and strong labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from training.data.soundscapes.activity import Part, frame_power, loud_power, merge_intervals
from training.data.soundscapes.catalogue import Catalogue, Recording
from training.data.soundscapes.config import EventConfig, SoundscapeConfig
from training.data.soundscapes.filters import coloured_noise, convolve, equaliser, limit_band, looped, rms
from training.data.soundscapes.plan import (
    BackgroundPlan,
    ChannelPlan,
    NoisePlan,
    PlacedEvent,
    ScenePlan,
    draw_plan,
)

Samples = npt.NDArray[np.float32]

# Before the channel a normal background has RMS 1. A quieter scene is not amplified beyond the peak that one
# would have, so that near silence stays near silence.
_NORMAL_PEAK = 4.0


class SceneEvent(NamedTuple):
    """One strong label; times in seconds from the scene's start."""

    onset: float
    offset: float
    label: str


@dataclass(frozen=True, eq=False)
class Scene:
    """A finished scene.

    Parameters
    ----------
    samples : ndarray, shape (n,), float32
        Multiples of 2^-15, so that 16-bit files hold exactly them.
    events : tuple of SceneEvent
        In order of onset; the same label never overlaps itself.
    interference : tuple of SceneEvent
        Likewise, of the sounds that are no labels of the scene.
    plan : ScenePlan
        What it was made from.
    """

    samples: Samples
    events: tuple[SceneEvent, ...]
    interference: tuple[SceneEvent, ...]
    plan: ScenePlan


def make_scene(catalogue: Catalogue, config: SoundscapeConfig, seed: int, index: int) -> Scene:
    """Draw and render scene ``index`` of the series ``seed``, without touching the disk.

    Parameters
    ----------
    catalogue : Catalogue
        From :func:`training.data.soundscapes.load_catalogue`.
    config : SoundscapeConfig
        With the catalogue's sample rate.
    seed, index : int
        At least 0. Scenes with the same catalogue, configuration, seed and index are equal, whichever
        process makes them and in whatever order.

    Raises
    ------
    ConfigError
        If they do not fit together.
    """
    return render_scene(draw_plan(catalogue, config, seed, index), catalogue, config)


def iter_scenes(
    catalogue: Catalogue, config: SoundscapeConfig, seed: int, indices: Iterable[int]
) -> Iterator[Scene]:
    """Yield the scenes of those indices, each as :func:`make_scene` makes it."""
    for index in indices:
        yield make_scene(catalogue, config, seed, index)


def render_scene(plan: ScenePlan, catalogue: Catalogue, config: SoundscapeConfig) -> Scene:
    """Make the samples and the labels of a plan."""
    samples = _background(plan.background, catalogue, config)
    for event in plan.events:
        _add_event(samples, event, catalogue, config)
    samples = _through_channel(samples, plan.channel, config.sample_rate)
    events = labels_of(plan, config)
    labels = tuple(event for event in events if event.label not in config.interference)
    return Scene(
        samples, labels, tuple(event for event in events if event.label in config.interference), plan
    )


def labels_of(plan: ScenePlan, config: SoundscapeConfig) -> tuple[SceneEvent, ...]:
    """Return the strong labels of a plan: clipped to the scene, united where a label overlaps itself.

    Interference is among them.
    """
    spans: dict[str, list[Part]] = {}
    for event in plan.events:
        for start, stop in event.spans:
            spans.setdefault(event.label, []).append((max(start, 0), min(stop, config.scene_samples)))
    rate = config.sample_rate
    events = [
        SceneEvent(start / rate, stop / rate, label)
        for label, found in spans.items()
        for start, stop in merge_intervals(found)
    ]
    return tuple(sorted(events))


def _add_event(samples: Samples, event: PlacedEvent, catalogue: Catalogue, config: SoundscapeConfig) -> None:
    clip = catalogue.clips[event.clip]
    rate = config.sample_rate
    start, stop = _piece(event, clip.parts, len(clip.samples), config.events, rate)
    piece = clip.samples[start:stop].copy()
    _fade(piece, round(config.events.fade_seconds * rate))
    loud = _loud_rms(clip.samples, event.parts, config)
    responses = [equaliser(event.eq_db, rate)]
    if event.impulse_response is not None:
        responses.append(catalogue.impulse_responses[event.impulse_response].samples)
    piece *= np.float32(_gain(event.level_db) / loud)
    filtered = convolve(piece, *responses)
    filtered *= np.linalg.norm(piece) / np.linalg.norm(filtered)
    begin = event.position - (event.parts[0][0] - start)
    first, last = max(begin, 0), min(begin + len(filtered), len(samples))
    samples[first:last] += filtered[first - begin : last - begin]


def _piece(event: PlacedEvent, parts: tuple[Part, ...], length: int, config: EventConfig, rate: int) -> Part:
    """Return what to take of the clip: the chosen parts and a little around them, free of other parts."""
    start, stop = event.parts[0][0], event.parts[-1][1]
    if not event.cut_start:
        free = max((other_stop for _, other_stop in parts if other_stop <= start), default=0)
        start = max(start - round(config.lead_seconds * rate), free)
    if not event.cut_stop:
        free = min((other_start for other_start, _ in parts if other_start >= stop), default=length)
        stop = min(stop + round(config.tail_seconds * rate), free)
    return start, stop


def _loud_rms(samples: Samples, parts: tuple[Part, ...], config: SoundscapeConfig) -> float:
    frame = max(1, round(config.activity.frame_seconds * config.sample_rate))
    power = np.concatenate([frame_power(samples[start:stop], frame) for start, stop in parts])
    return float(np.sqrt(loud_power(power)))


def _fade(samples: Samples, length: int) -> None:
    """Let both ends begin and end at zero."""
    length = min(length, len(samples) // 2)
    if length:
        ramp = np.sin(np.linspace(0, np.pi / 2, length, endpoint=False, dtype=np.float32)) ** 2
        samples[:length] *= ramp
        samples[-length:] *= ramp[::-1]


def _background(plan: BackgroundPlan, catalogue: Catalogue, config: SoundscapeConfig) -> Samples:
    length, rate = config.scene_samples, config.sample_rate
    samples = np.zeros(length, np.float32)
    if plan.recording is not None:
        excerpt = _excerpt(catalogue.backgrounds[plan.recording], plan.start, length, rate)
        filtered = convolve(excerpt, equaliser(plan.eq_db, rate))[:length]
        # An excerpt that happens to be silent stays so.
        samples += filtered / np.float32(rms(filtered) or 1.0)
    if plan.noise is not None:
        samples += _noise(plan.noise, length, rate)
    return samples


def _excerpt(recording: Recording, start: float, length: int, rate: int) -> Samples:
    """Take a random excerpt; what is too short goes round and round, cross-faded."""
    samples = recording.samples
    if len(samples) >= length:
        begin = int(start * (len(samples) - length + 1))
        return samples[begin : begin + length]
    return looped(samples, length, rate, start)


def _noise(plan: NoisePlan, length: int, rate: int) -> Samples:
    samples = coloured_noise(plan.seed, length, rate, plan.slope_db, plan.low_pass_hz)
    if plan.hum_hz is not None:
        time = np.arange(length, dtype=np.float32) * np.float32(2 * np.pi / rate)
        hum = np.zeros(length, np.float32)
        phases = np.random.default_rng(plan.seed).uniform(0, 2 * np.pi, 5)
        for harmonic, phase in enumerate(phases, 1):
            hum += np.sin(time * np.float32(harmonic * plan.hum_hz) + np.float32(phase)) / np.float32(
                harmonic
            )
        samples += hum * np.float32(_gain(plan.hum_db) / rms(hum))
    return samples * np.float32(_gain(plan.level_db) / rms(samples))


def _through_channel(samples: Samples, plan: ChannelPlan, rate: int) -> Samples:
    if plan.band_hz is not None:
        samples = limit_band(samples, plan.band_hz, rate)
    peak = float(np.abs(samples).max(initial=0))
    if peak == 0:
        return samples
    if plan.soft_clip_drive_db is not None:
        drive = _gain(plan.soft_clip_drive_db)
        samples = np.tanh(samples * np.float32(drive / peak))
        samples *= np.float32(peak / np.tanh(drive))
    scaled = samples * np.float32(_gain(plan.peak_dbfs) / max(peak, _NORMAL_PEAK) * 32767)
    return np.rint(scaled) / np.float32(32768)


def _gain(decibels: float) -> float:
    return float(10 ** (decibels / 20))
