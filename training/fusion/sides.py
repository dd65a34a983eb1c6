"""The side inputs of a scene: extracted embeddings on the clock of its posterior frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from streamsed.config import FrameClock, LogMelConfig, require
from streamsed.side_inputs import align, frame_end_seconds
from training.data.adapters import Recording
from training.fusion.settings import FusionSettings, SideSettings
from training.fusion.side import Side
from training.recordings import RecordingSource

# Embeddings (N, D) and when each is known (N,), in seconds from the start of the recording.
Found: TypeAlias = tuple[npt.NDArray[np.floating], npt.NDArray[np.float64]]
# What was found in a recording; None where there is nothing to embed, such as no video.
Reader: TypeAlias = Callable[[Recording], Found | None]

if TYPE_CHECKING:
    from training.recipe import Recipe

# As much is kept in memory; scenes beyond are read from the cache every time.
KEPT_BYTES = 1 << 30


class SceneSides:
    """Side inputs of scene number i of a source, read as they are needed.

    Parameters
    ----------
    settings : FusionSettings
    source : RecordingSource
    readers : mapping of str to Reader
        For each of ``settings.sides``.
    times : ndarray, shape (T',)
        When each posterior frame of a scene is computed, see :func:`posterior_times`.
    kept_bytes : int
        What to keep in memory.
    """

    def __init__(
        self,
        settings: FusionSettings,
        source: RecordingSource,
        readers: Mapping[str, Reader],
        times: npt.NDArray[np.float64],
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._settings = settings
        self._source = source
        self._readers = dict(readers)
        self._times = times
        self._room = kept_bytes
        self._kept: dict[int, tuple[Side, ...]] = {}

    @classmethod
    def of(cls, recipe: Recipe, source: RecordingSource, clock: FrameClock, count: int) -> SceneSides:
        """Return the side inputs of the scenes of a recipe's source.

        Parameters
        ----------
        recipe : Recipe
        source : RecordingSource
        clock : FrameClock
        count : int
            Posterior frames of a scene.

        Raises
        ------
        ConfigError
            If the scenes are no recordings, or an augmentation would change sounds that embeddings are of.
        FormatError
            If a weight file is missing or wrong, or the cache is of another encoder.
        """
        # Recipes that fuse nothing need neither encoders nor video.
        from training.fusion.readers import readers_of

        check_recordings(recipe)
        _check_augmentation(recipe)
        times = posterior_times(recipe.front_end, clock, count)
        return cls(recipe.fusion, source, readers_of(recipe.fusion), times)

    def __call__(self, index: int) -> tuple[Side, ...]:
        """Return the side inputs of a scene, features (T', D) and presence (T',), in the order of the settings.

        Raises
        ------
        ConfigError
            If embeddings have another width than the settings say, or go by their index and the scene does not begin
            where its recording does.
        FormatError
            If what was extracted cannot be read.
        """
        if index in self._kept:
            return self._kept[index]
        sides = tuple(self._side(index, name, item) for name, item in self._settings.sides.items())
        size = sum(side.features.nbytes for side in sides)
        if size <= self._room:
            self._room -= size
            self._kept[index] = sides
        return sides

    def _side(self, index: int, name: str, settings: SideSettings) -> Side:
        excerpt = self._source.excerpt(index)
        found = self._readers[name](excerpt.recording)
        if found is None:
            nothing = torch.zeros(len(self._times), settings.features)
            return Side(nothing, torch.zeros(len(self._times)))
        features, times = found
        width = features.shape[1]
        require(
            width == settings.features, f"fusion.{name}.features", f"the extracted {width}", settings.features
        )
        if self._settings.alignment == "time":
            values = align(features, times, self._times + excerpt.start, settings.max_age_seconds)
        else:
            whole = f"recordings of one scene, but {excerpt.recording.path} has several"
            require(
                excerpt.start == 0, "fusion.alignment = 'index'", whole, f"a scene from {excerpt.start} s on"
            )
            values = by_index(features, self._times, settings.max_age_seconds)
        return Side(*map(torch.from_numpy, values))


def check_recordings(recipe: Recipe) -> None:
    """Raise ConfigError unless the scenes of a recipe are recordings, as embeddings are made of files."""
    inputs = list(recipe.fusion.inputs)
    are_files = recipe.data.recordings is not None
    require(are_files, "fusion.inputs", "['spectral'] for mixed scenes, which are no files", inputs)


def _check_augmentation(recipe: Recipe) -> None:
    """Refuse what changes sounds behind the back of their embeddings.

    Another sound may be added to a clip with pictures: it is not in the picture.
    """
    values, sides = recipe.augment, recipe.fusion.sides
    refused = {"mixup_probability": values.mixup_probability}
    if "auditory" in sides:
        refused |= {
            "overlay_probability": values.overlay_probability,
            "digital_silence_probability": values.digital_silence_probability,
        }
    for name, value in refused.items():
        require(value == 0, f"augment.{name}", f"0 with fusion of {list(sides)}", value)


def by_index(
    features: npt.NDArray[np.floating], times: npt.NDArray[np.float64], max_age_seconds: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Give posterior frame i embedding i, and the last one to what little comes behind it.

    Section 4.2 of the paper: 10 s have 151 posterior frames and 151 windows of VGGish, but about 150 pictures.

    Parameters
    ----------
    features : ndarray, shape (N, D)
    times : ndarray, shape (T',)
        Of the posterior frames.
    max_age_seconds : float
        For so long the last embedding is repeated.

    Returns
    -------
    values : ndarray, shape (T', D)
    present : ndarray, shape (T',)
    """
    known = times[: len(features)]
    return align(features[: len(known)], known, times, max_age_seconds)


def posterior_times(front_end: LogMelConfig, clock: FrameClock, count: int) -> npt.NDArray[np.float64]:
    """Return when the last log-mel frame of each posterior frame ends, in seconds, shape (count,)."""
    stride = clock.time_stride
    ends = frame_end_seconds(
        0, count * stride, front_end.hop_length, front_end.window_length, front_end.sample_rate
    )
    # Centred frames begin half a window earlier.
    early = front_end.window_length / 2 / front_end.sample_rate if front_end.center else 0.0
    return ends[stride - 1 :: stride] - early
