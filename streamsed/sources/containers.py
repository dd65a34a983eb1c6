"""What PyAV (FFmpeg's libraries) is needed for: the streams of a container, and the time of its sound."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from streamsed.errors import ConfigError, FormatError
from streamsed.sources.clock_drift import ClockDrift

# What is opened with PyAV at once; of other names libsndfile is asked first.
_CONTAINERS = "3gp aac asf avi flv m2ts m4a m4v mka mkv mov mp4 mpeg mpg mts nut ogv ts webm wma wmv"
CONTAINER_EXTENSIONS = frozenset(f".{name}" for name in _CONTAINERS.split())
# Formats whose header tells the duration; that of others is guessed from the rate of the bytes.
_EXACT = frozenset(("matroska", "mov"))
_SLACK_SECONDS = 0.1
# Time stamps that leap by more mean lost sound, or another recording appended; less is rounding.
_LEAP_SECONDS = 0.05


def load_av(what: str) -> Any:
    """Import PyAV, which ``what`` needs.

    Raises
    ------
    ConfigError
        If it is not installed; the message names the extra.
    """
    try:
        import av
    except ImportError as error:
        raise ConfigError(
            f"{what}: expected PyAV to be installed, got {error}; pip install 'streamsed[video]'"
        ) from None
    return av


class Container:
    """The first picture stream and the best sound stream of a file.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    path : Path
    video, audio : av stream or None
        Those that can be decoded; a cover picture is no video.

    Raises
    ------
    FormatError
        If the file is missing, empty, a folder, or nothing that FFmpeg reads.
    ConfigError
        If PyAV is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise FormatError(f"{self.path}: no such file")
        if self.path.is_dir():
            raise FormatError(f"{self.path}: expected a file, got a folder")
        if self.path.is_file() and self.path.stat().st_size == 0:
            raise FormatError(f"{self.path}: empty file")
        self._av = load_av(str(self.path))
        try:
            self._file = self._av.open(str(self.path), metadata_errors="replace")
        except self._av.FFmpegError as error:
            # An mp4 has its table of contents at the end: one that was cut off has none.
            raise FormatError(f"{self.path}: not readable, or cut off: {_reason(error)}") from None
        covers = self._av.stream.Disposition.attached_pic
        videos = (item for item in self._file.streams.video if not item.disposition & covers)
        self.video: Any = next((item for item in videos if item.codec_context is not None), None)
        audio = self._file.streams.best("audio")
        self.audio: Any = audio if audio is not None and audio.codec_context is not None else None
        self._end = 0.0  # of what was read, in seconds of the container
        self._begins: dict[int, float] = {}  # of the newest packet of each stream
        self._longest_step = 0.0

    @property
    def duration_seconds(self) -> float | None:
        """What the header says; None if it says nothing."""
        duration = self._file.duration
        return None if duration is None else float(duration) / 1e6

    def decode(self, *streams: Any) -> Iterator[tuple[Literal["video", "audio"], Any]]:
        """Yield kind and frame of what ``streams`` hold, in the order of the file.

        Raises
        ------
        FormatError
            If the file was cut off or is damaged, once everything before has been given.
        """
        damage = None
        packets = self._file.demux()
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                self._note_end(packet)
                frames = packet.decode() if packet.stream in streams else []
            except self._av.FFmpegError as error:
                damage = f"damaged or cut off: {_reason(error)}"
                break
            for frame in frames:
                yield packet.stream.type, frame
        if damage is None:
            damage = self._missing()
        if damage is not None:
            raise FormatError(f"{self.path}: {damage}, all before {self._end:.2f} s was delivered")

    def _note_end(self, packet: Any) -> None:
        if packet.pts is None or packet.is_corrupt:
            return
        begin, duration = (float(ticks * packet.time_base) for ticks in (packet.pts, packet.duration or 0))
        step = begin - self._begins.get(packet.stream_index, begin)
        self._begins[packet.stream_index] = begin
        self._longest_step = max(self._longest_step, step)
        self._end = max(self._end, begin + duration)

    def _missing(self) -> str | None:
        if "mov" in self._file.format.name.split(",") and _is_cut_box(self.path):
            return "cut off: its last box promises more bytes than there are"
        duration = self.duration_seconds
        if duration is None or not _EXACT & set(self._file.format.name.split(",")):
            return None
        promised = duration + max(0.0, (self._file.start_time or 0) / 1e6)
        # How long the last picture is shown may not be said anywhere.
        if self._end >= promised - _SLACK_SECONDS - self._longest_step:
            return None
        return f"cut off: expected {promised:.2f} s, got {self._end:.2f} s"

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()


def _is_cut_box(path: Path) -> bool:
    """Say whether the boxes of an mp4 (ISO/IEC 14496-12, 4.2), which follow each other, end behind the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        begin = 0
        while begin + 8 <= size:
            file.seek(begin)
            header = file.read(16)
            length = int.from_bytes(header[:4], "big")
            if length == 1:
                length = int.from_bytes(header[8:16], "big")
            if length < 8:
                # 0: until the end of the file; anything else is no box.
                return False
            begin += length
    return begin > size


def _reason(error: Any) -> str:
    return str(error.strerror or error)


class SoundTimes:
    """Where the sound of a container lies on its own clock, which counts samples, and on that of the time stamps.

    A leap of the time stamps forwards is lost sound. One backwards is another recording that was appended: the time of
    the sound goes on. The clock of a sound card that is not that of the time stamps makes them drift apart.

    Parameters
    ----------
    sample_rate : int

    Attributes
    ----------
    position : int
        Samples so far, lost ones counted.
    drift : ClockDrift
        From time stamps to seconds of the sound.
    """

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self.position = 0
        self.drift = ClockDrift()

    def observe(self, time_stamp: float | None, samples: int) -> int:
        """Take the time stamp of a frame of so many samples; return how many were lost right before it."""
        missing = 0
        if time_stamp is not None:
            seconds = self.position / self._rate
            leap = self.drift.to_sound(time_stamp) - seconds if self.drift.is_known else 0.0
            if leap > _LEAP_SECONDS:
                missing = round(leap * self._rate)
                self.position += missing
            elif leap < -_LEAP_SECONDS:
                self.drift = ClockDrift()
            self.drift.observe(time_stamp, self.position / self._rate)
        self.position += samples
        return missing
