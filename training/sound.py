"""Recordings as training reads them: whole, the mean of their channels, at one rate."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from streamsed.errors import FormatError
from streamsed.sources.containers import CONTAINER_EXTENSIONS
from streamsed.sources.video_sound import VideoSound

Samples = npt.NDArray[np.float32]

_BLOCK_FRAMES = 65536


def is_container(path: Path) -> bool:
    """Say whether it is PyAV that reads a file of this name: mp4, mkv and their like."""
    return path.suffix.lower() in CONTAINER_EXTENSIONS


def read_mono(path: str | Path, sample_rate: int) -> Samples:
    """Read a recording, or the sound of a video file, as the mean of its channels at another rate.

    Returns
    -------
    ndarray, shape (n,), float32

    Raises
    ------
    FormatError
        If the file is missing, no audio, empty, not finite, or a video that is cut off or has no sound.
    ConfigError
        If it is a video and PyAV is not installed.
    """
    path = Path(path)
    samples, rate = _read_container(path) if is_container(path) else _read_file(path)
    if not samples.size:
        raise FormatError(f"{path}: no samples")
    mono = samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise FormatError(f"{path}: expected finite samples, got NaN or infinity")
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate, quality="HQ")
    return np.ascontiguousarray(mono, np.float32)


def _read_file(path: Path) -> tuple[Samples, int]:
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise FormatError(f"{path}: {error}" if path.is_file() else f"{path}: no such file") from None
    return samples, int(rate)


def _read_container(path: Path) -> tuple[Samples, int]:
    """Decode the sound of a container; what was lost in it is silent."""
    with VideoSound(path) as sound:
        parts = [np.zeros((0, sound.channels), np.float32)]
        while (block := sound.read(_BLOCK_FRAMES)) is not None:
            if block.missing_frames_before:
                parts.append(np.zeros((block.missing_frames_before, sound.channels), np.float32))
            parts.append(block.samples)
        return np.concatenate(parts), sound.sample_rate


@functools.cache
def _container_seconds(path: Path, _size: int, _time: int) -> float:
    """Decode a container for its duration; a data set is read for each of its splits, and changes seldom."""
    samples, rate = _read_container(path)
    if not (samples.size and np.isfinite(samples).all()):
        raise FormatError(f"{path}: expected finite samples, got none, NaN or infinity")
    return len(samples) / rate


def seconds_of(path: Path, decode: bool) -> float:
    """Return the duration of a recording.

    Parameters
    ----------
    path : Path
    decode : bool
        Decode all of it, so that a damaged or cut file is found; otherwise the header is believed, except that of a
        video file, which tells the duration of its pictures too.

    Raises
    ------
    FormatError
        If the file is missing, no audio, empty, or (decoded) damaged, not finite or shorter than its header says.
    """
    if is_container(path):
        try:
            status = path.stat()
        except OSError:
            raise FormatError(f"{path}: no such file") from None
        return _container_seconds(path, status.st_size, status.st_mtime_ns)
    try:
        header = soundfile.info(path)
    except (soundfile.SoundFileError, OSError) as error:
        raise FormatError(f"{path}: {error}" if path.is_file() else f"{path}: no such file") from None
    if header.frames <= 0:
        raise FormatError(f"{path}: no samples")
    if decode:
        got = len(read_mono(path, header.samplerate))
        if got != header.frames:
            raise FormatError(f"{path}: expected {header.frames} samples as its header says, got {got}")
    return float(header.frames / header.samplerate)
