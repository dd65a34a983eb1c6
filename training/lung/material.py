"""Log-mel segments of cycles, and the copies of them that the training is augmented with."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import librosa
import numpy as np
import numpy.typing as npt

from streamsed.cycles import CycleFeatures
from streamsed.types import CYCLE_LABELS
from training.data.icbhi import CycleReference, load_recording
from training.lung.recipe import CycleAugmentation, LungRecipe

Floats = npt.NDArray[np.float32]
# Shorter than the ear needs to tell a pitch: what a stretch leaves as it is.
_STRETCH_WINDOW_SECONDS = 0.064


@dataclass(frozen=True)
class Segments:
    """Segments of cycles.

    Attributes
    ----------
    log_mel : ndarray, shape (N, segment_frames, n_mels), float32
        Not normalised.
    target : ndarray, shape (N,), int64
        Number of the class.
    cycle : ndarray, shape (N,), int64
        Number of the cycle, in the order that the cycles were given in.
    originals : int
        So many segments, the first ones, are of cycles as they are; the others are of copies.
    """

    log_mel: Floats
    target: npt.NDArray[np.int64]
    cycle: npt.NDArray[np.int64]
    originals: int


def read_cycles(cycles: Sequence[CycleReference], sample_rate: int) -> Iterator[Floats]:
    """Yield the samples (n,), n >= 1, of every cycle; a recording is decoded once for neighbours.

    Raises
    ------
    FormatError
        If a recording cannot be read.
    """
    for samples, onset, offset in _placed_cycles(cycles, sample_rate):
        yield _cut(samples, onset, offset, sample_rate)


def _placed_cycles(
    cycles: Sequence[CycleReference], sample_rate: int
) -> Iterator[tuple[Floats, float, float]]:
    """Yield the recording of every cycle, and where in it the cycle lies in seconds."""
    name, samples = "", np.empty(0, np.float32)
    for reference in cycles:
        if reference.recording.name != name:
            name, samples = reference.recording.name, load_recording(reference.recording, sample_rate)
        yield samples, reference.cycle.onset, reference.cycle.offset


def _cut(samples: Floats, onset: float, offset: float, sample_rate: int) -> Floats:
    begin = min(max(0, round(onset * sample_rate)), len(samples) - 1)
    return samples[begin : max(begin + 1, round(offset * sample_rate))]


def prepare(cycles: Sequence[CycleReference], recipe: LungRecipe) -> Segments:
    """Return the segments of cycles as they are, for validation and test."""
    features = CycleFeatures(recipe.front_end, recipe.preparation)
    parts = [features.segments(samples) for samples in read_cycles(cycles, recipe.front_end.sample_rate)]
    return _joined(parts, [target_of(item, recipe) for item in cycles], range(len(cycles)), len(cycles))


def prepare_training(cycles: Sequence[CycleReference], recipe: LungRecipe) -> Segments:
    """Return the segments of cycles and of their copies, which depend on ``recipe.train.seed`` alone."""
    settings, front_end = recipe.copies, recipe.front_end
    features = CycleFeatures(front_end, recipe.preparation)
    originals: list[Floats] = []
    copies: list[Floats] = []
    numbers: list[int] = []
    for number, (reference, (recording, onset, offset)) in enumerate(
        zip(cycles, _placed_cycles(cycles, front_end.sample_rate), strict=True)
    ):
        samples = _cut(recording, onset, offset, front_end.sample_rate)
        rng = np.random.default_rng((recipe.train.seed, number))
        label = CYCLE_LABELS.index(reference.label)
        originals.append(features.segments(samples))
        speeds = rng.uniform(1 - settings.stretch, 1 + settings.stretch, settings.stretched[label])
        changed = [stretched(samples, float(speed), front_end.sample_rate) for speed in speeds]
        copies += [features.segments(sound) for sound in changed]
        for _ in range(settings.moved[label]):
            reach = settings.move * (offset - onset)
            begin, end = onset + rng.uniform(-reach, reach), offset + rng.uniform(-reach, reach)
            copies.append(features.segments(_cut(recording, begin, end, front_end.sample_rate)))
        for _ in range(settings.recoloured[label]):
            other = recoloured(samples, settings.equaliser_db, settings.noise_db, rng)
            if rng.random() < settings.suppression_probability:
                other = suppressed(other, front_end.sample_rate, rng)
            copies.append(features.segments(other))
        for sound in [samples, *changed]:
            for _ in range(settings.warped[label]):
                copies.append(warped_features(recipe, settings, rng).segments(sound))
        numbers += [number] * (len(copies) - len(numbers))
    targets = [target_of(item, recipe) for item in cycles]
    all_targets = targets + [targets[number] for number in numbers]
    return _joined(originals + copies, all_targets, [*range(len(cycles)), *numbers], len(cycles))


def warped_features(
    recipe: LungRecipe, settings: CycleAugmentation, rng: np.random.Generator
) -> CycleFeatures:
    """Return features with a randomly warped filter bank."""
    front_end = dataclasses.replace(
        recipe.front_end,
        warp_factor=float(rng.uniform(1 - settings.warp, 1 + settings.warp)),
        warp_high_hz=float(rng.uniform(*settings.warp_high_hz)),
    )
    with warnings.catch_warnings():
        # A warp of narrow bands may empty one, which the front-end warns of each time.
        warnings.simplefilter("ignore", UserWarning)
        return CycleFeatures(front_end, recipe.preparation)


def stretched(samples: Floats, speed: float, sample_rate: int) -> Floats:
    """Return a cycle ``speed`` times as fast, with the pitch it had (a phase vocoder)."""
    window = 2 ** round(np.log2(_STRETCH_WINDOW_SECONDS * sample_rate))
    if len(samples) < window:
        return samples
    changed = librosa.effects.time_stretch(samples, rate=speed, n_fft=window)
    return np.asarray(changed, np.float32)


def recoloured(
    samples: Floats, equaliser_db: float, noise_db: tuple[float, ...], rng: np.random.Generator
) -> Floats:
    """Return a cycle through a random equaliser, piecewise linear in dB, with noise of random colour."""
    spectrum = np.fft.rfft(samples)
    frequency = np.linspace(0.0, 1.0, len(spectrum))
    knots = np.linspace(0.0, 1.0, 6)
    gain = np.interp(frequency, knots, rng.uniform(-equaliser_db, equaliser_db, len(knots)))
    heard = np.fft.irfft(spectrum * 10 ** (gain / 20), len(samples))
    slope = np.interp(frequency, knots, np.cumsum(rng.uniform(-6.0, 6.0, len(knots))))
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(len(samples))) * 10 ** (slope / 20), len(samples))
    level = heard.std() / max(noise.std(), 1e-12) * 10 ** (-rng.uniform(*noise_db) / 20)
    return np.asarray(heard + level * noise, np.float32)


def suppressed(samples: Floats, sample_rate: int, rng: np.random.Generator) -> Floats:
    """Return a cycle after spectral subtraction, as stethoscopes suppress the noise of a room.

    What is left of the noise are short tones at random places, which must not pass for wheezes.

    Notes
    -----
    Boll, "Suppression of acoustic noise in speech using spectral subtraction" (1979): in each bin of frames of 32 to
    128 ms, one to three times the noise power is taken off, but no more than 10 to 30 dB of what was there. Noise is
    what a quarter of the frames are below.
    """
    window = int(rng.choice([32, 64, 128])) * sample_rate // 1000
    if len(samples) < window:
        return samples
    spectrum = librosa.stft(samples, n_fft=window, hop_length=window // 2)
    power = np.abs(spectrum) ** 2
    noise = np.quantile(power, 0.25, axis=1, keepdims=True)
    least = 10 ** (-rng.uniform(10.0, 30.0) / 10)
    left = np.maximum(1.0 - rng.uniform(1.0, 3.0) * noise / np.maximum(power, 1e-20), least)
    heard = librosa.istft(spectrum * np.sqrt(left), hop_length=window // 2, length=len(samples))
    return np.asarray(heard, np.float32)


def target_of(reference: CycleReference, recipe: LungRecipe) -> int:
    """Return the number of a cycle's class."""
    number = CYCLE_LABELS.index(reference.label)
    return number if recipe.classes == len(CYCLE_LABELS) else min(number, 1)


def _joined(
    parts: Sequence[Floats], targets: Sequence[int], cycles: Sequence[int], originals: int
) -> Segments:
    counts = [len(part) for part in parts]
    return Segments(
        np.concatenate(parts),
        np.repeat(np.array(targets, np.int64), counts),
        np.repeat(np.array(cycles, np.int64), counts),
        sum(counts[:originals]),
    )
