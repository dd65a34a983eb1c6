"""Clips of equal length, cut from long recordings with their labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from streamsed.config import require
from streamsed.errors import FormatError
from training.data.adapters.recording import Recording
from training.data.soundscapes import SceneEvent
from training.sound import read_mono

# A rest this short belongs to the clip before it: files are some samples longer than they should be.
_SLIVER_SECONDS = 0.05


@dataclass(frozen=True)
class Excerpt:
    """A piece of a recording; its labels are in seconds from its own start.

    Parameters
    ----------
    recording : Recording
    start, duration : float
        Where in the recording it lies, in seconds.
    annotations, interference : tuple of SceneEvent
        Cut at its edges, in order of onset.
    """

    recording: Recording
    start: float
    duration: float
    annotations: tuple[SceneEvent, ...]
    interference: tuple[SceneEvent, ...]


def cut(recording: Recording, seconds: float = 10.0, *, equal: bool = False) -> tuple[Excerpt, ...]:
    """Cut a recording into pieces without gap or overlap; the last one may be shorter.

    Parameters
    ----------
    recording : Recording
    seconds : float
    equal : bool
        Let the last piece begin earlier, so that it is as long as the others. Only a recording that is shorter than
        one piece gives a shorter one.

    Raises
    ------
    ConfigError
        If the length is not positive, or a weakly labelled or unlabelled recording is longer than it: of a part
        of such a recording nobody knows the labels.
    """
    require(0 < seconds < math.inf, "seconds", "a length > 0", seconds)
    count = max(1, math.ceil((recording.duration - _SLIVER_SECONDS) / seconds))
    require(
        count == 1 or recording.supervision == "strong",
        "seconds",
        f"at least the {recording.duration:g} s of {recording.path}, whose labels have no times",
        seconds,
    )
    edges = [index * seconds for index in range(count)] + [recording.duration]
    spans = list(pairwise(edges))
    if equal and count > 1:
        spans[-1] = (recording.duration - seconds, recording.duration)
    return tuple(
        Excerpt(
            recording,
            start,
            stop - start,
            _within(recording.annotations, start, stop),
            _within(recording.interference, start, stop),
        )
        for start, stop in spans
    )


def read_excerpts(
    recording: Recording, sample_rate: int, seconds: float = 10.0, *, equal: bool = False
) -> Iterator[tuple[Excerpt, npt.NDArray[np.float32]]]:
    """Cut a recording that is decoded once: mean of its channels, at another rate.

    Parameters
    ----------
    recording : Recording
    sample_rate : int
        In Hz.
    seconds, equal
        As for :func:`cut`.

    Yields
    ------
    Excerpt
    ndarray, shape (n,), float32
        Its samples.

    Raises
    ------
    ConfigError
        As :func:`cut`.
    FormatError
        If the file cannot be read, or is shorter than its header says.
    """
    excerpts = cut(recording, seconds, equal=equal)
    samples = read_mono(recording.path, sample_rate)
    got = len(samples) / sample_rate
    if got < recording.duration - _SLIVER_SECONDS:
        expected = f"{recording.duration:g} s as its header says"
        raise FormatError(f"{recording.path}: expected {expected}, got {got:g} s")
    for excerpt in excerpts:
        start = round(excerpt.start * sample_rate)
        # Resampling may leave a sample more than the header promised.
        last = excerpt.start + excerpt.duration >= recording.duration
        stop = len(samples) if last else round((excerpt.start + excerpt.duration) * sample_rate)
        yield excerpt, samples[start:stop]


def _within(events: Iterable[SceneEvent], start: float, stop: float) -> tuple[SceneEvent, ...]:
    return tuple(
        SceneEvent(max(event.onset, start) - start, min(event.offset, stop) - start, event.label)
        for event in events
        if event.onset < stop and event.offset > start
    )
