"""Functionals of utterances, of parts of them, and of what the gate is to tell from speech."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streamsed.cli.progress import Progress
from streamsed.config import require
from streamsed.errors import FormatError
from streamsed.functionals import LogMelFunctionals
from training.emotion.data import Utterance, read_emotion
from training.emotion.voice.recipe import VoiceRecipe
from training.emotion.voice.sounds import in_a_room, made_up_sound
from training.segmentation.sounds import coloured_noise
from training.sound import read_mono

Floats = npt.NDArray[np.float32]

# A part is of an utterance that is at least so much longer: another one would say nothing else.
_LONGER_SECONDS = 0.3
# Share of the copies of utterances in noise that are in a room as well.
_ROOMS = 0.4


class Rows(NamedTuple):
    """Functionals, and of which utterance and how much of it each row is.

    Attributes
    ----------
    values : ndarray, shape (N, D), float32
    of : ndarray, shape (N,), int64
        Index of the utterance.
    seconds : ndarray, shape (N,), float64
        Length of the part; 0 for all of the utterance.
    clean : ndarray, shape (N,), bool
        As it was recorded, without noise and room that were added.
    """

    values: Floats
    of: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.float64]
    clean: npt.NDArray[np.bool_]


class VoiceMaterial:
    """What a recipe is trained on, read once.

    Parameters
    ----------
    recipe : VoiceRecipe

    Attributes
    ----------
    utterances : tuple of Utterance
    functionals : LogMelFunctionals
    rate : int
        Of the sound that they are of, in Hz.
    """

    def __init__(self, recipe: VoiceRecipe) -> None:
        self.recipe = recipe
        self.utterances: tuple[Utterance, ...] = read_emotion(recipe.data)
        self.functionals = LogMelFunctionals(recipe.functionals)
        self.rate = recipe.functionals.front_end.sample_rate

    def rows(self, windows: Sequence[float]) -> Rows:
        """Return the functionals of every utterance, of one part of each length of those that are longer, and of copies
        in noise.

        Raises
        ------
        FormatError
            If an utterance is silent or too short; it is named.
        """
        settings = self.recipe.ensemble
        values, of, seconds, clean = [], [], [], []
        rng, noises = np.random.default_rng(settings.seed), np.random.default_rng([settings.seed, 1])
        for index, samples in self._sounds([item.path for item in self.utterances]):
            versions = [(0.0, True, samples)]
            versions += [(length, True, part) for length, part in _parts(rng, samples, windows, self.rate)]
            versions += [(0.0, False, self._in_noise(noises, samples)) for _ in range(settings.disturbed)]
            for length, is_clean, part in versions:
                found = self._try(part)
                if found is None and length == 0.0 and is_clean:
                    raise FormatError(f"{self.utterances[index].path}: expected speech, got too little sound")
                if found is not None:
                    values.append(found)
                    of.append(index)
                    seconds.append(length)
                    clean.append(is_clean)
        return Rows(np.stack(values), np.array(of), np.array(seconds), np.array(clean))

    def disturbed_speech(self) -> Floats:
        """Return the functionals of parts of utterances, two of each, in a room, in noise or both."""
        settings = self.recipe.gate
        rng = np.random.default_rng(settings.seed)
        others = self._other_sounds()
        found = []
        for _, samples in self._sounds([item.path for item in self.utterances]):
            for _ in range(2):
                length = round(float(rng.choice(settings.windows)) * self.rate)
                part = _cut(rng, samples, length)
                in_room, in_noise = rng.random() < 0.5, rng.random() < 0.6
                if in_room:
                    part = in_a_room(rng, part, self.rate)
                if in_noise or not in_room:
                    noise = coloured_noise(rng, len(part), rng.uniform(-1.0, 0.0))
                    if others and rng.random() < 0.6:
                        noise = np.resize(others[int(rng.integers(len(others)))], len(part))
                    part = mixed(part, noise, rng.uniform(*settings.snr_db))
                found.append(self._try(part))
        return np.stack([row for row in found if row is not None])

    def other_sounds(self) -> Floats:
        """Return the functionals of parts of the recordings without speech, each also in a room, and of made-up sounds.

        Raises
        ------
        ConfigError
            If no recording matches.
        """
        settings = self.recipe.gate
        rng = np.random.default_rng(settings.seed + 1)
        made_up = [
            made_up_sound(rng, float(rng.choice(settings.windows)), self.rate)
            for _ in range(settings.made_up)
        ]
        sounds = [
            _cut(rng, samples, round(seconds * self.rate))
            for samples in self._other_sounds()
            for seconds in settings.windows
        ]
        sounds += made_up
        sounds += [in_a_room(rng, samples, self.rate) for samples in sounds]
        found = [self._try(samples) for samples in sounds]
        return np.stack([row for row in found if row is not None])

    def parts_of(self, pattern: str) -> Floats:
        """Return the functionals of one part of each length of the recordings that match; none of what is silent.

        Raises
        ------
        ConfigError
            If no recording matches.
        """
        settings = self.recipe.gate
        rng = np.random.default_rng(settings.seed)
        found = [
            self._try(_cut(rng, samples, round(seconds * self.rate)))
            for _, samples in self._sounds(matching(self.recipe.data.root, pattern))
            for seconds in settings.windows
        ]
        return np.stack([row for row in found if row is not None])

    def _in_noise(self, rng: np.random.Generator, samples: Floats) -> Floats:
        if rng.random() < _ROOMS:
            samples = in_a_room(rng, samples, self.rate)
        noise = coloured_noise(rng, len(samples), rng.uniform(-1.2, 0.2))
        return mixed(samples, noise, rng.uniform(*self.recipe.ensemble.snr_db))

    def _other_sounds(self) -> list[Floats]:
        """Return the recordings without speech, without those that are silent."""
        pattern = self.recipe.gate.sounds
        if not pattern:
            return []
        paths = matching(self.recipe.data.root, pattern)
        return [samples for _, samples in self._sounds(paths) if samples.any()]

    def _sounds(self, paths: Sequence[Path]) -> Iterator[tuple[int, Floats]]:
        with Progress(len(paths)) as progress:
            for index, path in enumerate(paths):
                progress.begin(path.name)
                yield index, read_mono(path, self.rate)
                progress.finish()

    def _try(self, samples: Floats) -> Floats | None:
        try:
            return self.functionals(samples)
        except FormatError:
            return None


def matching(root: str, pattern: str) -> list[Path]:
    """Return the recordings that a pattern below a folder matches, in order.

    Raises
    ------
    ConfigError
        If there is none.
    """
    paths = sorted(path for path in Path(root).glob(pattern) if path.is_file())
    require(bool(paths), "gate", f"recordings that match below {root}", pattern)
    return paths


def _parts(
    rng: np.random.Generator, samples: Floats, windows: Sequence[float], rate: int
) -> Iterator[tuple[float, Floats]]:
    for seconds in windows:
        length = round(seconds * rate)
        if len(samples) >= length + _LONGER_SECONDS * rate:
            yield seconds, _cut(rng, samples, length)


def mixed(speech: Floats, noise: npt.NDArray[Any], snr_db: float) -> Floats:
    """Return speech and as much noise, both of shape (n,), as the ratio of their powers says."""
    level = float(speech.std()) / max(float(noise.std()), 1e-9) * 10 ** (-snr_db / 20)
    return np.asarray(speech + level * noise, np.float32)


def _cut(rng: np.random.Generator, samples: Floats, length: int) -> Floats:
    begin = int(rng.integers(0, max(1, len(samples) - length + 1)))
    return np.ascontiguousarray(samples[begin : begin + length])
