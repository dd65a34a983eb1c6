"""Samples of a recording at the rate of a model."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile

from streamsed.errors import FormatError
from streamsed.sources import Resampler
from training.data.adapters.assemble import seconds_of
from training.data.icbhi.recording import LungRecording
from training.sound import read_mono


class Header(NamedTuple):
    """Sample rate in Hz and length in seconds."""

    sample_rate: int
    duration: float


def read_header(path: Path, *, decode: bool = False) -> Header:
    """Return rate and duration of a file.

    Parameters
    ----------
    path : Path
    decode : bool
        Decode all of it, so that a damaged file is found; otherwise the header is believed.

    Raises
    ------
    FormatError
        If it is missing, no audio, or empty; decoded, also if it is damaged or holds NaN or Inf.
    """
    duration = seconds_of(path, decode)
    return Header(int(soundfile.info(path).samplerate), duration)


def load_recording(recording: LungRecording, sample_rate: int) -> npt.NDArray[np.float32]:
    """Decode a recording: the mean of its channels, through the resampler of the streams.

    Parameters
    ----------
    recording : LungRecording
    sample_rate : int
        In Hz.

    Returns
    -------
    ndarray, shape (n,), float32
        Sample i lies at i / sample_rate seconds, on the time axis of the annotation.

    Raises
    ------
    ConfigError
        If the rate cannot be used.
    FormatError
        If the file is missing, no audio, empty, cut, or holds NaN or Inf.
    """
    header = read_header(recording.audio)
    samples = read_mono(recording.audio, header.sample_rate)
    expected = round(header.duration * header.sample_rate)
    if len(samples) != expected:
        raise FormatError(
            f"{recording.audio}: expected {expected} samples as its header says, got {len(samples)}"
        )
    resampler = Resampler(header.sample_rate, sample_rate)
    return np.concatenate([resampler.process(samples), resampler.flush()])
