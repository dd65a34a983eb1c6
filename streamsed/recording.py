"""A whole recording through a stream, as fast as it computes."""

from __future__ import annotations

import contextlib
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
from streamsed.models import Steps, run_alone
from streamsed.picture_feed import PictureFeed, Pictures, video_feed
from streamsed.posterior_stream import PosteriorStream
from streamsed.sound_stream import SoundModel, SoundStream
from streamsed.sources.base import Block
from streamsed.sources.resample import Resampler
from streamsed.sources.samples import ChannelSelection, as_samples, mix_down
from streamsed.sources.video_sound import open_recording
from streamsed.types import Record

Floats = npt.NDArray[np.float32]

# How much of a recording is read at a time.
_READ_SECONDS = 1.0


def recording_records(
    detector: SoundModel,
    recording: str | os.PathLike[str] | npt.ArrayLike,
    sample_rate: int | None,
    source: str | None,
    pictures: Pictures | None = None,
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
    pictures : Pictures, optional
        Beside an array; a video file has its own.
    **options
        For ``detector.stream``.
    """
    if not isinstance(recording, (str, os.PathLike)):
        stream = detector.stream(sample_rate, source="array" if source is None else source, **options)
        if pictures is None:
            yield from stream.process(recording)
        else:
            rate = detector.sample_rate if sample_rate is None else sample_rate
            feed = PictureFeed.of_arrays(detector.image_encoder, pictures)
            for part, end_seconds in _parts(as_samples(recording), rate, round(_READ_SECONDS * rate)):
                feed.give(stream.picture_embedding, end_seconds)
                yield from stream.process(part)
        yield from stream.flush()
        return
    require(pictures is None, "pictures", "None for a file, which has its own", "pictures")
    require(sample_rate is None, "sample_rate", "None for a file, which knows its own", sample_rate)
    with contextlib.closing(open_recording(recording)) as file:
        name = Path(recording).stem if source is None else source
        stream = detector.stream(file.sample_rate, file.channels, source=name, **options)
        step = max(1, round(_READ_SECONDS * file.sample_rate))
        with video_feed(detector.image_encoder, recording) as feed:
            while (block := file.read(step)) is not None:
                yield from run_alone(block_steps(stream, block, file.sample_rate, feed))
            yield from stream.flush()
            feed.raise_damage()


def block_steps(
    stream: SoundStream[Any], block: Block, sample_rate: int, feed: PictureFeed
) -> Steps[list[Record]]:
    """Return the records of a block of a recording, what was lost before it and its pictures first."""
    records: list[Record] = []
    if block.missing_frames_before:
        records += yield from stream.gap_steps(block.missing_frames_before, block.missing_cause)
    feed.give(stream.picture_embedding, (block.start_position + len(block.samples)) / sample_rate)
    return records + (yield from stream.process_steps(block.samples))


def _parts(samples: Floats, sample_rate: int, step: int) -> Iterator[tuple[Floats, float]]:
    """Yield parts of ``step`` samples, and when each ends in seconds."""
    for begin in range(0, len(samples), step):
        part = samples[begin : begin + step]
        yield part, (begin + len(part)) / sample_rate


def recording_frames(
    stream: PosteriorStream,
    samples: npt.ArrayLike,
    sample_rate: int,
    model_rate: int,
    channel: ChannelSelection,
    profile: LatencyProfile,
    feed: PictureFeed | None = None,
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
    feed : PictureFeed, optional
        Its pictures.

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
    parts = []
    for part, end_seconds in _parts(mono, sample_rate, step):
        if feed is not None:
            feed.give(stream.push_picture, end_seconds)
        parts.append(stream.process(resampler.process(part)))
    return join_frames([*parts, stream.process(resampler.flush()), stream.flush()])
