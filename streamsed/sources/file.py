"""Recordings of any format that libsndfile reads, block by block."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamsed.config import require
from streamsed.errors import FormatError
from streamsed.sources.base import Block, SourceBase

# libsndfile sets right what a header promises and says so in its log: "data : 264600 (should be 132278)".
_SHORTER = re.compile(r"^\s*([\w ]+?)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
# A program that writes into a pipe cannot know the length and promises the largest one there is.
_UNKNOWN_BYTES = 2**31 - 2**16
# Chunks are padded to even sizes, and many programs count that wrongly.
_PADDING_BYTES = 8
# The length in an MP3 header may be off by the delay of encoder and decoder.
_MP3_SLACK_FRAMES = 2304
_OGG_PAGE = b"OggS"
_OGG_MAX_PAGE_BYTES = 65307
_OGG_END_OF_STREAM = 4


class NotAudio(FormatError):  # noqa: N818 - a kind of FormatError
    """Nothing that libsndfile reads."""


class FileSource(SourceBase):
    """A recording of any length; never more of it is in memory than what is read at once.

    Parameters
    ----------
    path : str or Path
    name : str, optional
        How records call the source; by default the file's name.

    Attributes
    ----------
    frames : int
        How many frames there are, as far as the file's header can be trusted; valid once open.
    """

    def __init__(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        self.path = Path(path)
        self.name = self.path.name if name is None else name
        self.frames = 0
        self._file: Any = None
        self._damage: str | None = None

    def open(self) -> None:
        """Read the header.

        Raises
        ------
        FormatError
            If the file is missing, a folder, unreadable, empty, without any sound in it, or not audio.
        """
        import soundfile

        if not self.path.exists():
            raise FormatError(f"{self.path}: no such file")
        if self.path.is_dir():
            raise FormatError(f"{self.path}: expected a file, got a folder")
        try:
            if self.path.stat().st_size == 0 and self.path.is_file():
                raise FormatError(f"{self.path}: empty file")
            self._file = soundfile.SoundFile(self.path)
        except TypeError:
            raise FormatError(
                f"{self.path}: raw PCM has no header; pipe it in and say its rate and channels"
            ) from None
        except (soundfile.SoundFileError, OSError) as error:
            raise NotAudio(f"{self.path}: not readable as audio: {error}") from None
        self.sample_rate = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        self.frames = int(self._file.frames)
        self._damage = self._missing_by_header()
        if self.frames == 0:
            self.close()
            raise FormatError(f"{self.path}: no sound in it: 0 frames")
        self._position = 0
        self._is_open = True

    def read(self, max_frames: int) -> Block | None:
        """Return the next 1 to ``max_frames`` frames, or None at the end.

        Raises
        ------
        FormatError
            At the end of a file that was cut off or is damaged, once everything before has been delivered.
        StateError
            If the source is not open.
        """
        import soundfile

        require(max_frames > 0, "max_frames", "> 0", max_frames)
        self._check_open()
        # NaN marks what libsndfile did not fill, should it fail in the middle of the block.
        samples = np.full((max_frames, self.channels), np.nan, np.float32)
        try:
            count = len(self._file.read(dtype="float32", always_2d=True, out=samples))
        except soundfile.SoundFileError as error:
            # A decoder that failed once gives nothing sensible any more.
            self._damage = f"damaged or cut off: {error}"
            count = self._filled(samples) if self._position < self.frames else 0
            self.frames = self._position + count
        if count:
            return self._block(samples[:count])
        if self._position == 0 or self._damage is not None or self._is_short():
            raise FormatError(f"{self.path}: {self._damage or 'cut off'}: {self._extent()}")
        return None

    @staticmethod
    def _filled(samples: npt.NDArray[np.float32]) -> int:
        filled = np.flatnonzero(~np.isnan(samples[:, 0]))
        return int(filled[-1]) + 1 if len(filled) else 0

    def _extent(self) -> str:
        return (
            f"expected {self._file.frames} frames or more, got {self._position}, all of which were delivered"
        )

    def _is_short(self) -> bool:
        slack = _MP3_SLACK_FRAMES if self._file.format in ("MP3", "MPEG") else 0
        return bool(self._position + slack < self._file.frames)

    def _missing_by_header(self) -> str | None:
        """Return what is wrong if the file is shorter than its own structure says."""
        if self._file.format == "OGG" and not self._ogg_is_complete():
            return "cut off: its last page does not end the stream"
        for chunk, promised, present in _SHORTER.findall(self._file.extra_info):
            missing = int(promised) - int(present)
            if missing > _PADDING_BYTES and (int(promised) < _UNKNOWN_BYTES or self._file.format == "W64"):
                return f"cut off: its {chunk} chunk promises {promised} bytes, {present} are there"
        return None

    def _ogg_is_complete(self) -> bool:
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 2 * _OGG_MAX_PAGE_BYTES))
            tail = file.read()
        last = tail.rfind(_OGG_PAGE)
        return last >= 0 and last + 5 < len(tail) and bool(tail[last + 5] & _OGG_END_OF_STREAM)

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._is_open = False
        if self._file is not None:
            self._file.close()
