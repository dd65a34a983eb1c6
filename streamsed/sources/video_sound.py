"""The sound of a video file, or of any container that libsndfile does not read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamsed.config import require
from streamsed.errors import ConfigError, FormatError
from streamsed.sources.base import Block, SourceBase
from streamsed.sources.containers import CONTAINER_EXTENSIONS, Container, SoundTimes, load_av
from streamsed.sources.file import FileSource, NotAudio

Floats = npt.NDArray[np.float32]


class VideoSound(SourceBase):
    """The sound of a file that FFmpeg reads, whatever its codec; needs the extra ``video``.

    Parameters
    ----------
    path : str or Path
    name : str, optional
        How records call the source; by default the file's name.

    Attributes
    ----------
    frames : int
        How many frames there are by the header; 0 if it does not say. Valid once open.
    has_video : bool
        Whether the file has pictures too; valid once open.
    drift_ppm : float or None
        By how much the sound's clock is faster than that of the time stamps, as far as it was read.
    """

    def __init__(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        self.path = Path(path)
        self.name = self.path.name if name is None else name
        self.frames = 0
        self.has_video = False
        self._container: Container | None = None
        self._parts: Iterator[tuple[int, Floats]] = iter(())
        self._times = SoundTimes(1)
        self._rest = np.empty((0, 1), np.float32)

    @property
    def drift_ppm(self) -> float | None:
        """See the class."""
        return self._times.drift.drift_ppm

    def open(self) -> None:
        """Read the header.

        Raises
        ------
        FormatError
            If the file is missing, unreadable, empty, or has no sound.
        ConfigError
            If PyAV is not installed.
        """
        self._container = container = Container(self.path)
        stream = container.audio
        if stream is None:
            container.close()
            raise FormatError(f"{self.path}: no sound in it")
        self.sample_rate = int(stream.codec_context.sample_rate or 0)
        self.channels = int(stream.codec_context.channels or 0)
        if not (self.sample_rate > 0 and self.channels > 0):
            container.close()
            found = f"{self.channels} channels at {self.sample_rate} Hz"
            raise FormatError(f"{self.path}: expected sound with rate and channels, got {found}")
        self.has_video = container.video is not None
        self.frames = round((container.duration_seconds or 0.0) * self.sample_rate)
        self._times = SoundTimes(self.sample_rate)
        self._parts = self._decode(container, stream)
        self._rest = np.empty((0, self.channels), np.float32)
        self._position = 0
        self._is_open = True

    def _decode(self, container: Container, stream: Any) -> Iterator[tuple[int, Floats]]:
        """Yield how many samples were lost before a part, and the part, shape (n, channels)."""
        av = load_av(str(self.path))
        # To float32 with full scale 1, interleaved; a decoder may change its format in the middle, the rate stays.
        layout = stream.codec_context.layout.name
        converter = av.AudioResampler(format="flt", layout=layout, rate=self.sample_rate)
        for _, frame in container.decode(stream):
            missing = self._times.observe(frame.time, frame.samples)
            # Times are ours to keep: the converter would fill or drop sound where they leap.
            frame.pts = None
            for part in converter.resample(frame):
                yield missing, part.to_ndarray().reshape(-1, self.channels)
                missing = 0

    def read(self, max_frames: int) -> Block | None:
        """Return the next 1 to ``max_frames`` frames, or None at the end.

        Raises
        ------
        FormatError
            At the end of a file that was cut off or is damaged, once everything before has been delivered, or of one
            that has no sound after all.
        StateError
            If the source is not open.
        """
        require(max_frames > 0, "max_frames", "> 0", max_frames)
        self._check_open()
        missing = 0
        while len(self._rest) == 0:
            part = next(self._parts, None)
            if part is None:
                if self._position == 0:
                    raise FormatError(f"{self.path}: no sound in it: 0 frames")
                return None
            lost, self._rest = part
            missing += lost
        samples, self._rest = self._rest[:max_frames], self._rest[max_frames:]
        self._position += missing
        block = self._block(np.ascontiguousarray(samples))
        return block._replace(missing_frames_before=missing, missing_cause="device")

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._is_open = False
        self._parts = iter(())
        if self._container is not None:
            self._container.close()
            self._container = None


def recording_source(path: str | os.PathLike[str], name: str | None = None) -> FileSource | VideoSound:
    """Return the source of a recording, not opened: by the extension, of a container or of anything else."""
    kind = VideoSound if Path(path).suffix.lower() in CONTAINER_EXTENSIONS else FileSource
    return kind(path, name)


def open_recording(path: str | os.PathLike[str], name: str | None = None) -> FileSource | VideoSound:
    """Return the source of a recording, opened: with libsndfile, or with PyAV what that does not read.

    Parameters
    ----------
    path : str or Path
    name : str, optional
        How records call the source; by default the file's name.

    Raises
    ------
    FormatError
        If the file is missing, unreadable, empty or has no sound.
    ConfigError
        If it is a container such as mp4 and PyAV is not installed; the message names the extra.
    """
    source = recording_source(path, name)
    try:
        source.open()
    except NotAudio as error:
        source = VideoSound(path, name)
        try:
            source.open()
        except (FormatError, ConfigError):
            raise error from None
    return source
