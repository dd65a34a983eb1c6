"""Pictures beside a session's sound: of a file, in step with it, or of a camera, as they come."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from streamsed.errors import DeviceLost, DeviceNotFound, FormatError
from streamsed.picture_feed import video_feed
from streamsed.service.delays import DelayStatistics
from streamsed.side_encoders import ImageEncoder
from streamsed.sources.arrival_clock import LeastLateness
from streamsed.sources.camera import Camera
from streamsed.sources.clock_drift import ClockDrift
from streamsed.sources.video import Picture, Slots, VideoFrames

_log = logging.getLogger(__name__)

# Encoded pictures that wait for the worker; it asks many times a second.
_READY = 64
# A step of the offset that no drift makes: another picture was the first that came without delay.
_STEP_SECONDS = 0.005
_RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0)

Push = Callable[[NDArray[np.float32], float], object]
# Maps a moment of the monotonic clock to seconds of the sound; None before there is any sound.
SoundClock = Callable[[float], float | None]


@dataclass(frozen=True)
class PictureStats:
    """How the pictures of a session are doing.

    Attributes
    ----------
    used : int
        Encoded and given to the model; the largest number, where several models see.
    skipped : int
        Came while the encoder was still busy; those that are more than the model wants are not counted.
    delay_ms : dict
        p50, p95 and max of how far the sound had been processed already when a picture came, 0 in a file that is not
        played at its own pace. Frames of that time had to do with the picture before it, or without.
    encode_ms : dict
        p50, p95 and max of the time that the encoder took.
    drift_ppm : float or None
        By how much the clock of the sound is faster than that of the pictures, in millionths; None before it is known.
    offset_seconds : float or None
        Time of the sound less that on the clock of the pictures, now.
    """

    used: int
    skipped: int
    delay_ms: dict[str, float]
    encode_ms: dict[str, float]
    drift_ppm: float | None
    offset_seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return what the summary record says."""
        fields: dict[str, Any] = {
            "used": self.used,
            "skipped": self.skipped,
            "delay_ms": self.delay_ms,
            "encode_ms": self.encode_ms,
        }
        if self.drift_ppm is not None:
            fields["drift_ppm"] = round(self.drift_ppm, 1)
        if self.offset_seconds is not None:
            fields["offset_seconds"] = round(self.offset_seconds, 4)
        return fields


class SessionPictures(Protocol):
    """What a session needs of its pictures."""

    def start(self, clock: SoundClock) -> None:
        """Begin, with the clock of the sound."""

    def give(self, pushes: Sequence[Push | None], begin: float, end: float) -> None:
        """Push what there is before the sound of these seconds is processed; a push for each detector that sees."""

    def error(self) -> Exception | None:
        """Return what the session has to end with, once its sound has ended."""

    @property
    def stats(self) -> PictureStats:
        """How they are doing; may be read from any thread."""

    def close(self) -> None:
        """End; never hangs."""


class _Timed:
    """An encoder that measures how long it takes."""

    def __init__(self, encoder: ImageEncoder) -> None:
        self._encoder = encoder
        self.size, self.rate_hz = encoder.size, encoder.rate_hz
        self.seconds = DelayStatistics()

    def __call__(self, image: Any) -> NDArray[np.float32]:
        begin = time.perf_counter()
        row = self._encoder(image)
        self.seconds.add(time.perf_counter() - begin)
        return row


class FilePictures:
    """The pictures of a video file, encoded by the worker in step with the sound: nothing depends on timing.

    Parameters
    ----------
    path : Path
    encoders : sequence of ImageEncoder or None
        Of each detector.
    """

    def __init__(self, path: Path, encoders: Sequence[ImageEncoder | None]) -> None:
        self._encoders = [None if encoder is None else _Timed(encoder) for encoder in encoders]
        self._feeds = [video_feed(encoder, path) for encoder in self._encoders]

    @property
    def has_pictures(self) -> bool:
        """Whether the file has any that a model wants."""
        return any(feed.has_pictures for feed in self._feeds)

    def start(self, clock: SoundClock) -> None:
        """See :class:`SessionPictures`: the sound's clock is that of the file."""

    def give(self, pushes: Sequence[Push | None], begin: float, end: float) -> None:
        """See :class:`SessionPictures`."""
        del begin
        for feed, push in zip(self._feeds, pushes, strict=True):
            if push is not None:
                feed.give(push, end)

    def error(self) -> Exception | None:
        """See :class:`SessionPictures`: that of a damaged file."""
        return next((feed.damage for feed in self._feeds if feed.damage is not None), None)

    @property
    def stats(self) -> PictureStats:
        """See :class:`SessionPictures`."""
        timed = next(encoder for encoder in self._encoders if encoder is not None)
        drift = next((feed.drift_ppm for feed in self._feeds if feed.drift_ppm is not None), None)
        delays = DelayStatistics().to_milliseconds()
        return PictureStats(
            max(feed.used for feed in self._feeds), 0, delays, timed.seconds.to_milliseconds(), drift, None
        )

    def close(self) -> None:
        """See :class:`SessionPictures`."""
        for feed in self._feeds:
            feed.close()


class _Newest:
    """Holds the newest picture for an encoder that may be slower than they come."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._picture: Picture | None = None
        self._closed = False
        self.replaced = 0

    def put(self, picture: Picture) -> None:
        """Replace the one that was not taken."""
        with self._changed:
            self.replaced += self._picture is not None
            self._picture = picture
            self._changed.notify()

    def take(self) -> Picture | None:
        """Wait for one; None once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._picture is not None or self._closed)
            if self._closed:
                return None
            picture, self._picture = self._picture, None
            return picture

    def close(self) -> None:
        """Wake who waits."""
        with self._changed:
            self._closed = True
            self._changed.notify()


class _Eye:
    """Encodes the newest picture for one model, in a thread of its own."""

    def __init__(self, encoder: ImageEncoder) -> None:
        self.encoder = _Timed(encoder)
        self._slots = Slots(encoder.rate_hz)
        self._newest = _Newest()
        self._ready: deque[tuple[NDArray[np.float32], float]] = deque(maxlen=_READY)
        self._last = -np.inf
        self.used = 0
        self.delays = DelayStatistics()
        self._thread = threading.Thread(target=self._run, name="streamsed pictures encode", daemon=True)
        self._thread.start()

    @property
    def skipped(self) -> int:
        """Pictures that came while the encoder was busy."""
        return self._newest.replaced

    def see(self, picture: Picture) -> None:
        """Take a picture, if the model wants one of that time."""
        if self._slots.takes(picture.time_seconds):
            self._newest.put(picture)

    def _run(self) -> None:
        while (picture := self._newest.take()) is not None:
            try:
                row = self.encoder(picture.rgb(self.encoder.size))
            except Exception:
                # Sound goes on without pictures; that they are missing is told by the records.
                _log.exception("encoding a picture failed")
                return
            self._ready.append((row, picture.time_seconds))

    def give(self, push: Push, seconds: float) -> None:
        """Push what is ready, where the sound was processed up to ``seconds``."""
        while self._ready:
            row, time_seconds = self._ready.popleft()
            # The clocks are estimates: one that steps back must not make time run backwards.
            self._last = max(self._last, time_seconds)
            push(row, self._last)
            self.used += 1
            self.delays.add(seconds - time_seconds)

    def close(self) -> None:
        """End after the picture that is being encoded."""
        self._newest.close()


class _Clocks:
    """The clocks of a camera and of the sound, both by their arrival at the monotonic clock with the least delay."""

    def __init__(self) -> None:
        self._camera, self._sound = LeastLateness(), LeastLateness()

    def offset_seconds(self, camera_seconds: float, sound_seconds: float, arrival_seconds: float) -> float:
        """Take what both clocks show at a monotonic time; return the time of the sound less that of the camera."""
        self._camera.add(arrival_seconds, arrival_seconds - camera_seconds)
        self._sound.add(arrival_seconds, arrival_seconds - sound_seconds)
        assert self._camera.seconds is not None and self._sound.seconds is not None  # there is one now
        return self._camera.seconds - self._sound.seconds


class LivePictures:
    """Pictures that come at their own pace, of a camera or of a file that is played.

    One thread reads them and one for each model encodes the newest: sound never waits for either. What comes while an
    encoder is busy is skipped. A camera that is lost is opened again, for as long as the session lasts.

    Parameters
    ----------
    source : Camera or Path
        A camera, opened; or a video file.
    encoders : sequence of ImageEncoder or None
        Of each detector.
    tell : callable
        Takes the detail of a status.
    """

    def __init__(
        self, source: Camera | Path, encoders: Sequence[ImageEncoder | None], tell: Callable[[str], object]
    ) -> None:
        self._source = source
        self._eyes = [None if encoder is None else _Eye(encoder) for encoder in encoders]
        self._tell = tell
        self._clock: SoundClock = lambda moment: None
        self._drift = ClockDrift()
        self._drift_offset: float | None = None
        self._damage: FormatError | None = None
        self._closing = threading.Event()
        read = self._read_camera if isinstance(source, Camera) else self._read_file
        self._thread = threading.Thread(target=read, name="streamsed pictures read", daemon=True)

    def start(self, clock: SoundClock) -> None:
        """See :class:`SessionPictures`."""
        self._clock = clock
        self._thread.start()

    def _see(self, picture: Picture) -> None:
        for eye in self._eyes:
            if eye is not None:
                eye.see(picture)

    def _read_camera(self) -> None:
        camera = self._source
        assert isinstance(camera, Camera)
        while not self._closing.is_set():
            # A camera that was opened again has another clock.
            clocks = _Clocks()
            self._drift, self._drift_offset = ClockDrift(), None
            try:
                while not self._closing.is_set():
                    self._place(camera, clocks)
            except DeviceLost as error:
                self._tell(f"no pictures: {error}")
            camera.close()
            self._open_again(camera)

    def _place(self, camera: Camera, clocks: _Clocks) -> None:
        """Read one picture and give it its time of the sound."""
        seen = camera.read()
        now = self._clock(seen.arrival_seconds)
        if now is None:
            return
        offset = clocks.offset_seconds(seen.camera_seconds, now, seen.arrival_seconds)
        moment = seen.camera_seconds + offset
        if self._drift_offset is None or abs(offset - self._drift_offset) > _STEP_SECONDS:
            self._drift = ClockDrift()
        self._drift_offset = offset
        self._drift.observe(seen.camera_seconds, moment)
        self._see(Picture(moment, seen.frame))

    def _open_again(self, camera: Camera) -> None:
        attempt = 0
        while not self._closing.wait(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)]):
            attempt += 1
            try:
                camera.open()
                return
            except DeviceNotFound:
                _log.debug("camera %s is not back", camera.name)

    def _read_file(self) -> None:
        assert isinstance(self._source, Path)
        try:
            with VideoFrames(self._source) as video:
                for picture in video:
                    if not self._wait_until(picture.time_seconds):
                        return
                    self._see(picture)
        except FormatError as error:
            self._damage = error

    def _wait_until(self, seconds: float) -> bool:
        """Wait until the sound is there that belongs to a picture; return False when the session ends."""
        while True:
            now = self._clock(time.monotonic())
            if now is not None and now >= seconds:
                return True
            if self._closing.wait(0.02 if now is None else min(0.5, seconds - now)):
                return False

    def give(self, pushes: Sequence[Push | None], begin: float, end: float) -> None:
        """See :class:`SessionPictures`."""
        del end
        for eye, push in zip(self._eyes, pushes, strict=True):
            if eye is not None and push is not None:
                eye.give(push, begin)

    def error(self) -> Exception | None:
        """See :class:`SessionPictures`: that of a damaged file."""
        return self._damage

    @property
    def stats(self) -> PictureStats:
        """See :class:`SessionPictures`."""
        eye = max((eye for eye in self._eyes if eye is not None), key=lambda item: item.used)
        return PictureStats(
            used=eye.used,
            skipped=eye.skipped,
            delay_ms=eye.delays.to_milliseconds(),
            encode_ms=eye.encoder.seconds.to_milliseconds(),
            drift_ppm=self._drift.drift_ppm,
            offset_seconds=self._drift_offset,
        )

    def close(self) -> None:
        """See :class:`SessionPictures`: a camera that gives nothing keeps its thread, and nothing else."""
        self._closing.set()
        for eye in self._eyes:
            if eye is not None:
                eye.close()
        if self._thread.ident is not None:
            self._thread.join(0.5)


def session_pictures(
    video: Camera | Path | None,
    encoders: Sequence[ImageEncoder | None],
    tell: Callable[[str], object],
    *,
    is_live: bool,
) -> FilePictures | LivePictures | None:
    """Return the pictures of a session; None where no model wants any, or there are none.

    Raises
    ------
    DeviceNotFound
        If the camera cannot be opened.
    FormatError
        If the pictures of the file have no size.
    """
    if video is None or not any(encoders):
        return None
    if isinstance(video, Camera):
        video.open()
        return LivePictures(video, encoders, tell)
    pictures = FilePictures(video, encoders)
    if pictures.has_pictures and not is_live:
        return pictures
    pictures.close()
    return LivePictures(video, encoders, tell) if pictures.has_pictures else None
