"""From the samples of a respiratory cycle to what its classifier takes: the same code live and in training."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from streamsed.config import CyclePreparation, LogMelConfig, require
from streamsed.frontend import LogMel

__all__ = ["CycleFeatures", "CyclePreparation", "fill_segments"]


def fill_segments(
    samples: npt.NDArray[np.float32], segment_samples: int, padding: Literal["sample", "zero"] = "sample"
) -> npt.NDArray[np.float32]:
    """Cut a cycle into segments of one length, without overlap, and fill the last one.

    Parameters
    ----------
    samples : ndarray, shape (n,), float32
        At least one.
    segment_samples : int
    padding : {"sample", "zero"}
        See :class:`streamsed.config.CyclePreparation`.

    Returns
    -------
    ndarray, shape (S, segment_samples), float32
        S = ceil(n / segment_samples); a copy.

    Raises
    ------
    ConfigError
        If ``samples`` is empty, not one-dimensional or of another dtype, or another argument makes no sense.

    References
    ----------
    Nguyen and Pernkopf, "Lung sound classification using snapshot ensemble of convolutional neural networks", EMBC
    2020, section III-A.2, *sample padding*.
    """
    usable = samples.ndim == 1 and samples.dtype == np.float32 and len(samples) > 0
    require(usable, "samples", "float32 with shape (n,), n >= 1", f"{samples.dtype} {samples.shape}")
    require(segment_samples >= 1, "segment_samples", ">= 1", segment_samples)
    require(padding in ("sample", "zero"), "padding", "sample or zero", padding)
    segments = -(-len(samples) // segment_samples)
    if padding == "sample":
        return np.resize(samples, (segments, segment_samples))
    filled = np.zeros(segments * segment_samples, np.float32)
    filled[: len(samples)] = samples
    return filled.reshape(segments, segment_samples)


class CycleFeatures:
    """Log-mel chunks of respiratory cycles.

    Parameters
    ----------
    front_end : LogMelConfig
        "fixed" normalisation is the z-score with the statistics of the training set.
    preparation : CyclePreparation

    Attributes
    ----------
    segment_samples : int
        Samples of a segment.
    segment_frames, chunk_frames : int
        Log-mel frames of a segment and of each of its chunks; what does not fill a chunk at the end is dropped.

    Raises
    ------
    ConfigError
        If the front-end cannot be used, its normalisation runs along the stream, or a chunk would have no frame.
    """

    def __init__(self, front_end: LogMelConfig, preparation: CyclePreparation) -> None:
        expected = "none or fixed: a cycle is heard on its own"
        require(front_end.normalisation != "running", "normalisation", expected, front_end.normalisation)
        self.front_end = front_end
        self.preparation = preparation
        self._log_mel = LogMel(front_end)
        self.segment_samples = round(preparation.segment_seconds * front_end.sample_rate)
        self.segment_frames = self._log_mel.frame_count(self.segment_samples)
        self.chunk_frames = self.segment_frames // preparation.chunks
        expected = f"long enough for {preparation.chunks} log-mel frames at least"
        require(self.chunk_frames >= 1, "segment_seconds", expected, preparation.segment_seconds)

    def segments(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the log-mel frames (S, segment_frames, n_mels) of the filled segments of a cycle (n,)."""
        filled = fill_segments(samples, self.segment_samples, self.preparation.padding)
        return np.stack([self._log_mel(segment) for segment in filled])

    def split(self, segments: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Split segments (S, segment_frames, n_mels) into chunks (S * chunks, chunk_frames, n_mels), in order."""
        used = segments[:, : self.chunk_frames * self.preparation.chunks]
        return used.reshape(-1, self.chunk_frames, segments.shape[2])

    def __call__(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Prepare a cycle.

        Parameters
        ----------
        samples : ndarray, shape (n,), float32
            At the front-end's sample rate; one at least.

        Returns
        -------
        ndarray, shape (C, chunk_frames, n_mels), float32
            C = segments * chunks, in the order of time.

        Raises
        ------
        ConfigError
            If ``samples`` is empty, not one-dimensional, of another dtype, or holds NaN or Inf.
        """
        return self.split(self.segments(samples))
