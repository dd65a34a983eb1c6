"""Pictures that are there already, of a file or of an array, given to a stream when its sound comes to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from streamsed.config import require
from streamsed.errors import FormatError
from streamsed.side_inputs import TOLERANCE_SECONDS
from streamsed.sources.containers import CONTAINER_EXTENSIONS
from streamsed.sources.video import NoPictures, VideoFrames

# Images, shape (N, height, width, 3) uint8 or a list of N, and their times in seconds of the sound, shape (N,).
Pictures: TypeAlias = tuple[Any, npt.ArrayLike]
Push: TypeAlias = Callable[[npt.NDArray[np.float32], float], object]


class PictureEncoder(Protocol):
    """What an :class:`~streamsed.side_encoders.ImageEncoder` is here."""

    size: tuple[int, int]
    rate_hz: float | None

    def __call__(self, image: Any) -> npt.NDArray[np.float32]:
        """Return the embedding of a picture."""


class PictureFeed:
    """Encodes pictures in the order of their times, none before it is needed; a context manager.

    Parameters
    ----------
    encoder : PictureEncoder or None
        None for a model that takes no pictures.
    pictures : iterable of (float, ndarray)
        Time in seconds of the sound, and RGB image of shape (height, width, 3).
    video : VideoFrames, optional
        Where they come from; closed with the feed.

    Attributes
    ----------
    has_pictures : bool
        Whether there is any.
    used : int
        Pictures that were given.
    damage : FormatError or None
        Why there are no more; what came before counts.
    """

    def __init__(
        self,
        encoder: PictureEncoder | None = None,
        pictures: Iterable[tuple[float, Any]] = (),
        video: VideoFrames | None = None,
    ) -> None:
        self._encoder = encoder
        self._pictures = iter(pictures)
        self._video = video
        self._next: tuple[float, Any] | None = None
        self.damage: FormatError | None = None
        self.used = 0
        if encoder is not None:
            self._advance()
        self.has_pictures = self._next is not None

    @classmethod
    def of_arrays(cls, encoder: PictureEncoder | None, pictures: Pictures) -> PictureFeed:
        """Make a feed of arrays; what is wrong with an image is said when its turn comes.

        Raises
        ------
        ConfigError
            If ``encoder`` is None, there are not as many times as images, or the times decrease.
        """
        require(encoder is not None, "pictures", "none for a model that hears alone", "pictures")
        assert encoder is not None
        images, times = pictures
        moments = np.asarray(times, np.float64)
        rising = moments.shape == (len(images),) and bool(np.all(np.diff(moments) >= 0))
        require(rising, "pictures", f"{len(images)} times that do not decrease", moments)
        return cls(encoder, zip(moments.tolist(), images, strict=True))

    @classmethod
    def of_video(cls, encoder: PictureEncoder, path: str | os.PathLike[str]) -> PictureFeed:
        """Make a feed of a video file.

        Raises
        ------
        FormatError
            If it has no pictures.
        ConfigError
            If PyAV is not installed.
        """
        video = VideoFrames(path, size=encoder.size, rate_hz=encoder.rate_hz)
        video.open()
        return cls(encoder, ((picture.time_seconds, picture.image) for picture in video), video)

    @property
    def drift_ppm(self) -> float | None:
        """By how much the sound's clock is faster than that of the pictures, as far as it was read."""
        return None if self._video is None else self._video.drift_ppm

    def to_dict(self) -> dict[str, Any]:
        """Return what the summary record says."""
        drift = self.drift_ppm
        return {"used": self.used, **({} if drift is None else {"drift_ppm": round(drift, 1)})}

    def give(self, push: Push, until_seconds: float) -> None:
        """Call ``push(embedding, time)`` for the pictures up to a time of the sound that were not given yet."""
        while self._encoder is not None and self._next is not None:
            time_seconds, image = self._next
            if time_seconds > until_seconds + TOLERANCE_SECONDS:
                break
            push(self._encoder(image), time_seconds)
            self.used += 1
            self._advance()

    def _advance(self) -> None:
        try:
            self._next = next(self._pictures, None)
        except FormatError as error:
            self._next, self.damage = None, error

    def raise_damage(self) -> None:
        """Raise what is wrong with the file, if anything is."""
        if self.damage is not None:
            raise self.damage

    def __enter__(self) -> PictureFeed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, if there is one; may be called twice."""
        self._next = None
        if self._video is not None:
            self._video.close()


def video_feed(encoder: PictureEncoder | None, path: str | os.PathLike[str]) -> PictureFeed:
    """Return the pictures of a recording for a model: none if it takes none or the recording has none.

    Raises
    ------
    FormatError
        If its pictures have no size.
    """
    if encoder is None or Path(path).suffix.lower() not in CONTAINER_EXTENSIONS:
        return PictureFeed(encoder)
    try:
        return PictureFeed.of_video(encoder, path)
    except NoPictures:
        return PictureFeed(encoder)
