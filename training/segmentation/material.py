"""Log-mels of everything that examples are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamsed.config import require
from streamsed.frontend import LogMel
from training.data.icbhi import LungRecording, load_recording, official_split, read_icbhi
from training.data.icbhi.splits import all_cycles, hold_out, recordings_of
from training.segmentation.recipe import Kind, SegmentationRecipe
from training.segmentation.sounds import Samples, contact_noise, steady_noise
from training.sound import read_mono

Frames = npt.NDArray[np.float32]

_GENERATED_SECONDS = 20.0
# Clips have pauses at their ends; what is this far below their loudest moment is cut off there.
_PAUSE_DB = -50.0
_PAUSE_SECONDS = 0.2
_SHORTEST_SECONDS = 1.0


@dataclass(frozen=True)
class Breathing:
    """A recording of lung sounds: log-mel (T, n_mels), and boundaries (n + 1,) in seconds, both ends included."""

    recording: LungRecording
    log_mel: Frames
    boundaries: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Negative:
    """What is no lung sound: log-mel (T, n_mels)."""

    name: str
    kind: Kind
    log_mel: Frames


@dataclass(frozen=True)
class Sides:
    """The official split without the patients of its test part in training, which is divided by patient again.

    Attributes
    ----------
    train, validation, test : tuple of LungRecording
    left_out : tuple of str
        Patients of the official train part who are in the test part as well.
    """

    train: tuple[LungRecording, ...]
    validation: tuple[LungRecording, ...]
    test: tuple[LungRecording, ...]
    left_out: tuple[str, ...]


def sides(recipe: SegmentationRecipe) -> Sides:
    """Read the folder of the recipe and divide its recordings.

    Raises
    ------
    FormatError, ConfigError
        If it is missing or wrong, or a side would be empty.
    """
    data = read_icbhi(Path(recipe.data.root) / recipe.data.recordings, recipe.data.skip_bad)
    official = official_split(data, drop_shared=True)
    tested = {item.patient for item in official.test_recordings}
    both = {item.patient for item in data.recordings if item.part == "train"} & tested
    train, validation = official.train_recordings, ()
    if recipe.data.validates:
        divided = hold_out(all_cycles(train), recipe.data.holdout, recipe.data.seed, by="patient")
        train, validation = recordings_of(divided.train), recordings_of(divided.test)
    return Sides(train, validation, official.test_recordings, tuple(sorted(both)))


def breathing(recordings: Sequence[LungRecording], recipe: SegmentationRecipe) -> list[Breathing]:
    """Compute the log-mels of recordings that have cycles."""
    log_mel = LogMel(recipe.front_end)
    found = []
    for item in recordings:
        if item.cycles:
            times = [cycle.onset for cycle in item.cycles] + [item.cycles[-1].offset]
            samples = load_recording(item, recipe.front_end.sample_rate)
            found.append(Breathing(item, log_mel(samples), np.array(times)))
    return found


def negatives(recipe: SegmentationRecipe, held_out: bool) -> list[Negative]:
    """Compute the log-mels of what is no lung sound, for the training or ``held_out`` for the evaluation.

    Raises
    ------
    FormatError
        If a file cannot be read.
    ConfigError
        If a pattern fits no file.
    """
    log_mel, rate = LogMel(recipe.front_end), recipe.front_end.sample_rate
    found = []
    for source in recipe.data.negatives:
        paths = sorted(Path(recipe.data.root).glob(source.files))
        require(bool(paths), "data.negatives.files", f"files below {recipe.data.root}", source.files)
        for path in paths:
            if any(fnmatch(path.name, pattern) for pattern in source.held_out) == held_out:
                samples = _without_pauses(read_mono(path, rate), rate)
                found.append(Negative(path.name, source.kind, log_mel(samples)))
    rng = np.random.default_rng(1 if held_out else 0)
    count = recipe.data.generated
    for i in range(max(1, count // 5) if held_out else count):
        for kind, sound in _GENERATORS.items():
            samples = sound(rng, _GENERATED_SECONDS, rate)
            found.append(Negative(f"generated {sound.__name__} {i}", kind, log_mel(samples)))
    return found


_GENERATORS: Mapping[Kind, Callable[[np.random.Generator, float, int], Samples]] = {
    "contact_noise": contact_noise,
    "other": steady_noise,
}


def _without_pauses(samples: npt.NDArray[np.float32], rate: int) -> npt.NDArray[np.float32]:
    width = max(1, round(_PAUSE_SECONDS * rate))
    power = np.convolve(samples.astype(np.float64) ** 2, np.ones(width) / width, "same")
    active = np.flatnonzero(power > power.max() * 10 ** (_PAUSE_DB / 10))
    if active.size:
        samples = samples[active[0] : active[-1] + 1]
    return np.pad(samples, (0, max(0, round(_SHORTEST_SECONDS * rate) - len(samples))))
