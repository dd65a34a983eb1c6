"""The pictures of a video file, at the times that its sound has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from streamsed.config import require
from streamsed.errors import FormatError, StateError
from streamsed.sources.containers import Container, SoundTimes, load_av

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]


class NoPictures(FormatError):  # noqa: N818 - a kind of FormatError
    """A file that has sound only."""


class Picture:
    """One picture and its time.

    Parameters
    ----------
    time_seconds : float
        When it was shown; 0 is the first sample of the sound.
    frame : av.VideoFrame
    size : (height, width) or None
        Of :attr:`image`; None keeps that of the frame.
    """

    __slots__ = ("_frame", "_size", "time_seconds")

    def __init__(self, time_seconds: float, frame: Any, size: Size | None = None) -> None:
        self.time_seconds = time_seconds
        self._frame = frame
        self._size = size

    @property
    def image(self) -> Pixels:
        """The picture, upright, RGB, shape (height, width, 3)."""
        return self.rgb(self._size)

    def rgb(self, size: Size | None) -> Pixels:
        """Return the picture, upright, RGB, scaled to ``size`` (height, width), shape (height, width, 3)."""
        # The rotation that the container asks for is counterclockwise, in degrees; only right angles make sense here.
        turns = round((self._frame.rotation or 0) / 90) % 4
        height, width = (self._frame.height, self._frame.width) if size is None else size
        if size is not None and turns % 2:
            height, width = width, height
        pixels = self._frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
        return np.ascontiguousarray(np.rot90(pixels, turns))


def scaled(image: Pixels, size: Size) -> Pixels:
    """Return an RGB image, shape (h, w, 3) uint8, scaled to ``size`` (height, width) as those of a video are.

    Raises
    ------
    ConfigError
        If PyAV is not installed.
    """
    if image.shape[:2] == size:
        return image
    frame = load_av("picture of another size").VideoFrame.from_ndarray(
        np.ascontiguousarray(image), format="rgb24"
    )
    return Picture(0.0, frame).rgb(size)


class Slots:
    """Lets the first picture of every 1 / rate seconds pass: a choice that depends on nothing but the times.

    Parameters
    ----------
    rate_hz : float or None
        None lets all pass.
    """

    def __init__(self, rate_hz: float | None) -> None:
        self._rate = rate_hz
        self._last: float | None = None

    def takes(self, time_seconds: float) -> bool:
        """Say whether the picture of that time passes; those that go back in time never do."""
        # Pictures at exactly this rate fall on the edges of the slots: a hair's breadth must not decide.
        slot = time_seconds if self._rate is None else np.floor(time_seconds * self._rate + 0.01)
        if self._last is not None and slot <= self._last:
            return False
        self._last = float(slot)
        return True


class VideoFrames:
    """The pictures of a video file in the order of their times; needs the extra ``video``.

    ``with VideoFrames(path) as video: for picture in video: ...``. Times are those of presentation, as the file has
    them, on the clock of its sound: 0 is its first sample, so that pictures from before it have negative times, and a
    sound whose clock drifts against the time stamps takes the pictures along. Without sound 0 is the first picture.

    Parameters
    ----------
    path : str or Path
    size : (height, width), optional
        Pictures are scaled to it; by default they stay as they are.
    rate_hz : float, optional
        At most one picture, the first one, in each 1 / rate_hz seconds; by default all.

    Attributes
    ----------
    drift_ppm : float or None
        By how much the sound's clock is faster than that of the time stamps, as far as it was read.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, size: Size | None = None, rate_hz: float | None = None
    ) -> None:
        require(rate_hz is None or rate_hz > 0, "rate_hz", "> 0 or None", rate_hz)
        require(size is None or min(size) > 0, "size", "(height, width) > 0, or None", size)
        self.path = Path(path)
        self._size = size
        self._rate = rate_hz
        self._container: Container | None = None
        self._times: SoundTimes | None = None

    def open(self) -> None:
        """Read the header.

        Raises
        ------
        FormatError
            If the file is missing, unreadable, or has no pictures, or such without any size.
        ConfigError
            If PyAV is not installed.
        """
        self._container = container = Container(self.path)
        video = container.video
        if video is None:
            self.close()
            raise NoPictures(f"{self.path}: no pictures in it")
        width, height = int(video.codec_context.width or 0), int(video.codec_context.height or 0)
        if not (width > 0 and height > 0):
            self.close()
            raise FormatError(f"{self.path}: expected pictures with a size, got {width} x {height}")
        self._times = None
        if container.audio is not None:
            self._times = self._first_sound()

    def _first_sound(self) -> SoundTimes | None:
        """Find where the sound begins: pictures may come first in the file."""
        other = Container(self.path)
        try:
            for _, frame in other.decode(other.audio):
                if frame.time is not None:
                    times = SoundTimes(frame.sample_rate)
                    times.drift.observe(frame.time, 0.0)
                    return times
        except FormatError:
            # Who iterates learns of the damage, in its place.
            return None
        finally:
            other.close()
        return None

    @property
    def drift_ppm(self) -> float | None:
        """See the class."""
        return None if self._times is None else self._times.drift.drift_ppm

    def __iter__(self) -> Iterator[Picture]:
        """Yield the pictures.

        Raises
        ------
        FormatError
            At the end of a file that was cut off or is damaged, once everything before has been given.
        StateError
            If it is not open.
        """
        container = self._container
        if container is None:
            raise StateError(f"{self.path}: expected it to be open; call open() first")
        slots = Slots(self._rate)
        stamp: float | None = None
        streams = [container.video, *([container.audio] if self._times is not None else [])]
        rate = container.video.average_rate
        step = 1.0 / float(rate) if rate else 0.04
        origin: float | None = None
        count = 0
        for kind, frame in container.decode(*streams):
            if kind == "audio":
                assert self._times is not None
                self._times.observe(frame.time, frame.samples)
                continue
            stamp = frame.time if frame.time is not None else (0.0 if stamp is None else stamp + step)
            origin = stamp if origin is None else origin
            seconds = stamp - origin if self._times is None else self._times.drift.to_sound(stamp)
            usable = frame.width > 0 and frame.height > 0 and not frame.is_corrupt
            count += usable
            if usable and slots.takes(seconds):
                yield Picture(seconds, frame, self._size)
        if count == 0:
            raise NoPictures(f"{self.path}: no pictures in it: 0 frames")

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def __enter__(self) -> VideoFrames:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
