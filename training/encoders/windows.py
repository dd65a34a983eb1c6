"""What encoders of sound get of a recording: its windows."""

from __future__ import annotations

from collections.abc import Iterator

from streamsed.bundle import AudioInput
from streamsed.frontend import LogMel
from training.encoders.base import Floats, WaveformInput


def windows(samples: Floats, item: AudioInput | WaveformInput) -> Iterator[tuple[Floats, float]]:
    """Yield the windows of a recording and when each is known: its end, in seconds.

    Parameters
    ----------
    samples : ndarray, shape (n,), float32
        At the encoder's rate. What is shorter than a window gives none.
    item : AudioInput or WaveformInput

    Yields
    ------
    ndarray, shape (window_frames, n_mels) or (window_samples,)
    float
    """
    if isinstance(item, WaveformInput):
        for start in range(0, len(samples) - item.window_samples + 1, item.hop_samples):
            end = start + item.window_samples
            yield samples[start:end], end / item.sample_rate
        return
    front_end = item.front_end
    frames = LogMel(front_end)(samples)
    for start in range(0, len(frames) - item.window_frames + 1, item.hop_frames):
        last = start + item.window_frames - 1
        end = (last * front_end.hop_length + front_end.window_length) / front_end.sample_rate
        yield frames[start : last + 1], end
