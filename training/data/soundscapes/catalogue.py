"""Clips, backgrounds and impulse responses, decoded once and kept in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from streamsed.config import require
from streamsed.errors import FormatError
from training.data.soundscapes.activity import Part, active_parts
from training.data.soundscapes.clips import Clip
from training.data.soundscapes.config import SoundscapeConfig
from training.data.soundscapes.filters import looped
from training.sound import read_mono

Samples = npt.NDArray[np.float32]

# The first sample of an impulse response this far below its maximum is the direct path.
_DIRECT_DB = 6.0
_MAX_IMPULSE_RESPONSE_SECONDS = 1.0


@dataclass(frozen=True, eq=False)
class SourceClip:
    """A decoded clip and where its sound is: ``samples`` (n,) float32, ``parts`` in samples."""

    name: str
    label: str
    samples: Samples
    parts: tuple[Part, ...]


@dataclass(frozen=True, eq=False)
class Recording:
    """A background or an impulse response: ``samples`` (n,) float32."""

    name: str
    samples: Samples


@dataclass(frozen=True, eq=False)
class Catalogue:
    """All that scenes are made of. Read-only, so that worker processes can share it.

    Parameters
    ----------
    sample_rate : int
        Of everything in it, in Hz.
    clips : tuple of SourceClip
        Those with at least one active part.
    backgrounds : tuple of Recording
        Already cut to the share of time that the configuration allows.
    impulse_responses : tuple of Recording
        Direct path at sample 0, energy 1.
    without_activity : tuple of str
        Clips in which no active part was found; they are left out.
    """

    sample_rate: int
    clips: tuple[SourceClip, ...]
    backgrounds: tuple[Recording, ...] = ()
    impulse_responses: tuple[Recording, ...] = ()
    without_activity: tuple[str, ...] = ()

    @cached_property
    def by_label(self) -> dict[str, tuple[int, ...]]:
        """Numbers of the clips of each label, labels in order."""
        numbers: dict[str, list[int]] = {}
        for number, clip in enumerate(self.clips):
            numbers.setdefault(clip.label, []).append(number)
        return {label: tuple(numbers[label]) for label in sorted(numbers)}

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels in order."""
        return tuple(self.by_label)


def load_catalogue(
    clips: Iterable[Clip],
    config: SoundscapeConfig,
    *,
    backgrounds: Iterable[str | Path] = (),
    impulse_responses: Iterable[str | Path] = (),
) -> Catalogue:
    """Decode, mix down and resample everything, and find the active parts of the clips.

    Parameters
    ----------
    clips : iterable of Clip
        Those to draw from.
    config : SoundscapeConfig
        Its sample rate, labels and interference, ``activity``, ``events.speeds``, ``events.extend_seconds`` and
        ``background.part`` are used.
    backgrounds, impulse_responses : iterable of path
        Audio files.

    Raises
    ------
    ConfigError
        If there are no clips, a label of the configuration has none, or no background is left.
    FormatError
        If a file is missing or no audio.
    """
    wanted = {*config.labels, *config.interference}
    clips = [clip for clip in clips if not config.labels or clip.label in wanted]
    require(bool(clips), "clips", "at least one clip of the configured labels", "none")
    rate = config.sample_rate
    loaded, silent = [], []
    for clip in clips:
        original = read_mono(clip.path, rate)
        if not active_parts(original, clip.label, rate, config.activity):
            silent.append(str(clip.path))
            continue
        for speed in config.events.speeds:
            samples = original if speed == 1 else _at_speed(original, speed)
            parts = active_parts(samples, clip.label, rate, config.activity)
            shortest = config.events.extend_seconds.get(clip.label)
            if parts and shortest is not None and parts[-1][1] - parts[0][0] < round(shortest * rate):
                samples = looped(samples[parts[0][0] : parts[-1][1]], round(shortest * rate), rate)
                parts = active_parts(samples, clip.label, rate, config.activity)
            if parts:
                loaded.append(SourceClip(clip.path.name, clip.label, samples, parts))
    unknown = sorted(wanted - {clip.label for clip in loaded})
    require(not unknown, "labels", f"among {sorted({clip.label for clip in loaded})}", unknown)
    require(bool(loaded), "clips", "at least one clip with an active part", f"{len(silent)} without")
    beds = [Recording(Path(path).name, read_mono(path, rate)) for path in backgrounds]
    usable = [bed for bed in (_allowed_part(bed, config) for bed in beds) if bed is not None]
    if beds and not usable:
        longest = max(len(bed.samples) for bed in beds) / rate
        expected = (
            f"a share of recordings of which one is sounding and has {config.background.part_min_seconds:g} s"
        )
        require(
            False, "background.part", expected, f"{list(config.background.part)}, longest {longest:.1f} s"
        )
    rooms = [
        Recording(Path(path).name, _aligned(read_mono(path, rate), rate, path)) for path in impulse_responses
    ]
    return Catalogue(rate, tuple(loaded), tuple(usable), tuple(rooms), tuple(silent))


def _at_speed(samples: Samples, speed: float) -> Samples:
    """Play faster, and so higher, or slower and lower."""
    return np.ascontiguousarray(soxr.resample(samples, speed, 1.0, quality="HQ"), np.float32)


def _allowed_part(recording: Recording, config: SoundscapeConfig) -> Recording | None:
    start, stop = config.background.part
    samples = recording.samples
    if len(samples) > config.background.part_min_seconds * config.sample_rate:
        samples = samples[round(start * len(samples)) : round(stop * len(samples))]
    elif start > 0:
        return None
    return Recording(recording.name, samples) if np.any(samples) else None


def _aligned(samples: Samples, sample_rate: int, path: str | Path) -> Samples:
    magnitude = np.abs(samples)
    peak = float(magnitude.max())
    if peak == 0:
        raise FormatError(f"{path}: expected an impulse response, got zeros")
    first = int(np.argmax(magnitude >= peak * 10 ** (-_DIRECT_DB / 20)))
    # The slope up to the direct path's own peak would delay it.
    while first + 1 < len(samples) and magnitude[first + 1] > magnitude[first]:
        first += 1
    tail = samples[first : first + round(_MAX_IMPULSE_RESPONSE_SECONDS * sample_rate)]
    return tail / np.float32(np.sqrt(np.square(tail, dtype=np.float64).sum()))
