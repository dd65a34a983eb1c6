"""A whole recording through a stream, as fast as it computes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamsed.config import LatencyProfile, require
from streamsed.errors import ConfigError
from streamsed.evidence import PosteriorFrames, join_frames
from streamsed.health import MAX_LEVEL
from streamsed.posterior_stream import PosteriorStream
from streamsed.sound_stream import SoundModel
from streamsed.sources.file import FileSource
from streamsed.sources.resample import Resampler
from streamsed.sources.samples import ChannelSelection, as_samples, mix_down
from streamsed.types import Record

Floats = npt.NDArray[np.float32]

# How much of a recording is read at a time.
_READ_SECONDS = 1.0


def recording_records(
    detector: SoundModel,
    recording: str | os.PathLike[str] | npt.ArrayLike,
    sample_rate: int | None,
    source: str | None,
    **options: Any,
) -> Iterator[Record]:
    """Yield the records of a whole recording.

    Parameters
    ----------
    detector : Detector or CycleDetector
    recording : path or array_like
        A file, or samples of shape (n,) or (n, channels).
    sample_rate : int or None
        Of an array; None for a file, or for the model's.
    source : str or None
        How records call it; by default the name of the file, or "array".
    **options
        For ``detector.stream``.
    """
    if not isinstance(recording, (str, os.PathLike)):
        stream = detector.stream(sample_rate, source="array" if source is None else source, **options)
        yield from stream.process(recording)
        yield from stream.flush()
        return
    require(sample_rate is None, "sample_rate", "None for a file, which knows its own", sample_rate)
    with FileSource(recording) as file:
        name = Path(recording).stem if source is None else source
        stream = detector.stream(file.sample_rate, file.channels, source=name, **options)
        while (block := file.read(max(1, round(_READ_SECONDS * file.sample_rate)))) is not None:
            yield from stream.process(block.samples)
        yield from stream.flush()


def recording_frames(
    stream: PosteriorStream,
    samples: npt.ArrayLike,
    sample_rate: int,
    model_rate: int,
    channel: ChannelSelection,
    profile: LatencyProfile,
) -> PosteriorFrames:
    """Return the posterior frames of a whole recording, as a stream gives them.

    Parameters
    ----------
    stream : PosteriorStream
        Fresh.
    samples : array_like, shape (n,) or (n, channels)
        Finite values within ±1e6, at ``sample_rate``.
    sample_rate, model_rate : int
        In Hz.
    channel
        See :meth:`streamsed.Detector.stream`.
    profile : LatencyProfile

    Raises
    ------
    ConfigError
        A parameter that cannot be used, or NaN or Inf among the samples.
    """
    mono = mix_down(as_samples(samples), channel)
    if not np.abs(mono).max(initial=0.0) <= MAX_LEVEL:
        raise ConfigError(f"samples: expected values within ±{MAX_LEVEL:g}, got NaN, Inf or larger ones")
    resampler = Resampler(sample_rate, model_rate)
    step = max(1, round(profile.chunk_seconds * sample_rate))
    parts = [
        stream.process(resampler.process(mono[begin : begin + step])) for begin in range(0, len(mono), step)
    ]
    return join_frames([*parts, stream.process(resampler.flush()), stream.flush()])
