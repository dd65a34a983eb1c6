"""Recordings whose sound is wrong although their files are not: silent, clipped, constant."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from streamsed.health import CLIPPING_LEVEL, CLIPPING_SAMPLES
from training.data.icbhi.audio import load_recording
from training.data.icbhi.recording import LungRecording

# Less than that of the whole recording is a click, or normalisation to full scale.
_CLIPPED_SHARE = 0.001


def signal_notes(recordings: Iterable[LungRecording]) -> list[str]:
    """Decode recordings and say which of them are silent or clipped, and which cycles are digital silence.

    Raises
    ------
    FormatError
        If one cannot be decoded, see :func:`load_recording`.
    """
    notes = []
    for recording in recordings:
        samples = load_recording(recording, recording.sample_rate)
        if not np.ptp(samples):
            notes.append(f"{recording.audio}: silent, every sample is {samples[0]:g}")
            continue
        clipped = _clipped(samples)
        if clipped > _CLIPPED_SHARE * len(samples):
            notes.append(f"{recording.audio}: clipped, {clipped / len(samples):.1%} of the samples")
        for cycle in recording.cycles:
            begin, end = (round(time * recording.sample_rate) for time in (cycle.onset, cycle.offset))
            if not np.ptp(samples[begin : max(end, begin + 1)]):
                times = f"{cycle.onset:g} to {cycle.offset:g} s"
                notes.append(f"{recording.audio}: the cycle from {times} (line {cycle.line}) is silent")
    return notes


def _clipped(samples: npt.NDArray[np.float32]) -> int:
    """Count samples in runs at one and the same extreme, as a converter or a limiter leaves them."""
    peak = np.abs(samples).max()
    flat = np.abs(samples) >= CLIPPING_LEVEL * peak
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [False]])))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= CLIPPING_SAMPLES].sum())
